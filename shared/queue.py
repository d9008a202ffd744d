"""The job queue: arq on Redis behind two verbs, with JSON bodies.

arq is in maintenance, so this module and `services/ingest/worker.py` are the only ones that know it. The queue is a
convenience, not the truth: whatever it loses, the reconciler puts back from the registry's pending documents.
"""

import json
from collections.abc import Sequence
from typing import Any

from arq.connections import ArqRedis
from arq.constants import default_queue_name, in_progress_key_prefix, job_key_prefix
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable

QUEUE_NAME = f"pagewire:{default_queue_name}"
INGEST = "ingest_document"
PURGE = "purge_document"
PURGE_QUEUE_NAME = f"{QUEUE_NAME}:purges"
"""Purges take milliseconds and wait for no ingest."""
_QUEUE_NAMES = {INGEST: QUEUE_NAME, PURGE: PURGE_QUEUE_NAME}
EXPIRES_EXTRA_MS = 7 * 24 * 3600 * 1000
"""Jobs wait for a week before arq forgets them (its default is a day); then the reconciler queues them anew."""


def serialize_job(job: dict[str, Any]) -> bytes:
    """JSON instead of arq's pickle: who can write to Redis must not be able to run code."""
    return json.dumps(job, default=str).encode()


def deserialize_job(body: bytes) -> dict[str, Any]:
    """The inverse of `serialize_job`."""
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def connect_queue(url: str, *, timeout_s: float) -> ArqRedis:
    """A connection for queueing and for running jobs; commands fail after `timeout_s` seconds."""
    pool = ConnectionPool.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, max_connections=100)
    queue = ArqRedis(
        pool_or_conn=pool,
        job_serializer=serialize_job,
        job_deserializer=deserialize_job,
        default_queue_name=QUEUE_NAME,
        expires_extra_ms=EXPIRES_EXTRA_MS,
    )
    queue.auto_close_connection_pool = True  # closing the client closes the pool
    return queue


def make_job_id(function: str, job: DocumentJob) -> str:
    """One id per document and function: a job that is queued already is not queued twice."""
    return f"{function}:{job.tenant}:{job.document_id}"


async def enqueue(queue: ArqRedis, function: str, job: DocumentJob) -> bool:
    """Queues a job; False when the same job waits or runs already. Raises DependencyUnavailable."""
    try:
        queued = await queue.enqueue_job(
            function, job.model_dump(), _job_id=make_job_id(function, job), _queue_name=_QUEUE_NAMES[function]
        )
    except (RedisError, OSError) as error:
        raise DependencyUnavailable("The queue does not answer now; try again.", retry_after=5) from error
    return queued is not None


async def find_queued(
    queue: ArqRedis, function: str, jobs: Sequence[DocumentJob]
) -> tuple[Sequence[bool], Sequence[bool]]:
    """Which jobs are in the queue, and which of them arq believes to be running; two commands for all of them."""
    if not jobs:
        return [], []
    ids = [make_job_id(function, job) for job in jobs]
    try:
        queued = await queue.mget([job_key_prefix + job_id for job_id in ids])
        running = await queue.mget([in_progress_key_prefix + job_id for job_id in ids])
    except (RedisError, OSError) as error:
        raise DependencyUnavailable("The queue does not answer now; try again.", retry_after=5) from error
    return [body is not None for body in queued], [mark is not None for mark in running]


async def shorten_orphan(queue: ArqRedis, function: str, job: DocumentJob, lease_ms: int) -> None:
    """Limits how long arq believes that a job without a lease is running.

    arq marks a job as in progress for its whole timeout and never renews the mark. Our lease is renewed, so a marked
    job without one belongs to a worker that died: its mark may last one lease more, not ten minutes.
    """
    key = in_progress_key_prefix + make_job_id(function, job)
    try:
        if await queue.pttl(key) > lease_ms:
            await queue.pexpire(key, lease_ms)
    except (RedisError, OSError) as error:
        raise DependencyUnavailable("The queue does not answer now; try again.", retry_after=5) from error


async def drop_all_marks(queue: ArqRedis) -> None:
    """Forgets which jobs are in progress. Only for a system that knows that no worker runs."""
    async for key in queue.scan_iter(match=f"{in_progress_key_prefix}*"):
        await queue.delete(key)
