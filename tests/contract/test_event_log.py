"""One suite on both event logs: events come in order, once, and end with exactly one terminal event."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from shared.contracts.questions import StreamError
from shared.contracts.runs import Delta, Failed, RunEvent, Started
from shared.event_log.codecs import RUN_EVENTS
from shared.event_log.memory_log import BOUND_EVENTS, MemoryEventLog
from shared.event_log.port import EventLog, LogClosedError, SharedEventLog, StreamId
from shared.event_log.redis_events import open_events, open_run_log
from tests.patience import PATIENT_S
from tests.redis_cluster import RedisCluster

STREAM = StreamId("default", "run", "run_1")
STARTED = Started(run_id="run_1", resumable=False)
END = Failed(error=StreamError(code="c", message="m", retryable=True, partial=True), status=503)
LOST = Failed(error=StreamError(code="run_lost", message="m", retryable=True, partial=True), status=503)


@asynccontextmanager
async def open_log(url: str) -> AsyncIterator[SharedEventLog[RunEvent]]:
    async with (
        open_events(url, timeout_s=PATIENT_S) as client,
        open_run_log(url, client, RUN_EVENTS, timeout_s=PATIENT_S, lost=LOST) as (log, _),
    ):
        yield log


@pytest.fixture
async def redis_log(redis_url: str) -> AsyncIterator[SharedEventLog[RunEvent]]:
    async with open_log(redis_url) as log:
        yield log


@pytest.fixture
async def clustered_log(redis_cluster: RedisCluster) -> AsyncIterator[SharedEventLog[RunEvent]]:
    async with open_log(redis_cluster.url) as log:
        yield log


@pytest.fixture(params=["memory", "redis", "redis cluster"])
def log(request: pytest.FixtureRequest) -> EventLog[RunEvent]:
    if request.param == "memory":
        return MemoryEventLog()
    name = "redis_log" if request.param == "redis" else "clustered_log"
    found: EventLog[RunEvent] = request.getfixturevalue(name)
    return found


async def collect(log: EventLog[RunEvent], *, after: int = 0) -> list[tuple[int, RunEvent]]:
    """All events with their numbers, up to the end."""
    events: list[tuple[int, RunEvent]] = []
    async with aclosing(log.read(STREAM, after=after)) as batches:
        async for batch in batches:
            events += enumerate(batch.events, batch.first)
    return events


async def test_events_come_in_order_and_once(log: EventLog[RunEvent]) -> None:
    """Whatever was there before the reader and what comes while it reads."""
    await log.begin(STREAM)
    await log.append(STREAM, STARTED)
    reading = asyncio.create_task(collect(log))
    for n in range(1000):
        await log.append(STREAM, Delta(str(n)))
    log.end(STREAM, END)

    events = await reading
    assert [number for number, _ in events] == list(range(1, 1003))
    assert [event for _, event in events] == [STARTED, *(Delta(str(n)) for n in range(1000)), END]


async def test_nothing_comes_after_the_terminal_event(log: EventLog[RunEvent]) -> None:
    """Neither a second end nor a late delta is in the stream."""
    await log.begin(STREAM)
    log.end(STREAM, END)
    log.end(STREAM, LOST)
    await log.append(STREAM, Delta("late"))

    assert await collect(log) == [(1, END)]


async def test_a_reader_goes_on_behind_what_it_has(log: EventLog[RunEvent]) -> None:
    """`after` is the number of the last event that has arrived."""
    await log.begin(STREAM)
    for text in "abc":
        await log.append(STREAM, Delta(text))
    log.end(STREAM, END)

    assert await collect(log, after=2) == [(3, Delta("c")), (4, END)]


async def test_a_reader_that_has_all_is_done(log: EventLog[RunEvent]) -> None:
    """It may have asked before it knew."""
    await log.begin(STREAM)
    log.end(STREAM, END)

    assert await asyncio.wait_for(collect(log, after=1), PATIENT_S) == []


async def test_the_state_says_how_far_a_stream_is(log: EventLog[RunEvent]) -> None:
    """Unknown, begun, with events, ended."""
    states = [await log.find(STREAM)]
    await log.begin(STREAM)
    states.append(await log.find(STREAM))
    await log.append(STREAM, STARTED)
    states.append(await log.find(STREAM))
    log.end(STREAM, END)
    states.append(await log.find(STREAM))

    assert [(state.last, state.ended) if state else None for state in states] == [
        None,
        (0, False),
        (1, False),
        (2, True),
    ]


async def test_another_tenants_stream_is_not_there(log: EventLog[RunEvent]) -> None:
    """The same name under another tenant is another stream."""
    await log.begin(STREAM)

    assert await log.find(StreamId("other", "run", "run_1")) is None


async def test_a_writer_in_memory_waits_for_its_reader() -> None:
    """A slow client slows the provider down, instead of filling memory."""
    log = MemoryEventLog[RunEvent]()
    await log.begin(STREAM)

    async def write() -> None:
        for _ in range(BOUND_EVENTS + 1):
            await log.append(STREAM, Delta("x"))

    writing = asyncio.create_task(write())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not writing.done()

    async with aclosing(log.read(STREAM)) as batches:
        await anext(batches)
        await asyncio.wait_for(writing, PATIENT_S)


async def test_a_discarded_stream_frees_writer_and_reader() -> None:
    """Nobody waits for a client that has left."""
    log = MemoryEventLog[RunEvent]()
    await log.begin(STREAM)

    async def write() -> None:
        for _ in range(BOUND_EVENTS * 2):
            await log.append(STREAM, Delta("x"))

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    log.discard(STREAM)

    await asyncio.wait_for(writing, PATIENT_S)
    with pytest.raises(LogClosedError):
        await collect(log)
