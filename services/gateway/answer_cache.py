"""The answer cache on Redis: one hash per tenant, which whatever changes the tenant's searches drops as a whole.

The registry's scripts do that (shared/registry/revision.py). Here an answer is written only while the revision is the
one that was read before its search, and read together with the revision; each is one step.
"""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway.ports import CacheLookup, KeptAnswer
from shared.bounded_calls import BoundedCalls
from shared.lua_clock import FIND_TIME
from shared.redis_client import name_prefix
from shared.registry.revision import make_revision_keys

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 0.2
"""Seconds for a call, which takes half a millisecond. Longer than this nobody shall wait for what only saves work."""
AT_ONCE: Final = 16
"""Connections that these calls take of the client's pool of 100."""
MAX_ANSWER_BYTES: Final = 1_000_000
"""Of one answer, which is read on the event loop: some milliseconds. Usual ones have 12 kB."""

# KEYS: revision, answers, ages   ARGV: key
# Returns {revision, answer}, without what is not there.
_FIND: Final = (
    FIND_TIME
    + """
local revision = redis.call('GET', KEYS[1])
if not revision then return {} end
local field = revision .. ':' .. ARGV[1]
local expires = redis.call('ZSCORE', KEYS[3], field)
if not expires or tonumber(expires) <= find_time() then return {revision} end
return {revision, redis.call('HGET', KEYS[2], field)}
"""
)

# KEYS: revision, answers, ages   ARGV: key, revision, answer, ttl_ms, most entries, most bytes
# What would expire first makes room.
_KEEP: Final = (
    FIND_TIME
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return end
local function drop(field)
  redis.call('HINCRBY', KEYS[2], 'bytes', -redis.call('HSTRLEN', KEYS[2], field))
  redis.call('HDEL', KEYS[2], field)
  redis.call('ZREM', KEYS[3], field)
end
local field = ARGV[2] .. ':' .. ARGV[1]
drop(field)
redis.call('HSET', KEYS[2], field, ARGV[3])
redis.call('HINCRBY', KEYS[2], 'bytes', #ARGV[3])
local now = find_time()
redis.call('ZADD', KEYS[3], string.format('%.3f', now + ARGV[4]), field)
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.3f', now))) do drop(expired) end
while redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[5])
    or tonumber(redis.call('HGET', KEYS[2], 'bytes')) > tonumber(ARGV[6]) do
  local oldest = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
  if not oldest then break end
  drop(oldest)
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
"""
)


class RedisAnswerCache:
    """An AnswerCache.

    Parameters:
        redis: a client whose replies are `str`.
        kept_s: seconds that an answer is kept.
        max_entries, max_bytes: of one tenant.
    """

    def __init__(self, redis: Redis, *, kept_s: float, max_entries: int, max_bytes: int) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._kept_ms = int(kept_s * 1000)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._calls = BoundedCalls(deadline_s=DEADLINE_S, at_once=AT_ONCE)

    async def find(self, tenant: str, key: str) -> CacheLookup:
        """Return the revision, and what was kept under the key for it, as of one moment. Never raise."""
        reply: list[str | None] | None = await self._run(_FIND, tenant, [key])
        revision, dumped = [*(reply or ()), None, None][:2]
        try:
            answer = KeptAnswer.model_validate_json(dumped) if dumped is not None else None
        except ValidationError:  # of another release, or damaged: it is written anew
            log.warning("kept_answer_broken")
            answer = None
        return CacheLookup(revision, answer)

    async def keep(self, tenant: str, key: str, revision: str, answer: KeptAnswer) -> None:
        """Keep an answer, if the revision is still this one in that moment. Never raise."""
        try:
            dumped = answer.model_dump_json().encode()
        except ValueError:  # half a surrogate pair in its text has no UTF-8
            return
        if len(dumped) <= min(self._max_bytes, MAX_ANSWER_BYTES):
            limits = [self._kept_ms, self._max_entries, self._max_bytes]
            await self._run(_KEEP, tenant, [key, revision, dumped, *limits])

    async def close(self) -> None:
        """End the calls that nobody waits for any more."""
        await self._calls.close()

    async def _run(self, script: str, tenant: str, arguments: Sequence[Any]) -> Any:
        """Return the script's reply; None also when there is none."""
        keys = make_revision_keys(self._prefix, tenant).as_list()
        command: Any = self._redis.eval(script, len(keys), *keys, *arguments)
        try:
            return await self._calls.run(command)
        except (RedisError, OSError, UnicodeDecodeError) as error:  # a missed deadline is an OSError
            log.warning("answer_cache_away", error=type(error).__name__)
            return None
