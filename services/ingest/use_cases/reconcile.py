"""Puts back what the queue lost: every unfinished document without a worker gets a job, every deleted one a purge."""

import structlog
from arq.connections import ArqRedis

from shared.queue import INGEST, PURGE, enqueue, shorten_orphan
from shared.registry.registry import DocumentRegistry

log = structlog.get_logger(__name__)


async def reconcile(registry: DocumentRegistry, queue: ArqRedis, lease_ms: int) -> int:
    """One look; returns how many jobs were missing. Harmless to run in every worker at once."""
    missing = 0
    for job in await registry.find_unleased():
        if await enqueue(queue, INGEST, job):
            missing += 1
        else:
            await shorten_orphan(queue, INGEST, job, lease_ms)
    for job in await registry.find_purgeable():
        missing += await enqueue(queue, PURGE, job)
    if missing:
        log.info("jobs_requeued", count=missing)
    return missing
