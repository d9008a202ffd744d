"""One stream of events in memory, between its writer and its readers."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic

from shared.event_log.port import E, EventBatch, LogClosedError, StreamState


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
            self._wake_writer()

    def close(self) -> None:
        """Let the reader and the writer return, also where no terminal event has come."""
        self._closed = True
        self._wake_readers()
        self._wake_writer()

    def get(self, after: int) -> EventBatch[E] | None:
        """Return what is kept of the events with numbers above `after`; None when there are none."""
        position = max(0, after - self._first + 1)
        events = self._events[position:]
        return EventBatch(self._first + position, events) if events else None

    async def read(self, after: int) -> AsyncGenerator[EventBatch[E], None]:
        """Yield the events with numbers above `after` as they come; return after the terminal one."""
        while True:
            batch = self.get(after)
            if batch is not None:
                after = batch.last
                if self._bound is not None:
                    self._drop(after)
                yield batch
            elif self.ended:
                return
            elif self._closed:
                raise LogClosedError
            else:
                future = asyncio.get_running_loop().create_future()
                self._waiting_readers.append(future)
                await future

    def _add(self, event: E) -> None:
        self._events.append(event)
        if self._waiting_readers:
            self._wake_readers()

    def _drop(self, until: int) -> None:
        del self._events[: until - self._first + 1]
        self._first = until + 1
        self._wake_writer()

    def _wake_readers(self) -> None:
        waiting, self._waiting_readers = self._waiting_readers, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _wake_writer(self) -> None:
        waiting, self._waiting_writer = self._waiting_writer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
