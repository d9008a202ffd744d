"""The keys under which uploads were sent, in Redis: a hash for each, which goes by itself."""

import hashlib
from typing import Any, Final

from redis.asyncio import Redis

from services.gateway.ports import UploadKeyUse
from shared.bounded_calls import BoundedCalls
from shared.redis_client import name_prefix, run_command

KEPT_MS: Final = 24 * 3600 * 1000
"""From the first use on: longer than any client goes on trying."""
AT_ONCE: Final = 16
"""Connections that these calls take of the client's pool of 100, of which the registry and conversations have 80."""

# Each script may run twice for one call: the second time changes nothing and answers the same.

# KEYS: key   ARGV: identity, milliseconds   Returns {identity, document id}.
_TAKE: Final = """
if redis.call('HSETNX', KEYS[1], 'identity', ARGV[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'identity', 'document_id')
"""

# KEYS: key   ARGV: document id
_NOTE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSETNX', KEYS[1], 'document_id', ARGV[1]) end
"""


class RedisUploadKeys:
    """An UploadKeys. Raises DependencyUnavailable when Redis does not answer, and DiskFull when it cannot write.

    Parameters:
        redis: a client whose replies are `str`.
        deadline_s: seconds for a call.
    """

    def __init__(self, redis: Redis, *, deadline_s: float) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._calls = BoundedCalls(deadline_s=deadline_s, at_once=AT_ONCE)

    async def take(self, tenant: str, key: str, identity: str) -> UploadKeyUse:
        """Take a key for an upload, or return what it was taken for before."""
        reply = await self._run(_TAKE, tenant, key, identity, str(KEPT_MS))
        return UploadKeyUse(reply[0], reply[1])

    async def note_accepted(self, tenant: str, key: str, document_id: str) -> None:
        """Note which document the upload has become."""
        await self._run(_NOTE, tenant, key, document_id)

    async def close(self) -> None:
        """End the calls that nobody waits for any more; the client stays open."""
        await self._calls.close()

    async def _run(self, script: str, tenant: str, key: str, *arguments: str) -> Any:
        # The client chose the key: hashed it has one length, and no characters that mean anything.
        name = f"{self._prefix}{tenant}:upload:{hashlib.sha256(key.encode()).hexdigest()}"
        command: Any = self._redis.eval(script, 1, name, *arguments)
        return await run_command(self._calls, command, "Uploads cannot be recorded now; try again in a few seconds.")
