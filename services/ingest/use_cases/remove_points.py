"""Removes points that no search shows any more, and has what was written for a deleted document removed."""

import asyncio

import structlog

from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.read_document import remove_unshared_parses
from shared.contracts.jobs import DocumentJob
from shared.errors import ServiceError

log = structlog.get_logger(__name__)

HELPERS_WAIT_S = 0.2
"""Pause between looks whether helpers have let go."""


async def remove_points(job: DocumentJob, deps: IngestDependencies, *, except_version: str | None = None) -> None:
    """Remove a document's points, or those of other versions, when no helper can write any more.

    Helpers learn that the document is final before their next write, and a dead one's claim runs out. What cannot be
    removed now is so by the next try or the purge.
    """
    try:
        await _wait_for_helpers(job, deps)
        await deps.index.delete_document(job.tenant, job.document_id, except_version=except_version)
    except ServiceError as error:
        log.warning("points_left", document_id=job.document_id, code=error.error_code)


async def _wait_for_helpers(job: DocumentJob, deps: IngestDependencies) -> None:
    while deps.sharing is not None:
        if not await deps.sharing.ranges.has_helpers(job):
            return
        await asyncio.sleep(HELPERS_WAIT_S)


async def clean_up_if_deleted(job: DocumentJob, sha256: str, deps: IngestDependencies) -> None:
    """Have a document that was deleted meanwhile purged once more: it was perhaps written for after the first time.

    What was read of it is removed here: the purge may have forgotten which bytes it had.
    """
    if not await deps.registry.exists(job):
        await deps.registry.request_purge(job)
        await remove_unshared_parses(job, sha256, registry=deps.registry, blobs=deps.blobs)
