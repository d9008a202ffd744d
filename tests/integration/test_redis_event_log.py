"""The event log on Redis between processes: what one writes, others read, whatever happens to writer or Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from shared.bounded_calls import BoundedCalls
from shared.contracts.runs import Delta, RunEvent
from shared.event_log import redis_log as redis_log_module
from shared.event_log.codecs import RUN_EVENTS
from shared.event_log.port import EventReader, LogClosedError, StreamId
from shared.event_log.redis_log import RedisEventLog
from shared.event_log.stream_keys import make_stream_keys
from shared.event_log.tail import StreamTail
from shared.redis_client import PREFIX, connect_redis
from shared.tasks import end_tasks
from tests.contract.test_event_log import END, LOST, STREAM
from tests.patience import PATIENT_S

OpenLog = Callable[[], RedisEventLog[RunEvent]]


@pytest.fixture
async def open_log(redis_url: str) -> AsyncIterator[OpenLog]:
    """Makes logs with connections of their own, as other processes have."""
    async with AsyncExitStack() as stack:

        def open_it() -> RedisEventLog[RunEvent]:
            redis = connect_redis(redis_url, timeout_s=PATIENT_S)
            stack.push_async_callback(redis.aclose)
            tail = StreamTail(redis)
            stack.push_async_callback(tail.close)
            log = RedisEventLog(redis, RUN_EVENTS, tail, BoundedCalls(deadline_s=PATIENT_S, at_once=8), lost=LOST)
            stack.push_async_callback(log.close)
            return log

        yield open_it


async def collect(log: EventReader[RunEvent], stream: StreamId = STREAM, *, after: int = 0) -> list[RunEvent]:
    """All events up to the end; their numbers must follow each other, but for that of an end that others have set."""
    events: list[RunEvent] = []
    async with aclosing(log.read(stream, after=after)) as batches:
        async for batch in batches:
            assert batch.first == after + 1 or (batch.first > after and batch.events == [LOST])
            after = batch.last
            events += batch.events
    return events


async def stop_writing(writer: RedisEventLog[RunEvent], redis_url: str) -> None:
    """What is left of a process that was killed: its last sign of life, which runs out."""
    assert writer._flusher is not None
    await end_tasks(writer._flusher)
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        await redis.delete(make_stream_keys(PREFIX, STREAM).alive)


async def take_for_dead(reader: RedisEventLog[RunEvent], redis_url: str) -> None:
    """What readers do whose writer showed no life for too long."""
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        while not (state := await reader.find(STREAM)) or not state.ended:
            await redis.delete(make_stream_keys(PREFIX, STREAM).alive)
            await reader._reader._end_if_lost(STREAM)


async def test_others_read_what_one_writes(open_log: OpenLog) -> None:
    """From the beginning and from the middle, while it is written and afterwards; any text, half surrogates too."""
    writer, reader = open_log(), open_log()
    deltas = [Delta(text) for text in ["a\n\n", "\ud83e", "\x00", "é"] * 100]
    assert await writer.begin(STREAM)
    reading = [asyncio.create_task(collect(reader, after=after)) for after in (0, 7)]
    for delta in deltas:
        await writer.append(STREAM, delta)
        await asyncio.sleep(0)
    writer.end(STREAM, END)

    assert await asyncio.gather(*reading) == [[*deltas, END], [*deltas[7:], END]]
    assert await collect(reader, after=399) == [deltas[399], END]


async def test_a_reader_elsewhere_that_has_all_is_done(open_log: OpenLog) -> None:
    """Also when it comes before Redis has the end that it has seen."""
    writer, reader = open_log(), open_log()
    await writer.begin(STREAM)
    reading = asyncio.create_task(collect(reader, after=2))
    await writer.append(STREAM, Delta("a"))
    writer.end(STREAM, END)

    assert await asyncio.wait_for(reading, PATIENT_S) == []


async def test_many_runs_cost_few_commands(open_log: OpenLog, redis_url: str) -> None:
    """Tokens are written together: a hundred runs of a hundred tokens take far fewer commands than tokens."""
    writer, redis = open_log(), connect_redis(redis_url, timeout_s=PATIENT_S)
    streams = [StreamId("default", "run", f"run_{n}") for n in range(100)]
    for stream in streams:
        await writer.begin(stream)
    await redis.config_resetstat()
    for _ in range(100):
        for stream in streams:
            await writer.append(stream, Delta("x"))
    for stream in streams:
        writer.end(stream, END)
    await collect(open_log(), streams[-1])
    stats = await redis.info("commandstats")
    await redis.aclose()

    assert stats["cmdstat_evalsha"]["calls"] < 1_000


async def test_whoever_comes_late_costs_few_commands(open_log: OpenLog, redis_url: str) -> None:
    """A reader at the beginning of a long run beside one at its end: what was there is not looked at again."""
    writer, reader = open_log(), open_log()
    await writer.begin(STREAM)
    for n in range(300):
        await writer.append(STREAM, Delta(str(n)))
        await writer._flush()
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis, asyncio.TaskGroup() as group:
        await redis.config_resetstat()
        reading = [group.create_task(collect(reader, after=after)) for after in (299, 0, 150)]
        while (await redis.info("commandstats")).get("cmdstat_xread", {"calls": 0})["calls"] < 3:
            await asyncio.sleep(0.01)
        writer.end(STREAM, END)
        await asyncio.wait(reading, timeout=10)
        stats = await redis.info("commandstats")

    assert [len(task.result()) for task in reading] == [2, 301, 151]
    assert stats["cmdstat_xread"]["calls"] + stats["cmdstat_xrange"]["calls"] < 40


async def test_the_readers_of_a_dead_writer_get_one_retryable_end(open_log: OpenLog, redis_url: str) -> None:
    """When its sign of life runs out, all readers get the same terminal event, and the stream has it for ever."""
    writer, readers = open_log(), [open_log(), open_log()]
    await writer.begin(STREAM)
    await writer.append(STREAM, Delta("a"))
    reading = [asyncio.create_task(collect(reader)) for reader in readers]
    await asyncio.wait_for(readers[0].read(STREAM).__anext__(), PATIENT_S)
    await stop_writing(writer, redis_url)

    assert await asyncio.gather(*reading) == [[Delta("a"), LOST]] * 2
    assert await collect(open_log()) == [Delta("a"), LOST]


async def test_whoever_had_more_than_was_written_gets_the_end_of_a_dead_writer(
    open_log: OpenLog, redis_url: str
) -> None:
    """A reader beside the writer has events at once, Redis a little later, and the writer may die in between."""
    writer, reader = open_log(), open_log()
    await writer.begin(STREAM)
    await writer.append(STREAM, Delta("a"))
    await asyncio.wait_for(reader.read(STREAM).__anext__(), PATIENT_S)
    await stop_writing(writer, redis_url)
    await writer.append(STREAM, Delta("b"))
    batch = await anext(writer.read(STREAM, after=1))

    assert await asyncio.wait_for(collect(reader, after=batch.last), PATIENT_S) == [LOST]
    state = await reader.find(STREAM)
    assert state is not None
    assert state.ended
    assert state.last > batch.last


async def test_whoever_names_an_event_that_has_never_been_is_not_kept_waiting(open_log: OpenLog) -> None:
    """For ever, that is: the stream has ended before it."""
    writer, reader = open_log(), open_log()
    await writer.begin(STREAM)
    reading = asyncio.create_task(collect(reader, after=500))
    await writer.append(STREAM, Delta("a"))
    writer.end(STREAM, END)

    assert await asyncio.wait_for(reading, PATIENT_S) == []


async def test_a_writer_that_was_taken_for_dead_adds_nothing(open_log: OpenLog, redis_url: str) -> None:
    """It hung, and its readers were told so: it learns that, and the stream keeps its one end."""
    writer, reader = open_log(), open_log()
    lost = asyncio.Event()
    writer.on_lost = lambda stream: lost.set()
    await writer.begin(STREAM)
    await writer.append(STREAM, Delta("a"))
    await asyncio.wait_for(reader.read(STREAM).__anext__(), PATIENT_S)
    await take_for_dead(reader, redis_url)
    await writer.append(STREAM, Delta("b"))
    await asyncio.wait_for(lost.wait(), PATIENT_S)
    writer.end(STREAM, END)
    await writer.close()

    assert await collect(reader) == [Delta("a"), LOST]


async def test_a_stop_reaches_the_writer_wherever_it_is(open_log: OpenLog) -> None:
    """Also while it is silent."""
    writer, other = open_log(), open_log()
    stopped: asyncio.Future[StreamId] = asyncio.get_running_loop().create_future()
    writer.on_stop = lambda stream: None if stopped.done() else stopped.set_result(stream)
    await writer.begin(STREAM)
    await other.request_stop(STREAM)

    assert await asyncio.wait_for(stopped, PATIENT_S) == STREAM


async def test_an_ended_stream_expires(open_log: OpenLog, redis_url: str) -> None:
    """Ten minutes after its end, and nothing else is left behind."""
    writer, reader, redis = open_log(), open_log(), connect_redis(redis_url, timeout_s=PATIENT_S)
    await writer.begin(STREAM)
    writer.end(STREAM, END)
    await collect(reader)
    keys = make_stream_keys(PREFIX, STREAM)
    left, others = await redis.pttl(keys.events), await redis.exists(keys.alive, keys.stop)
    await redis.aclose()

    assert 0 < left <= redis_log_module.KEPT_MS
    assert others == 0


async def test_readers_return_when_their_server_stops(open_log: OpenLog, redis_url: str) -> None:
    """The run goes on elsewhere, and so can its readers."""
    writer, redis = open_log(), connect_redis(redis_url, timeout_s=PATIENT_S)
    await writer.begin(STREAM)
    await writer.append(STREAM, Delta("a"))
    tail = StreamTail(redis)
    reader = RedisEventLog(redis, RUN_EVENTS, tail, BoundedCalls(deadline_s=PATIENT_S, at_once=8), lost=LOST)
    reading = asyncio.create_task(collect(reader))
    await asyncio.wait_for(reader.read(STREAM).__anext__(), PATIENT_S)
    tail.stop_following()

    with pytest.raises(LogClosedError):
        await asyncio.wait_for(reading, PATIENT_S)
    await tail.close()
    await redis.aclose()
