"""An event log on a Redis Cluster: its streams are spread over logs, each of which is where one slot is.

So the nodes share the writing, which is most of what Redis has to do; and a node that does not answer holds up the
streams that it has, and no others.
"""

import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Generic

from shared.event_log.port import E, EventBatch, EventSink, StreamId, StreamState
from shared.event_log.redis_log import RedisEventLog

PARTS: Final = tuple(
    f"-{number}" for number in (224, 38, 452, 52, 232, 168, 3, 44, 14, 208, 138, 262, 144, 402, 68, 274)
)
"""Parts of the data whose slots are as far from each other as can be: of up to as many nodes each has some."""


class SpreadEventLog(Generic[E]):
    """One log of several; it is their owner who closes them."""

    def __init__(self, logs: Sequence[RedisEventLog[E]]) -> None:
        self._logs = logs

    def _find_log(self, stream: StreamId) -> RedisEventLog[E]:
        return self._logs[zlib.crc32(stream.name.encode()) % len(self._logs)]

    @property
    def on_stop(self) -> Callable[[StreamId], None]:
        """Return what is called with a stream written here whose end somebody has asked for."""
        return self._logs[0].on_stop

    @on_stop.setter
    def on_stop(self, call: Callable[[StreamId], None]) -> None:
        for log in self._logs:
            log.on_stop = call

    @property
    def on_lost(self) -> Callable[[StreamId], None]:
        """Return what is called with a stream written here that others have ended."""
        return self._logs[0].on_lost

    @on_lost.setter
    def on_lost(self, call: Callable[[StreamId], None]) -> None:
        for log in self._logs:
            log.on_lost = call

    async def begin(self, stream: StreamId) -> bool:
        """Open a stream; return whether Redis knows of it, so that readers can come back to it."""
        return await self._find_log(stream).begin(stream)

    async def append(self, stream: StreamId, event: E) -> None:
        """Add an event."""
        await self._find_log(stream).append(stream, event)

    def end(self, stream: StreamId, event: E) -> None:
        """Add the terminal event."""
        self._find_log(stream).end(stream, event)

    async def find(self, stream: StreamId) -> StreamState | None:
        """Return how far a stream is."""
        return await self._find_log(stream).find(stream)

    def read(self, stream: StreamId, *, after: int = 0) -> AsyncGenerator[EventBatch[E], None]:
        """Yield events as they come."""
        return self._find_log(stream).read(stream, after=after)

    async def follow(self, stream: StreamId, sink: EventSink[E], *, after: int = 0) -> None:
        """Give events to a sink as they come."""
        await self._find_log(stream).follow(stream, sink, after=after)

    async def request_stop(self, stream: StreamId) -> None:
        """Ask the process that writes a stream to end it."""
        await self._find_log(stream).request_stop(stream)
