"""Puts back what the queue lost: every unfinished document without a worker gets a job, every deleted one a purge."""

from collections.abc import Sequence

import structlog

from shared.contracts.jobs import DocumentJob
from shared.queue.port import INGEST, PURGE, JobQueue
from shared.registry.port import DocumentRegistry

log = structlog.get_logger(__name__)

PURGE_MS = 60_000
"""How long arq may believe that a purge runs. It takes far less, and a second one beside it does no harm."""


async def reconcile(registry: DocumentRegistry, queue: JobQueue, lease_ms: int) -> int:
    """One look; returns how many jobs were missing. Harmless to run in several workers at once."""
    missing = 0
    async for jobs in registry.find_unleased():
        missing += await _requeue(queue, INGEST, jobs, registry, lease_ms)
    async for jobs in registry.find_purgeable():
        missing += await _requeue(queue, PURGE, jobs, registry, PURGE_MS)
    if missing:
        log.info("jobs_requeued", count=missing)
    return missing


async def _requeue(
    queue: JobQueue, function: str, jobs: Sequence[DocumentJob], registry: DocumentRegistry, lease_ms: int
) -> int:
    """Queues those that are not queued; how many. Nearly all are, so all are asked after in few commands."""
    unqueued = await queue.find_unqueued(function, jobs, lease_ms)
    found = zip(unqueued, await registry.find_work(unqueued), strict=True)
    return sum([await queue.enqueue(function, job, work.size_bytes, background=work.background) for job, work in found])
