"""The ranges of large documents on Redis; the keys are in `keys.py`, what stands in them in `range_scripts.py`."""

import time
from collections.abc import Sequence
from typing import Any, Literal

from redis.asyncio import Redis

from shared.bounded_calls import BoundedCalls
from shared.contracts.jobs import DocumentJob
from shared.redis_client import name_prefix, run_command
from shared.registry import range_scripts
from shared.registry.keys import (
    RegistryKeys,
    make_member,
    parse_member,
)
from shared.registry.port import Lease, LeaseLostError
from shared.registry.ranges_port import RangeClaim, RangePlan
from shared.registry.redis_versions import AWAY, DEADLINE_S

CALLS_AT_ONCE = 8


class RedisDocumentRanges:
    """A DocumentRanges. Raises DependencyUnavailable when Redis does not answer within `deadline_s` seconds, and
    DiskFull when it cannot write."""

    def __init__(self, redis: Redis, *, deadline_s: float = DEADLINE_S) -> None:
        self._redis = redis
        self._keys = RegistryKeys(name_prefix(redis))
        self._calls = BoundedCalls(deadline_s=deadline_s, at_once=CALLS_AT_ONCE)

    async def close(self) -> None:
        """End the calls that nobody waits for any more; the client stays open."""
        await self._calls.close()

    async def open(self, lease: Lease, plan: RangePlan) -> None:
        """Offer a document to helpers; what is done of the same plan stays done. Raises LeaseLostError."""
        arguments = [
            lease.epoch,
            make_member(lease.job),
            plan.version,
            plan.title,
            plan.chunks,
            plan.range_chunks,
        ]
        if not await self._run(range_scripts.OPEN, lease.job, arguments):
            raise LeaseLostError(lease.job.document_id)

    async def claim(self, lease: Lease, plan: RangePlan) -> RangeClaim | Literal["held", "done"]:
        """Take the first range that nobody has, or whose helper's time has run out. Raises LeaseLostError."""
        reply = await self._run(range_scripts.CLAIM, lease.job, [lease.epoch, plan.version])
        match reply[0]:
            case "claimed":
                return RangeClaim(lease.job, plan, int(reply[1]), epoch=lease.epoch)
            case "held" | "done":
                return "held" if reply[0] == "held" else "done"
        raise LeaseLostError(lease.job.document_id)

    async def find_shared(self) -> tuple[DocumentJob, RangePlan] | None:
        """Return any document that helpers are wanted for."""
        member = await self._call(self._redis.srandmember(self._keys.shared))
        if member is None:
            return None
        job = parse_member(member)
        found = await self._run(range_scripts.LOOK, job, [member])
        return (job, RangePlan(found[0], found[1], int(found[2]), int(found[3]), found[4])) if found else None

    async def claim_as_helper(self, job: DocumentJob, plan: RangePlan, token: str, lease_ms: int) -> RangeClaim | None:
        """Take the first range that nobody has; None when there is none, or the document may kill its workers."""
        reply = await self._run(range_scripts.CLAIM, job, ["", plan.version, token, lease_ms])
        return RangeClaim(job, plan, int(reply[1]), token) if reply[0] == "claimed" else None

    async def keep(self, claim: RangeClaim, lease_ms: int) -> bool:
        """Begin a helper's time anew; False when the range is no longer its own."""
        arguments = [claim.plan.version, claim.number, claim.token, lease_ms]
        return bool(await self._run(range_scripts.KEEP, claim.job, arguments))

    async def finish(self, claim: RangeClaim) -> bool:
        """Note that a range is embedded and stored; False when it was no longer ours, and is not done."""
        epoch = "" if claim.epoch is None else claim.epoch
        arguments = [claim.plan.version, claim.number, claim.token, epoch, time.time_ns() // 1_000_000]
        return bool(await self._run(range_scripts.FINISH, claim.job, arguments))

    async def give_back(self, claim: RangeClaim) -> None:
        """End a helper's claim."""
        await self._run(range_scripts.GIVE_BACK, claim.job, [claim.plan.version, claim.number, claim.token])

    async def has_helpers(self, job: DocumentJob) -> bool:
        """Return whether a helper may be writing points of the document."""
        return bool(await self._call(self._redis.exists(self._keys.helpers(job))))

    async def _run(self, script: str, job: DocumentJob, arguments: Sequence[Any]) -> Any:
        keys = [
            self._keys.document(job.tenant, job.document_id),
            self._keys.ranges(job),
            self._keys.helpers(job),
            self._keys.events(job.tenant, job.document_id),
            self._keys.shared,
        ]
        return await self._call(self._redis.eval(script, len(keys), *keys, *arguments))

    async def _call(self, command: Any) -> Any:
        return await run_command(self._calls, command, AWAY)
