"""Follows many Redis streams with one connection, and tells who waits for one that it has grown."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.tasks import end_tasks

log = structlog.get_logger(__name__)

BLOCK_MS = 200
"""How long one command waits. A stream that is followed anew is seen by the next one; its history is read before."""
LOOK_ENTRIES = 1000
"""Entries per stream and command, so that one command passes by all of a history."""
PAUSE_S = 0.5
"""Pause after Redis failed."""


class StreamTail:
    """Wake followers when their stream grows. One command at a time, however many follow.

    Each reader asking by itself would cost a connection that blocks, or thousands of commands a second.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._seen: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @contextmanager
    def follow(self, key: str, seen: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the stream has grown beyond the entry `seen`, and at the end."""
        grown = asyncio.Event()
        self._followers.setdefault(key, set()).add(grown)
        # Where others follow already, all that comes from now on is told: a follower reads what is there by itself.
        self._seen.setdefault(key, seen)
        if self.closed:
            grown.set()
        elif self._task is None:
            self._task = asyncio.create_task(self._watch(), name="event_log_tail")
        try:
            yield grown
        finally:
            self._followers[key].discard(grown)
            if not self._followers[key]:
                del self._followers[key], self._seen[key]

    async def close(self) -> None:
        """Wake all followers, and end."""
        self.stop_following()
        if self._task is not None:
            await end_tasks(self._task)

    def stop_following(self) -> None:
        """Wake all followers for good."""
        self.closed = True
        for followers in self._followers.values():
            for grown in followers:
                grown.set()

    async def _watch(self) -> None:
        try:
            while self._followers:
                try:
                    await self._look()
                except (RedisError, OSError) as error:
                    log.warning("event_log_away", error=type(error).__name__)
                    await asyncio.sleep(PAUSE_S)
        finally:
            self._task = None

    async def _look(self) -> None:
        streams: Any = dict(self._seen)
        for key, entries in await self._redis.xread(streams, count=LOOK_ENTRIES, block=BLOCK_MS):
            if key in self._seen:
                self._seen[key] = entries[-1][0]
                for grown in self._followers[key]:
                    grown.set()
