"""Reads event streams from Redis, wherever they are written."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, Final, Generic

from redis.asyncio import Redis

from shared.bounded_calls import BoundedCalls
from shared.event_log import scripts
from shared.event_log.port import E, EventBatch, EventCodec, EventSink, LogClosedError, StreamId, StreamState, pour
from shared.event_log.stream_keys import END, load_batch, make_stream_keys
from shared.event_log.tail import StreamTail
from shared.redis_client import name_prefix, run_command

READ_ENTRIES: Final = 500
"""Entries per command."""
CHECK_S: Final = 1.0
"""How often the reader of a silent run asks whether its writer lives."""


class RedisEventReader(Generic[E]):
    """Find and follow streams. Raise DependencyUnavailable when Redis does not answer.

    Parameters:
        tail: tells when a stream has grown; shared by all readers of the process.
        calls: gives each command its deadline, and bounds how many there are: many readers wake together.
        lost: the terminal event for a stream whose writer has died. None: its writers take over from each other (the
            ingest of documents), and nobody is ever taken for dead.
        kept_ms: how long a stream that was ended that way can still be read.
    """

    def __init__(
        self,
        redis: Redis,
        codec: EventCodec[E],
        tail: StreamTail,
        calls: BoundedCalls,
        *,
        lost: E | None = None,
        kept_ms: int = 0,
    ) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._codec = codec
        self._tail = tail
        self._lost = codec.encode(lost) if lost is not None else None
        self._kept_ms = kept_ms
        self._calls = calls

    async def find(self, stream: StreamId) -> StreamState | None:
        """Return how far a stream is; None when there is none, or none any more."""
        keys = make_stream_keys(self._prefix, stream)
        for number, fields in await self._call(self._redis.xrevrange(keys.events, count=1)):
            return StreamState(int(number.removesuffix("-0")), END in fields)
        begun = await self._call(self._redis.exists(keys.alive))  # its first events are on their way
        return StreamState(0, ended=False) if begun else None

    async def read(self, stream: StreamId, *, after: int = 0) -> AsyncGenerator[EventBatch[E], None]:
        """Yield events as they come; return after the terminal one. Raise LogClosedError when the tail is closed."""
        keys = make_stream_keys(self._prefix, stream)
        # An entry's id is the number of its last event. The one with `after` itself is read, too: it may be the last.
        start = f"{after}-0"
        with self._tail.follow(keys.events, start) as grown:
            while True:
                if self._tail.closed:
                    raise LogClosedError
                grown.clear()
                entries = await self._call(self._redis.xrange(keys.events, start, "+", READ_ENTRIES))
                if entries:
                    newest, fields = entries[-1]
                    start = f"({newest}"
                    if (batch := load_batch(entries, self._codec, after=after)) is not None:
                        after = batch.last
                        yield batch
                    if END in fields:
                        return
                elif self._lost is None:
                    await grown.wait()
                elif not await _wait(grown, CHECK_S) and await self._end_if_lost(stream):
                    state = await self.find(stream)
                    if state is not None and state.ended and state.last < after:
                        return  # the reader has named an event that has never been

    async def follow(self, stream: StreamId, sink: EventSink[E], *, after: int = 0) -> None:
        """Give events to a sink as they come."""
        await pour(self.read(stream, after=after), sink)

    async def request_stop(self, stream: StreamId, kept_ms: int) -> None:
        """Ask the writer of a stream to end it; do nothing when it has ended or was never there."""
        keys = make_stream_keys(self._prefix, stream)
        await self._call(self._redis.eval(scripts.STOP, 2, keys.events, keys.stop, str(kept_ms)))

    async def _end_if_lost(self, stream: StreamId) -> bool:
        """End a stream whose writer shows no life any more, unless it has ended; return whether it shows none."""
        keys = make_stream_keys(self._prefix, stream)
        if self._lost is None or await self._call(self._redis.exists(keys.alive)):
            return False
        name, data = self._lost
        ended = self._redis.eval(
            scripts.END_LOST, 2, keys.events, keys.alive, name, json.dumps(data), str(self._kept_ms)
        )
        await self._call(ended)
        return True

    async def _call(self, command: Any) -> Any:
        return await run_command(self._calls, command, "The events cannot be read now; try again in a few seconds.")


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Return whether the event came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
