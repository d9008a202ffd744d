"""One stream of events in memory, between its writer and its readers."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic

from shared.event_log.port import E, EventBatch, EventSink, LogClosedError, StreamState


class LiveStream(Generic[E]):
    """Hold the events of a stream that is being written in this process.

    Parameters:
        bound: keep at most so many events, make the writer wait for its reader, and drop what it has read: for a
            stream with one reader. None: keep all, for any number of readers; the writer bounds what it writes.
        closed: begin as if `close` had been called.
    """

    def __init__(self, *, bound: int | None, closed: bool = False) -> None:
        self._bound = bound
        self._events: list[E] = []
        self._first = 1  # the number of the first event that is kept
        self._closed = closed
        self._followers: list[_Follower[E]] = []
        self._waiting_readers: list[asyncio.Future[None]] = []
        self._waiting_writer: asyncio.Future[None] | None = None
        self.ended = False

    @property
    def state(self) -> StreamState:
        """Return how far the stream is."""
        return StreamState(self._first + len(self._events) - 1, self.ended)

    async def append(self, event: E) -> None:
        """Add an event; wait as long as the reader is `bound` events behind."""
        while self._bound is not None and len(self._events) >= self._bound and not (self.ended or self._closed):
            self._waiting_writer = asyncio.get_running_loop().create_future()
            await self._waiting_writer
        if not self.ended:
            self._add(event)

    def end(self, event: E) -> None:
        """Add the terminal event, whatever the bound; do nothing when there is one."""
        if not self.ended:
            self.ended = True
            self._add(event)
            self._tell_over()
            self._wake_writer()

    def close(self) -> None:
        """Let the reader and the writer return, also where no terminal event has come."""
        self._closed = True
        self._tell_over()
        self._wake_writer()

    def get(self, after: int) -> EventBatch[E] | None:
        """Return what is kept of the events with numbers above `after`; None when there are none."""
        position = max(0, after - self._first + 1)
        events = self._events[position:]
        return EventBatch(self._first + position, events) if events else None

    async def read(self, after: int) -> AsyncGenerator[EventBatch[E], None]:
        """Yield the events with numbers above `after` as they come; return after the terminal one."""
        while True:
            batch = self._take(after)
            if batch is not None:
                after = batch.last
                yield batch
            elif self._is_over():
                return
            else:
                future = asyncio.get_running_loop().create_future()
                self._waiting_readers.append(future)
                await future

    async def follow(self, sink: EventSink[E], after: int) -> None:
        """Give a sink the events with numbers above `after`, in the call that adds them; return after the terminal one.

        This waits for the end, and where the sink is full, for room in it.
        """
        follower = _Follower(self._take, sink, after)
        self._followers.append(follower)
        try:
            while True:
                follower.push()
                if sink.is_full:
                    await sink.wait_for_room()
                elif self._is_over():
                    return
                else:
                    await follower.wait_for_turn()
        finally:
            self._followers.remove(follower)

    def _take(self, after: int) -> EventBatch[E] | None:
        """Return the events with numbers above `after`, and keep them no longer than they must be; None: none."""
        if self._bound is None or after >= self._first:
            batch = self.get(after)
        else:
            batch = EventBatch(self._first, self._events) if self._events else None
        if batch is not None and self._bound is not None:
            self._first = batch.last + 1
            self._events = []
            self._wake_writer()
        return batch

    def _is_over(self) -> bool:
        """Return whether nothing will be added any more; raise LogClosedError when that is not the stream's end."""
        if self._closed and not self.ended:
            raise LogClosedError
        return self.ended

    def _add(self, event: E) -> None:
        self._events.append(event)
        for follower in self._followers:
            follower.push_for_writer()
        if self._waiting_readers:
            self._wake_readers()

    def _tell_over(self) -> None:
        for follower in self._followers:
            follower.give_turn()
        self._wake_readers()

    def _wake_readers(self) -> None:
        waiting, self._waiting_readers = self._waiting_readers, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _wake_writer(self) -> None:
        waiting, self._waiting_writer = self._waiting_writer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class _Follower(Generic[E]):
    """Passes on what a sink has room for.

    Parameters:
        take: returns the events with numbers above one.
    """

    __slots__ = ("_after", "_failed", "_sink", "_take", "_turn")

    def __init__(self, take: Callable[[int], EventBatch[E] | None], sink: EventSink[E], after: int) -> None:
        self._take = take
        self._sink = sink
        self._after = after
        self._turn: asyncio.Future[None] | None = None
        self._failed: Exception | None = None

    def push(self) -> None:
        """Give the sink what is new, unless it is full."""
        if self._failed is not None:
            raise self._failed
        if not self._sink.is_full:
            self._pass_on()

    def push_for_writer(self) -> None:
        """The same in the writer's call, which has nothing to do with what goes wrong here, and does not wait.

        Where it cannot be given, the follower's own task finds out why.
        """
        if self._failed is not None or self._sink.is_full:
            self.give_turn()
            return
        try:
            self._pass_on()
        except Exception as error:  # noqa: BLE001 - raised in the follower's own task
            self._failed = error
            self.give_turn()

    def give_turn(self) -> None:
        """Let the follower's own task look."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    async def wait_for_turn(self) -> None:
        """Return when there is something to do for the follower's own task."""
        self._turn = asyncio.get_running_loop().create_future()
        await self._turn

    def _pass_on(self) -> None:
        if (batch := self._take(self._after)) is not None:
            self._after = batch.last
            self._sink.take(batch)
