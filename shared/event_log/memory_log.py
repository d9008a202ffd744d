"""The event log of runs that end with their client: in memory, one reader, nothing kept."""

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Generic

from shared.event_log.live_stream import LiveStream
from shared.event_log.port import E, EventBatch, EventSink, StreamId, StreamState

BOUND_EVENTS = 256
"""Events between writer and reader: a second or two of a fast model. Then a slow client slows the provider down."""


class MemoryEventLog(Generic[E]):
    """Keep streams as long as they are being written and read; forget them with `discard`."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, LiveStream[E]] = {}

    async def begin(self, stream: StreamId) -> bool:
        """Open a stream; return False: nobody else can read it."""
        self._streams[stream] = LiveStream(bound=BOUND_EVENTS)
        return False

    def append(self, stream: StreamId, event: E) -> Coroutine[Any, Any, None]:
        """Add an event; wait as long as the reader is too far behind."""
        live = self._streams.get(stream) or LiveStream(bound=None, closed=True)
        return live.append(event)

    def end(self, stream: StreamId, event: E) -> None:
        """Add the terminal event."""
        if (live := self._streams.get(stream)) is not None:
            live.end(event)

    def discard(self, stream: StreamId) -> None:
        """Forget a stream; its reader is told."""
        if (live := self._streams.pop(stream, None)) is not None:
            live.close()

    async def find(self, stream: StreamId) -> StreamState | None:
        """Return how far a stream is."""
        live = self._streams.get(stream)
        return live.state if live is not None else None

    def read(self, stream: StreamId, *, after: int = 0) -> AsyncGenerator[EventBatch[E], None]:
        """Yield events as they come; each is yielded once, to whoever reads first."""
        return self._find(stream).read(after)

    async def follow(self, stream: StreamId, sink: EventSink[E], *, after: int = 0) -> None:
        """Give events to a sink as they come, instead."""
        await self._find(stream).follow(sink, after)

    def _find(self, stream: StreamId) -> LiveStream[E]:
        return self._streams.get(stream) or LiveStream(bound=None, closed=True)
