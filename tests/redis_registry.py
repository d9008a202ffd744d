"""The registry on Redis, as tests need it."""

from collections.abc import Sequence
from typing import Any

from shared.contracts.jobs import DocumentJob
from shared.registry.redis_registry import RedisDocumentRegistry


class ExpiringRegistry(RedisDocumentRegistry):
    """A test can let a lease run out."""

    async def expire_lease(self, job: DocumentJob) -> None:
        """Let the lease of a worker that has died run out."""
        key = self._keys.lease(job)
        assert await self._redis.exists(key)
        await self._redis.pexpire(key, 0)  # its answer says nothing: on a slow machine it may have been sent twice


class RepeatingRegistry(ExpiringRegistry):
    """Runs each script twice and believes the second answer: what a client does whose Redis was slow to answer."""

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        await super()._run(script, keys, arguments)
        return await super()._run(script, keys, arguments)
