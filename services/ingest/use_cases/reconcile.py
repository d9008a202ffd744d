"""Puts back what the queue lost: every unfinished document without a worker gets a job, every deleted one a purge."""

from collections.abc import Sequence

import structlog

from shared.contracts.jobs import DocumentJob
from shared.queue.port import INGEST, PURGE, JobQueue
from shared.registry.port import DocumentRegistry

log = structlog.get_logger(__name__)

PURGE_MS = 60_000
"""How long arq may believe that a purge runs. It takes far less, and a second one beside it does no harm."""

BATCH_JOBS = 1000
"""Jobs per command, so that no command keeps Redis from its other clients."""


async def reconcile(registry: DocumentRegistry, queue: JobQueue, lease_ms: int) -> int:
    """One look; returns how many jobs were missing. Harmless to run in every worker at once."""
    missing = await _requeue(queue, INGEST, await registry.find_unleased(), lease_ms)
    missing += await _requeue(queue, PURGE, await registry.find_purgeable(), PURGE_MS)
    if missing:
        log.info("jobs_requeued", count=missing)
    return missing


async def _requeue(queue: JobQueue, function: str, jobs: Sequence[DocumentJob], expiry_ms: int) -> int:
    """Queues those that are not queued; how many. Nearly all are, so all are asked after in few commands."""
    missing = 0
    for first in range(0, len(jobs), BATCH_JOBS):
        batch = jobs[first : first + BATCH_JOBS]
        for job, queued, running in zip(batch, *await queue.find_queued(function, batch), strict=True):
            if not queued:
                missing += await queue.enqueue(function, job)
            elif running:
                await queue.shorten_orphan(function, job, expiry_ms)
    return missing
