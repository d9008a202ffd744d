"""The job queue on arq and Redis, with JSON bodies.

arq is in maintenance, so only this module, `services/ingest/worker.py` and `lane.py` beside it know it.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from arq.connections import ArqRedis
from arq.constants import default_queue_name, in_progress_key_prefix, job_key_prefix
from arq.jobs import serialize_job as serialize_arq_job

from shared.bounded_calls import BoundedCalls
from shared.contracts.jobs import DocumentJob
from shared.queue.port import LONGEST_PAUSE_S, PURGE
from shared.queue.scripts import BACKGROUND, CLOCK, PLACE
from shared.redis_client import PREFIX, make_pool, name_prefix, run_command

SMALL_BYTES = 256 * 1024
"""A document of this size is still small: some 30 pages of text, or one with fonts and pictures."""
_LONGEST_PAUSE_MS = LONGEST_PAUSE_S * 1000
EXPIRES_EXTRA_MS = 7 * 24 * 3600 * 1000
"""Jobs wait for a week before arq forgets them (its default is a day); then the reconciler queues them anew."""
CALLS_AT_ONCE = 32
"""Connections that calls take of the client's pool of 100; arq's worker needs some beside them."""


def serialize_job(job: dict[str, Any]) -> bytes:
    """JSON instead of arq's pickle: who can write to Redis must not be able to run code."""
    return json.dumps(job, default=str).encode()


def deserialize_job(body: bytes) -> dict[str, Any]:
    """The inverse of `serialize_job`."""
    parsed: dict[str, Any] = json.loads(body)
    return parsed


class LaneNames:
    """The names of the lanes, on a Redis where all keys begin with `prefix`.

    Attributes:
        large: as long as there was one lane it was this.
        small: small documents take seconds and wait for no large one.
        purges: they take milliseconds and wait for no ingest.
    """

    def __init__(self, prefix: str = PREFIX) -> None:
        self.large = f"{prefix}{default_queue_name}"
        self.small = f"{self.large}:small"
        self.purges = f"{self.large}:purges"

    def find_all(self, function: str) -> Sequence[str]:
        """Return the lanes in which a function's jobs may stand."""
        return (self.purges,) if function == PURGE else (self.large, self.small)

    def choose(self, function: str, size_bytes: int, *, background: bool) -> tuple[str, str]:
        """Return a job's lane, and the one where it may stand for another reason, or from a version without lanes."""
        if function == PURGE:
            return self.purges, self.purges
        small = size_bytes <= SMALL_BYTES and not background
        return (self.small, self.large) if small else (self.large, self.small)


def make_job_id(function: str, job: DocumentJob, prefix: str = PREFIX) -> str:
    """One id per document and function: a job that is queued already is not queued twice.

    arq puts names of its own before the id; on a Redis Cluster the prefix in it keeps them together.
    """
    return f"{prefix if prefix != PREFIX else ''}{function}:{job.tenant}:{job.document_id}"


class ArqJobQueue:
    """A JobQueue. Raises DependencyUnavailable when Redis does not answer within `timeout_s` seconds.

    Attributes:
        arq: the client, for arq's worker.
        lanes: what arq's queues are called.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        pool = make_pool(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, max_connections=100)
        self.arq = ArqRedis(
            pool_or_conn=pool,
            job_serializer=serialize_job,
            job_deserializer=deserialize_job,
            expires_extra_ms=EXPIRES_EXTRA_MS,
        )
        self._prefix = name_prefix(self.arq)
        self.lanes = LaneNames(self._prefix)
        self.arq.auto_close_connection_pool = True  # closing the client closes the pool
        self._calls = BoundedCalls(deadline_s=timeout_s, at_once=CALLS_AT_ONCE)

    async def close(self) -> None:
        """End the calls that nobody waits for any more, and close the connections."""
        await self._calls.close()
        await self.arq.aclose()

    async def enqueue(self, function: str, job: DocumentJob, size_bytes: int = 0, *, background: bool = False) -> bool:
        """Queue a job; return False when the same job waits, pauses or runs already."""
        job_id = self._make_id(function, job)
        lane, other_lane = self.lanes.choose(function, size_bytes, background=background)
        body = serialize_arq_job(
            function, (job.model_dump(),), {}, None, time.time_ns() // 1_000_000, serializer=serialize_job
        )
        keys = [lane, f"{lane}:places", other_lane, job_key_prefix + job_id, in_progress_key_prefix + job_id]
        cost = 1 + size_bytes // 1024
        # In the background a tenant has a turn of its own: its next upload does not stand behind that.
        turn = f"{job.tenant} background" if background else job.tenant
        floor = BACKGROUND if background else 0
        arguments: list[Any] = [job_id, body, EXPIRES_EXTRA_MS, turn, cost, _LONGEST_PAUSE_MS, floor]
        return bool(await self._call(self.arq.eval(PLACE, len(keys), *keys, *arguments)))

    async def find_unqueued(self, function: str, jobs: Sequence[DocumentJob], lease_ms: int) -> Sequence[DocumentJob]:
        """Return those of these jobs that nobody would ever run, or not in their turn; a few commands for them all."""
        if not jobs:
            return []
        ids = [self._make_id(function, job) for job in jobs]
        pipe = self.arq.pipeline(transaction=False)  # `execute` gives its connection back
        pipe.time()
        pipe.mget([job_key_prefix + job_id for job_id in ids])
        pipe.mget([in_progress_key_prefix + job_id for job_id in ids])
        for lane in self.lanes.find_all(function):
            pipe.execute_command("ZMSCORE", lane, *ids)  # redis-py's own has no type
        clock, bodies, running, *scores = await self._call(pipe.execute())
        now = int(clock[0]) * 1000 + int(clock[1]) // 1000
        unqueued = []
        for job, body, runs, *places in zip(jobs, bodies, running, *scores, strict=True):
            if runs is not None:
                await self._shorten_orphan(function, job, lease_ms)
            score = min((float(place) for place in places if place is not None), default=None)
            if body is None or score is None or _is_astray(score, now, runs=runs is not None):
                unqueued.append(job)
        return unqueued

    async def count_jobs(self) -> dict[str, int]:
        """Return how many jobs of each lane are not done: they wait, pause or run."""
        lanes = {"small": self.lanes.small, "large": self.lanes.large, "purges": self.lanes.purges}
        pipe = self.arq.pipeline(transaction=False)  # `execute` gives its connection back
        for lane in lanes.values():
            pipe.zcard(lane)
        counts = await self._call(pipe.execute())
        return dict(zip(lanes, counts, strict=True))

    async def _shorten_orphan(self, function: str, job: DocumentJob, lease_ms: int) -> None:
        """Limit how long arq believes that a job without a lease is in progress.

        arq sets the in-progress key of a job for its whole timeout and never renews it. Our lease is renewed, so a job
        in progress without one belongs to a worker that died: its key may last one lease more, not a day.
        """
        key = in_progress_key_prefix + self._make_id(function, job)
        if await self._call(self.arq.pttl(key)) > lease_ms:
            await self._call(self.arq.pexpire(key, lease_ms))

    async def keep_in_progress(self, function: str, job: DocumentJob, lease_ms: int) -> None:
        """Let arq believe for one lease more that a job is in progress."""
        await self._call(self.arq.pexpire(in_progress_key_prefix + self._make_id(function, job), lease_ms))

    async def end_all_in_progress(self) -> None:
        """Forget which jobs are in progress. Only for a system that knows that no worker runs."""
        keys = await self._call(self.arq.keys(f"{in_progress_key_prefix}*"))
        if keys:
            await self._call(self.arq.delete(*keys))

    def _make_id(self, function: str, job: DocumentJob) -> str:
        return make_job_id(function, job, self._prefix)

    async def _call(self, command: Any) -> Any:
        return await run_command(self._calls, command, "The queue does not answer now; try again.")


def _is_astray(score: float, now_ms: int, *, runs: bool) -> bool:
    """Return whether a score is neither a place nor that of a job that pauses or runs."""
    if score < CLOCK:
        return False
    return score > now_ms + _LONGEST_PAUSE_MS or (score <= now_ms and not runs)
