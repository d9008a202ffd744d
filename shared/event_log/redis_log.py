"""The event log on Redis Streams, for runs that outlive their client.

A run's events are in memory first: readers in the writer's process get them from there, at no cost. Every FLUSH_S one
pipeline writes what is new of all runs of the process, a run's new events as one entry. So Redis costs a few commands a
second per run, not per token, and when it is away the readers who are connected here still get everything.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.bounded_calls import BoundedCalls
from shared.event_log import scripts
from shared.event_log.live_stream import LiveStream
from shared.event_log.port import E, EventBatch, EventCodec, EventSink, StreamId, StreamState
from shared.event_log.redis_reader import RedisEventReader
from shared.event_log.stream_keys import StreamKeys, dump_batch, make_stream_keys
from shared.event_log.tail import StreamTail
from shared.redis_client import name_prefix
from shared.tasks import end_tasks

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.05
"""How long events wait for others before they are written: what a reader elsewhere is behind."""
HEARTBEAT_S: Final = 1.0
"""How often a silent run shows that its writer lives."""
ALIVE_MS: Final = 6_000
"""After so long without a heartbeat the writer of a run counts as dead."""
KEPT_MS: Final = 600_000
"""How long a run can be read after its end."""
UNFINISHED_MS: Final = 3_600_000
"""How long a run is kept that never ends, because its writer died and nobody reads it."""
MAX_ENTRIES: Final = 20_000
"""Entries per stream: 16 minutes of FLUSH_S. The limits of a run are reached before."""
BEGIN_S: Final = 1.0
"""How long a run waits for Redis before it begins without, and how long the last write at the end may take."""
BEGINS_AT_ONCE: Final = 32
"""Connections that these take of the client's pool of 100."""
GIVE_UP_S: Final = 30.0
"""How long an ended run is kept in memory while Redis does not take it."""


@dataclass
class _Written(Generic[E]):
    """A stream that this process writes, and how much of it Redis has."""

    live: LiveStream[E]
    keys: StreamKeys
    flushed: int = 0
    beat: float = 0.0
    hopeless: float | None = None


class RedisEventLog(Generic[E]):
    """Write streams, and read them wherever they are written.

    Parameters:
        redis: a client whose replies are `str`; on a Redis Cluster all streams are where its slot is.
        tail, calls: as for RedisEventReader.
        lost: the terminal event for a run whose writer has died.
    """

    def __init__(self, redis: Redis, codec: EventCodec[E], tail: StreamTail, calls: BoundedCalls, *, lost: E) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._codec = codec
        self._reader = RedisEventReader(redis, codec, tail, calls, lost=lost, kept_ms=KEPT_MS)
        self._brief = BoundedCalls(deadline_s=BEGIN_S, at_once=BEGINS_AT_ONCE)
        self._append = redis.register_script(scripts.APPEND)
        self._written: dict[StreamId, _Written[E]] = {}
        self._changed = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None
        self.on_stop: Callable[[StreamId], None] = _ignore
        self.on_lost: Callable[[StreamId], None] = _ignore

    async def begin(self, stream: StreamId) -> bool:
        """Open a stream; return whether Redis knows of it, so that readers can come back to it."""
        written: _Written[E] = _Written(LiveStream(bound=None), make_stream_keys(self._prefix, stream))
        self._written[stream] = written
        self._changed.set()
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_forever(), name="event_log_flusher")
        announcing: Any = self._redis.set(written.keys.alive, "1", px=ALIVE_MS)
        try:
            await self._brief.run(announcing)
        except (RedisError, OSError):  # a missed deadline is an OSError
            return False
        return True

    async def append(self, stream: StreamId, event: E) -> None:
        """Add an event; never wait: readers may be slow or away, the run goes on."""
        if (written := self._written.get(stream)) is not None:
            await written.live.append(event)
            self._changed.set()

    def end(self, stream: StreamId, event: E) -> None:
        """Add the terminal event."""
        if (written := self._written.get(stream)) is not None:
            written.live.end(event)
            self._changed.set()

    async def find(self, stream: StreamId) -> StreamState | None:
        """Return how far a stream is, here or elsewhere."""
        written = self._written.get(stream)
        return written.live.state if written is not None else await self._reader.find(stream)

    def read(self, stream: StreamId, *, after: int = 0) -> AsyncGenerator[EventBatch[E], None]:
        """Yield events as they come: from memory where they are written here, else from Redis."""
        written = self._written.get(stream)
        return written.live.read(after) if written is not None else self._reader.read(stream, after=after)

    async def follow(self, stream: StreamId, sink: EventSink[E], *, after: int = 0) -> None:
        """Give events to a sink as they come, from where `read` has them."""
        if (written := self._written.get(stream)) is not None:
            await written.live.follow(sink, after)
        else:
            await self._reader.follow(stream, sink, after=after)

    async def request_stop(self, stream: StreamId) -> None:
        """Ask the process that writes a stream to end it."""
        await self._reader.request_stop(stream, UNFINISHED_MS)

    async def close(self) -> None:
        """Write what is left where Redis takes it at once; let all readers return."""
        for written in self._written.values():
            written.live.close()
        if self._flusher is not None:
            await end_tasks(self._flusher)
            with suppress(RedisError, OSError):
                await self._brief.run(self._flush())
        await self._brief.close()

    async def _flush_forever(self) -> None:
        while True:
            if self._written:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await self._changed.wait()
            else:
                await self._changed.wait()
            await asyncio.sleep(FLUSH_S)
            self._changed.clear()
            try:
                await self._flush()
            except (RedisError, OSError) as error:
                log.warning("event_log_away", error=type(error).__name__, streams=len(self._written))
                self._forget_hopeless()
                await asyncio.sleep(HEARTBEAT_S)
            except Exception as error:
                # A bug of ours: without this task all runs of the process would be taken for dead.
                log.exception("event_log_bug", error=type(error).__name__)
                await asyncio.sleep(HEARTBEAT_S)

    async def _flush(self) -> None:
        """Write with one pipeline what is new of all streams, and the heartbeats that are due."""
        now = asyncio.get_running_loop().time()
        sent: list[tuple[StreamId, _Written[E], StreamState]] = []
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream, written in list(self._written.items()):
                state = written.live.state
                if state.last == written.flushed and now < written.beat:
                    continue
                sent.append((stream, written, state))
                await self._append(written.keys.as_list(), self._make_arguments(written, state), client=pipe)
            replies = await pipe.execute() if sent else []
        for (stream, written, state), (verdict, _) in zip(sent, replies, strict=True):
            written.flushed, written.beat = state.last, now + HEARTBEAT_S
            if state.ended:
                del self._written[stream]
            elif verdict == "ended":
                self.on_lost(stream)
            elif verdict == "stop":
                self.on_stop(stream)

    def _make_arguments(self, written: _Written[E], state: StreamState) -> list[str | int]:
        batch = written.live.get(written.flushed)
        return [
            state.last if batch is not None else 0,
            dump_batch(batch, self._codec) if batch is not None else "",
            int(state.ended),
            ALIVE_MS,
            KEPT_MS if state.ended else UNFINISHED_MS,
            MAX_ENTRIES,
        ]

    def _forget_hopeless(self) -> None:
        """Drop ended streams that Redis has not taken for GIVE_UP_S: memory is bounded."""
        now = asyncio.get_running_loop().time()
        for stream, written in list(self._written.items()):
            if written.live.ended:
                written.hopeless = written.hopeless or now + GIVE_UP_S
                if now >= written.hopeless:
                    del self._written[stream]


def _ignore(stream: StreamId) -> None:
    """Nobody has asked to be told."""
