"""Which run a chat can come back to, in Redis: one short-lived key per chat."""

from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway.ports import ActiveRun
from shared.bounded_calls import BoundedCalls
from shared.redis_client import name_prefix, run_command

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 1.0
"""Seconds for a call. Without this key an answer still comes; it can only not be found by its chat."""
AT_ONCE: Final = 16
"""Connections that these calls take of the client's pool of 100."""

_READ: Final = ":read"
"""Behind the id of a run that was read to its end."""
_MARK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end"


class RedisActiveRuns:
    """Keep the run of each chat.

    Parameters:
        redis: a client whose replies are `str`.
        kept_s: seconds after which a run cannot be read any more, counted from its beginning.
    """

    def __init__(self, redis: Redis, *, kept_s: float) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._kept_ms = int(kept_s * 1000)
        self._calls = BoundedCalls(deadline_s=DEADLINE_S, at_once=AT_ONCE)

    async def note(self, tenant: str, chat_id: str, run_id: str) -> None:
        """Make this the run of a chat in place of any other."""
        await self._try(self._redis.set(self._make_key(tenant, chat_id), run_id, px=self._kept_ms))

    async def find(self, tenant: str, chat_id: str) -> ActiveRun | None:
        """Return the run of a chat. Raise DependencyUnavailable when Redis does not answer."""
        reading = self._redis.get(self._make_key(tenant, chat_id))
        message = "The chat's answer cannot be looked up now; try again in a few seconds."
        noted: str | None = await run_command(self._calls, reading, message)
        return ActiveRun(noted.removesuffix(_READ), noted.endswith(_READ)) if noted is not None else None

    async def mark_read(self, tenant: str, chat_id: str, run_id: str) -> None:
        """Note that a chat's run was read to its end, unless it has another by now."""
        await self._try(self._redis.eval(_MARK, 1, self._make_key(tenant, chat_id), run_id, run_id + _READ))

    async def close(self) -> None:
        """End the calls that nobody waits for any more."""
        await self._calls.close()

    async def _try(self, command: Any) -> None:
        try:
            await self._calls.run(command)
        except (RedisError, OSError) as error:
            log.warning("active_runs_away", error=type(error).__name__)

    def _make_key(self, tenant: str, chat_id: str) -> str:
        """Return where a chat's run is noted. The chat's id is last: it may hold anything."""
        return f"{self._prefix}{tenant}:chat:{chat_id}"
