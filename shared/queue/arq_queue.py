"""The job queue on arq and Redis, with JSON bodies.

arq is in maintenance, so this module and `services/ingest/worker.py` are the only ones that know it.
"""

import json
from collections.abc import Sequence
from typing import Any

from arq.connections import ArqRedis
from arq.constants import default_queue_name, in_progress_key_prefix, job_key_prefix
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from shared.bounded_calls import BoundedCalls
from shared.contracts.jobs import DocumentJob
from shared.queue.port import INGEST, PURGE
from shared.redis_client import explain_redis_error

QUEUE_NAME = f"pagewire:{default_queue_name}"
PURGE_QUEUE_NAME = f"{QUEUE_NAME}:purges"
"""Purges take milliseconds and wait for no ingest."""
_QUEUE_NAMES = {INGEST: QUEUE_NAME, PURGE: PURGE_QUEUE_NAME}
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


def make_job_id(function: str, job: DocumentJob) -> str:
    """One id per document and function: a job that is queued already is not queued twice."""
    return f"{function}:{job.tenant}:{job.document_id}"


class ArqJobQueue:
    """A JobQueue. Raises DependencyUnavailable when Redis does not answer within `timeout_s` seconds.

    Attributes:
        arq: the client, for arq's worker.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        pool = ConnectionPool.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, max_connections=100
        )
        self.arq = ArqRedis(
            pool_or_conn=pool,
            job_serializer=serialize_job,
            job_deserializer=deserialize_job,
            default_queue_name=QUEUE_NAME,
            expires_extra_ms=EXPIRES_EXTRA_MS,
        )
        self.arq.auto_close_connection_pool = True  # closing the client closes the pool
        self._calls = BoundedCalls(deadline_s=timeout_s, at_once=CALLS_AT_ONCE)

    async def close(self) -> None:
        """End the calls that nobody waits for any more, and close the connections."""
        await self._calls.close()
        await self.arq.aclose()

    async def enqueue(self, function: str, job: DocumentJob) -> bool:
        """Queue a job; return False when the same job waits or runs already."""
        adding = self.arq.enqueue_job(
            function, job.model_dump(), _job_id=make_job_id(function, job), _queue_name=_QUEUE_NAMES[function]
        )
        return await self._call(adding) is not None

    async def find_queued(self, function: str, jobs: Sequence[DocumentJob]) -> tuple[Sequence[bool], Sequence[bool]]:
        """Return which jobs are in the queue, and which are in progress as arq believes; two commands for them all."""
        if not jobs:
            return [], []
        ids = [make_job_id(function, job) for job in jobs]
        queued = await self._call(self.arq.mget([job_key_prefix + job_id for job_id in ids]))
        running = await self._call(self.arq.mget([in_progress_key_prefix + job_id for job_id in ids]))
        return [body is not None for body in queued], [value is not None for value in running]

    async def shorten_orphan(self, function: str, job: DocumentJob, lease_ms: int) -> None:
        """Limit how long arq believes that a job without a lease is in progress.

        arq sets the in-progress key of a job for its whole timeout and never renews it. Our lease is renewed, so a job
        in progress without one belongs to a worker that died: its key may last one lease more, not a day.
        """
        key = in_progress_key_prefix + make_job_id(function, job)
        if await self._call(self.arq.pttl(key)) > lease_ms:
            await self._call(self.arq.pexpire(key, lease_ms))

    async def keep_in_progress(self, function: str, job: DocumentJob, lease_ms: int) -> None:
        """Let arq believe for one lease more that a job is in progress."""
        await self._call(self.arq.pexpire(in_progress_key_prefix + make_job_id(function, job), lease_ms))

    async def end_all_in_progress(self) -> None:
        """Forget which jobs are in progress. Only for a system that knows that no worker runs."""
        keys = await self._call(self.arq.keys(f"{in_progress_key_prefix}*"))
        if keys:
            await self._call(self.arq.delete(*keys))

    async def _call(self, command: Any) -> Any:
        try:
            return await self._calls.run(command)
        except (RedisError, OSError) as error:  # a missed deadline is an OSError
            raise explain_redis_error(error, "The queue does not answer now; try again.") from error
