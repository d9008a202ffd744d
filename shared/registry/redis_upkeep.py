"""The registry's upkeep on Redis; its keys are in `keys.py`."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from shared.bounded_calls import BoundedCalls
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable
from shared.redis_client import name_prefix, run_command
from shared.registry.keys import (
    RegistryKeys,
    make_member,
)
from shared.registry.listing import list_whole
from shared.registry.records import parse_blobs
from shared.registry.redis_versions import AWAY, DEADLINE_S
from shared.registry.upkeep_port import DocumentState, Stray

CALLS_AT_ONCE = 8
REWRITE_S = 300.0
"""How long Redis may take to write its file anew: a gigabyte takes seconds."""
REWRITE_POLL_S = 0.2
_NOT_REWRITTEN = "Redis could not write its file anew; its log says why."
SCAN_KEYS = 500

# KEYS: document, stray's key, purging   ARGV: member of the stray, member of `purging`
# Returns 1 when it was a stray. In one step, so that nothing is taken from a document that is being made.
_REMOVE = """
local status = redis.call('HGET', KEYS[1], 'status')
if KEYS[1] == KEYS[2] then
  if status ~= 'deleted' or redis.call('PTTL', KEYS[1]) >= 0 then return 0 end
  return redis.call('SADD', KEYS[3], ARGV[2])
end
if status then return 0 end
if ARGV[1] == '' then return redis.call('DEL', KEYS[2]) end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind == 'zset' then return redis.call('ZREM', KEYS[2], ARGV[1]) end
if kind == 'set' then return redis.call('SREM', KEYS[2], ARGV[1]) end
if kind == 'hash' then return redis.call('HDEL', KEYS[2], ARGV[1]) end
return 0
"""

# KEYS: document, lease, pending, purging, helpers   ARGV: token, milliseconds, member
_HOLD = """
if redis.call('EXISTS', KEYS[5]) == 1 then return {} end
if redis.call('SISMEMBER', KEYS[3], ARGV[3]) == 1 or redis.call('SISMEMBER', KEYS[4], ARGV[3]) == 1 then return {} end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {} end
local found = redis.call('HMGET', KEYS[1], 'status', 'version')
return {found[1] or '', found[2] or ''}
"""

# KEYS: lease   ARGV: token
_LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisRegistryUpkeep:
    """A RegistryUpkeep. Raises DependencyUnavailable when Redis does not answer within `deadline_s` seconds."""

    def __init__(self, redis: Redis, *, deadline_s: float = DEADLINE_S) -> None:
        self._redis = redis
        self._keys = RegistryKeys(name_prefix(redis))
        self._calls = BoundedCalls(deadline_s=deadline_s, at_once=CALLS_AT_ONCE)

    async def close(self) -> None:
        """End the calls that nobody waits for any more; the client stays open."""
        await self._calls.close()

    async def find_states(self, jobs: Sequence[DocumentJob]) -> Sequence[DocumentState | None]:
        """Return the states of these documents; None for one without a record."""
        pipe = self._redis.pipeline(transaction=True)  # of one moment; `execute` gives its connection back
        for job in jobs:
            pipe.hmget(
                self._keys.document(job.tenant, job.document_id), ["status", "version", "sha256", "blob", "live"]
            )
            pipe.exists(self._keys.lease(job), self._keys.helpers(job))
            pipe.sismember(self._keys.pending, make_member(job))
            pipe.sismember(self._keys.purging, make_member(job))
        replies = iter(await self._call(pipe.execute()))
        return [
            None
            if (status := row[0]) is None
            else DocumentState(
                status,
                row[1] or "",
                parse_blobs(job.document_id, row[2], row[3], row[4] or "", "").named,
                busy=any(marks),
            )
            for job, (row, *marks) in zip(jobs, zip(replies, replies, replies, replies, strict=True), strict=True)
        ]

    async def list_states(self) -> AsyncGenerator[Sequence[tuple[DocumentJob, DocumentState]], None]:
        """Yield all documents of all tenants, some at a time."""
        async for keys in self._scan(self._keys.match("document:*"), "hash"):
            jobs = [self._keys.parse_document(key) for key in keys]
            found = zip(jobs, await self.find_states(jobs), strict=True)
            yield [(job, state) for job, state in found if state is not None]

    async def list_strays(self) -> AsyncGenerator[Sequence[Stray], None]:
        """Yield what is left of documents without a record, some at a time."""
        async for keys in self._scan(self._keys.match("document:*:events"), "stream"):
            yield await self._keep_strays(
                [Stray(self._keys.parse_document(key.removesuffix(":events")), key) for key in keys]
            )
        async for keys in self._scan(self._keys.match("document:*"), "hash"):
            yield await self._keep_lost_purges([Stray(self._keys.parse_document(key), key) for key in keys])
        for name, kind in (("documents", "zset"), ("ready", "set"), ("identities", "hash"), ("cards", "set")):
            async for keys in self._scan(self._keys.match(name), kind):
                for key in keys:
                    tenant = self._keys.parse_tenant(key, name)
                    async for pairs in self._scan_members(key, kind):
                        strays = await self._keep_strays(
                            [
                                Stray(DocumentJob(tenant=tenant, document_id=document_id), key, member)
                                for member, document_id in pairs
                            ]
                        )
                        if strays and name == "cards":
                            yield await self._find_terms(key, strays)  # first: who has a card is known by this list
                        yield strays

    async def _find_terms(self, cards: str, strays: Sequence[Stray]) -> list[Stray]:
        """The places of strays with a card in the lists of its terms: a worker of before there were cards left them."""
        found = []
        async for keys in self._scan(f"{cards}:.*", "zset"):
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.execute_command("ZMSCORE", key, *[stray.member for stray in strays])  # redis-py's has no type
            for key, scores in zip(keys, await self._call(pipe.execute()), strict=True):
                placed = zip(strays, scores, strict=True)
                found += [Stray(stray.job, key, stray.member) for stray, score in placed if score is not None]
        return found

    async def remove_stray(self, stray: Stray) -> bool:
        """Remove a stray, or have its document purged; return whether it still was one."""
        keys = [self._keys.document(stray.job.tenant, stray.job.document_id), stray.key, self._keys.purging]
        return bool(await self._call(self._redis.eval(_REMOVE, 3, *keys, stray.member, make_member(stray.job))))

    async def hold(self, job: DocumentJob, token: str, for_ms: int) -> DocumentState | None:
        """Keep workers off a document that none of them has or is to have; return its state."""
        keys = [
            self._keys.document(job.tenant, job.document_id),
            self._keys.lease(job),
            self._keys.pending,
            self._keys.purging,
            self._keys.helpers(job),
        ]
        found = await self._call(self._redis.eval(_HOLD, len(keys), *keys, token, str(for_ms), make_member(job)))
        return DocumentState(found[0], found[1], [], busy=False) if found else None

    async def let_go(self, job: DocumentJob, token: str) -> None:
        """End a hold."""
        await self._call(self._redis.eval(_LET_GO, 1, self._keys.lease(job), token))

    async def compact(self) -> bool:
        """Have Redis write its file anew, without the names of purged documents; return whether it had any.

        Raises DependencyUnavailable also where Redis does not allow it or cannot, and TimeoutError after REWRITE_S.
        """
        purged = int(await self._call(self._redis.get(self._keys.purged)) or 0)
        if not purged:
            return False
        state = await self._call(self._redis.info("persistence"))
        appends = bool(state["aof_enabled"])
        rewrite: Any = self._redis.bgrewriteaof if appends else self._redis.bgsave  # the client has no types for it
        await self._call(rewrite())
        async with asyncio.timeout(REWRITE_S):
            while _is_writing(state := await self._call(self._redis.info("persistence"))):  # noqa: ASYNC110 - it only tells who asks
                await asyncio.sleep(REWRITE_POLL_S)
        if state["aof_last_bgrewrite_status" if appends else "rdb_last_bgsave_status"] != "ok":
            raise DependencyUnavailable(_NOT_REWRITTEN)
        await self._call(self._redis.decrby(self._keys.purged, purged))
        return True

    async def _keep_strays(self, strays: Sequence[Stray]) -> list[Stray]:
        """Those whose documents have no record, and which do not go by themselves."""
        states = await self.find_states([stray.job for stray in strays])
        without = [stray for stray, state in zip(strays, states, strict=True) if state is None]
        return await self._keep_lasting(without)

    async def _keep_lost_purges(self, strays: Sequence[Stray]) -> list[Stray]:
        states = await self.find_states([stray.job for stray in strays])
        found = zip(strays, states, strict=True)
        deleted = [stray for stray, state in found if state and state.status == "deleted" and not state.busy]
        return await self._keep_lasting(deleted)

    async def _keep_lasting(self, strays: Sequence[Stray]) -> list[Stray]:
        """Those that do not go by themselves."""
        pipe = self._redis.pipeline(transaction=False)
        for stray in strays:
            pipe.pttl(stray.key)
        return [stray for stray, ttl in zip(strays, await self._call(pipe.execute()), strict=True) if ttl == -1]

    async def _scan(self, pattern: str, kind: str) -> AsyncGenerator[list[str], None]:
        """Yield keys, some at a time. Whoever lists documents takes those that are passed by for gone."""

        def scan(pipe: Any, cursor: int) -> None:
            pipe.scan(cursor, match=pattern, count=SCAN_KEYS, _type=kind.upper())

        async for keys in list_whole(self._redis, self._call, self._keys.pending, scan):
            if keys:
                yield keys

    async def _scan_members(self, key: str, kind: str) -> AsyncGenerator[list[tuple[str, str]], None]:
        """Yield members with the ids of their documents."""

        def scan(pipe: Any, cursor: int) -> None:
            {"zset": pipe.zscan, "set": pipe.sscan, "hash": pipe.hscan}[kind](key, cursor, count=SCAN_KEYS)

        async for found in list_whole(self._redis, self._call, key, scan):
            if kind == "hash":
                yield list(found.items())
            else:
                yield [(member, member) for member in (pair[0] if kind == "zset" else pair for pair in found)]

    async def _call(self, command: Any) -> Any:
        return await run_command(self._calls, command, AWAY)


def _is_writing(state: Mapping[str, Any]) -> bool:
    names = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
    return any(state.get(name) for name in names)
