"""One suite on both event logs: a sink gets what is written in the call that writes it, and is never given too much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from shared.contracts.runs import Delta, RunEvent
from shared.event_log.memory_log import BOUND_EVENTS, MemoryEventLog
from shared.event_log.port import EventBatch, EventLog, LogClosedError
from shared.tasks import end_tasks
from tests.contract.test_event_log import END, STARTED, STREAM, clustered_log, log, redis_log
from tests.patience import PATIENT_S

__all__ = ["clustered_log", "log", "redis_log"]


@dataclass
class Sink:
    """Keeps what it gets; has room for `room` batches, until `empty` makes more. Fails when it gets `bad`."""

    room: int = 1_000_000
    bad: RunEvent | None = None
    got: list[tuple[int, RunEvent]] = field(default_factory=list)
    emptied: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_full(self) -> bool:
        return self.room == 0

    def take(self, batch: EventBatch[RunEvent]) -> None:
        assert not self.is_full
        self.room -= 1
        self.got += enumerate(batch.events, batch.first)
        if self.bad in batch.events:
            raise ValueError("cannot be encoded")

    async def wait_for_room(self) -> None:
        await self.emptied.wait()

    def empty(self, room: int) -> None:
        self.room = room
        self.emptied.set()


@asynccontextmanager
async def follow(log: EventLog[RunEvent], *sinks: Sink, after: int = 0) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Tasks that follow; they have begun."""
    tasks = [asyncio.create_task(log.follow(STREAM, sink, after=after)) for sink in sinks]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        await end_tasks(*tasks)


async def test_a_sink_has_an_event_when_its_writer_goes_on(log: EventLog[RunEvent]) -> None:
    """What was there before it followed, each event that comes, and the end; then following is over."""
    await log.begin(STREAM)
    await log.append(STREAM, STARTED)
    sink = Sink()
    async with follow(log, sink) as (following,):
        for n in range(3):
            await log.append(STREAM, Delta(str(n)))
            assert sink.got[-1] == (n + 2, Delta(str(n)))
        log.end(STREAM, END)
        assert sink.got[-1] == (5, END)
        await asyncio.wait_for(following, PATIENT_S)

    assert [number for number, _ in sink.got] == [1, 2, 3, 4, 5]


async def test_a_sink_goes_on_behind_what_it_has(log: EventLog[RunEvent]) -> None:
    """`after` is the number of the last event that has arrived."""
    await log.begin(STREAM)
    for text in "abc":
        await log.append(STREAM, Delta(text))
    sink = Sink()
    async with follow(log, sink, after=2) as (following,):
        log.end(STREAM, END)
        await asyncio.wait_for(following, PATIENT_S)

    assert sink.got == [(3, Delta("c")), (4, END)]


async def test_a_full_sink_gets_the_rest_when_it_has_room(log: EventLog[RunEvent]) -> None:
    """Nothing while it is full, then all that has come meanwhile, in order and once."""
    await log.begin(STREAM)
    sink = Sink(room=1)
    async with follow(log, sink) as (following,):
        for n in range(100):
            await log.append(STREAM, Delta(str(n)))
        log.end(STREAM, END)
        assert sink.got == [(1, Delta("0"))]
        sink.empty(room=10)
        await asyncio.wait_for(following, PATIENT_S)

    assert sink.got == [*enumerate(map(Delta, map(str, range(100))), 1), (101, END)]


async def test_a_sink_that_fails_is_the_fault_of_nobody_else(log: EventLog[RunEvent]) -> None:
    """Its own following ends with its error; the writer goes on, and so do others where there may be some."""
    await log.begin(STREAM)
    failing, other = Sink(bad=Delta("bad")), Sink()
    sinks = [failing] if isinstance(log, MemoryEventLog) else [failing, other]
    async with follow(log, *sinks) as tasks:
        for text in ("good", "bad", "late"):
            await log.append(STREAM, Delta(text))
        with pytest.raises(ValueError, match="cannot be encoded"):
            await asyncio.wait_for(tasks[0], PATIENT_S)
        log.end(STREAM, END)
        await asyncio.wait_for(asyncio.gather(*tasks[1:]), PATIENT_S)

    assert failing.got == [(1, Delta("good")), (2, Delta("bad"))]
    assert len(other.got) == (0 if isinstance(log, MemoryEventLog) else 4)


async def test_a_writer_in_memory_waits_for_a_full_sink() -> None:
    """A slow client slows the provider down, instead of filling memory."""
    log = MemoryEventLog[RunEvent]()
    await log.begin(STREAM)
    sink = Sink(room=1)

    async def write() -> None:
        for _ in range(BOUND_EVENTS + 2):
            await log.append(STREAM, Delta("x"))

    async with follow(log, sink):
        writing = asyncio.create_task(write())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        sink.empty(room=10)
        await asyncio.wait_for(writing, PATIENT_S)

    assert [number for number, _ in sink.got] == list(range(1, BOUND_EVENTS + 3))


async def test_a_discarded_stream_frees_its_follower() -> None:
    """It learns that the stream has no end."""
    log = MemoryEventLog[RunEvent]()
    await log.begin(STREAM)
    async with follow(log, Sink()) as (following,):
        log.discard(STREAM)
        with pytest.raises(LogClosedError):
            await asyncio.wait_for(following, PATIENT_S)


async def test_who_leaves_is_given_nothing_more(log: EventLog[RunEvent]) -> None:
    """The writer knows nothing of a sink whose following was cancelled."""
    await log.begin(STREAM)
    sink = Sink()
    async with follow(log, sink) as (following,):
        await end_tasks(following)
        await log.append(STREAM, STARTED)

    assert sink.got == []
