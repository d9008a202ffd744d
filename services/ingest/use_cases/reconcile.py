"""Puts back what the queue lost: every unfinished document without a worker gets a job, every deleted one a purge."""

import structlog
from arq.connections import ArqRedis

from shared.queue import INGEST, PURGE, enqueue, shorten_orphan
from shared.registry.registry import DocumentRegistry

log = structlog.get_logger(__name__)

PURGE_MS = 60_000
"""How long arq may believe that a purge runs. It takes far less, and a second one beside it does no harm."""


async def reconcile(registry: DocumentRegistry, queue: ArqRedis, lease_ms: int) -> int:
    """One look; returns how many jobs were missing. Harmless to run in every worker at once."""
    missing = 0
    for job in await registry.find_unleased():
        if await enqueue(queue, INGEST, job):
            missing += 1
        else:
            await shorten_orphan(queue, INGEST, job, lease_ms)
    for job in await registry.find_purgeable():
        if await enqueue(queue, PURGE, job):
            missing += 1
        else:
            await shorten_orphan(queue, PURGE, job, PURGE_MS)
    if missing:
        log.info("jobs_requeued", count=missing)
    return missing
