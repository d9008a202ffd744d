"""The clients with which a process reads and writes events on Redis, and the log of its runs on them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from shared.bounded_calls import BoundedCalls
from shared.event_log.port import E, EventCodec, SharedEventLog
from shared.event_log.redis_log import RedisEventLog
from shared.event_log.spread_log import PARTS, SpreadEventLog
from shared.event_log.tail import StreamTail
from shared.redis_client import connect_redis, is_cluster

READS_AT_ONCE: Final = 16
"""Commands of those who read events: each takes a connection, and many wake together."""


@dataclass(frozen=True)
class EventsClient:
    """A client, what tells that streams have grown, and what bounds the calls of those who read them."""

    redis: Redis
    tail: StreamTail
    reads: BoundedCalls


@asynccontextmanager
async def open_events(url: str, *, timeout_s: float, part: str = "") -> AsyncIterator[EventsClient]:
    """Connect to where events are; see `connect_redis` for `part`."""
    async with AsyncExitStack() as stack:
        redis = connect_redis(url, timeout_s=timeout_s, part=part)
        stack.push_async_callback(redis.aclose)
        reads = BoundedCalls(deadline_s=timeout_s, at_once=READS_AT_ONCE)
        stack.push_async_callback(reads.close)
        tail = StreamTail(redis)
        stack.push_async_callback(tail.close)
        yield EventsClient(redis, tail, reads)


@asynccontextmanager
async def open_run_log(
    url: str, client: EventsClient, codec: EventCodec[E], *, timeout_s: float, lost: E
) -> AsyncIterator[tuple[SharedEventLog[E], Sequence[StreamTail]]]:
    """Open the log of the runs, with what its readers wait for.

    On a single Redis it uses a client that is there; on a Redis Cluster it has one for each of its parts.
    """
    async with AsyncExitStack() as stack:
        clients = [client]
        if is_cluster(url):
            opened = [open_events(url, timeout_s=timeout_s, part=part) for part in PARTS]
            clients = [await stack.enter_async_context(one) for one in opened]
        logs = [RedisEventLog(one.redis, codec, one.tail, one.reads, lost=lost) for one in clients]
        try:
            yield SpreadEventLog(logs) if len(logs) > 1 else logs[0], [one.tail for one in clients]
        finally:
            # At once: each waits for its node, for a second where that does not answer.
            await asyncio.gather(*(log.close() for log in logs))
