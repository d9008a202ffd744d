"""Has documents made anew of their bytes by what the workers of now make versions with.

Each answers from the version before until the new one is whole. Safe to be broken off and repeated: what is of the
present pipeline, or is to be made already, is left alone.
"""

from collections.abc import AsyncIterable, Sequence

import structlog

from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable, DiskFull, NotReady
from shared.queue.port import INGEST, JobQueue
from shared.registry.port import DocumentRegistry
from shared.version_names import is_made_by

log = structlog.get_logger(__name__)

_NO_PIPELINE = (
    "No worker has said yet what it makes versions with. Start one (`make run`, `docker compose up`), try again."
)


async def reindex_documents(
    found: AsyncIterable[Sequence[tuple[DocumentJob, str]]],
    registry: DocumentRegistry,
    queue: JobQueue,
    *,
    everything: bool,
) -> tuple[int, int]:
    """Queue those of these documents whose version is of another pipeline, in the background, behind all uploads.

    Raises NotReady (`no_pipeline`) as long as no worker has started.

    Parameters:
        found: documents that can be searched, with their versions.
        everything: also those of the present pipeline.

    Returns:
        How many are to be made anew, and how many there are.
    """
    pipeline = await registry.find_pipeline()
    if pipeline is None:
        raise NotReady(_NO_PIPELINE, code="no_pipeline", retry_after=10)
    queued = total = 0
    async for pairs in found:
        total += len(pairs)
        for job, version in pairs:
            if not everything and is_made_by(version, pipeline):
                continue
            if await registry.reindex(job, version):
                queued += 1
                await _enqueue_or_leave(job, registry, queue)
    log.info("reindex_begun", queued=queued, documents=total)
    return queued, total


async def rebuild_documents(
    found: AsyncIterable[Sequence[DocumentJob]], registry: DocumentRegistry, queue: JobQueue
) -> int:
    """Have all of these documents made anew for an index that has lost their points; return how many are.

    Failed and deleted ones are not. None of them is searched until it is made.
    """
    queued = 0
    async for jobs in found:
        for job in jobs:
            if await registry.rebuild(job):
                queued += 1
                await _enqueue_or_leave(job, registry, queue)
    log.info("rebuild_begun", queued=queued)
    return queued


async def _enqueue_or_leave(job: DocumentJob, registry: DocumentRegistry, queue: JobQueue) -> None:
    """Queue a job; if the queue takes none just now, the reconciler of the workers does it within seconds."""
    try:
        (work,) = await registry.find_work([job])
        await queue.enqueue(INGEST, job, work.size_bytes, background=work.background)
    except (DependencyUnavailable, DiskFull):
        log.warning("enqueue_left_to_reconciler", document_id=job.document_id, function=INGEST)
