"""Removes what a document does not need any more: points of older versions, and bytes that were replaced.

What is removed is of editions up to the worker's own: one that hung, and wakes up when others have long gone on, takes
nothing away from them.
"""

import asyncio

import structlog

from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.read_document import remove_unshared_parses
from shared.blobs.port import make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.errors import ServiceError

log = structlog.get_logger(__name__)

HELPERS_WAIT_S = 0.2
"""Pause between looks whether helpers have let go."""


async def tidy_document(job: DocumentJob, edition: int, deps: IngestDependencies) -> None:
    """Remove what no search shows and no record names; what cannot be removed now `tidy_rest` removes later.

    Not before all helpers have let go: they learn that the document is final before their next write, and a dead one's
    claim runs out.
    """
    try:
        await _wait_for_helpers(job, deps)
        await _tidy(job, edition, deps)
    except ServiceError as error:
        log.warning("points_left", document_id=job.document_id, code=error.error_code)


async def tidy_rest(deps: IngestDependencies) -> None:
    """Remove what those have left who were stopped, or died, or could not reach a store behind a publication."""
    async for found in deps.registry.find_untidied():
        for job, edition in found:
            await _tidy(job, edition, deps)
            log.info("document_tidied", document_id=job.document_id)


async def _tidy(job: DocumentJob, edition: int, deps: IngestDependencies) -> None:
    active = await deps.registry.get_active_versions(job.tenant, [job.document_id])
    await deps.index.delete_document(
        job.tenant, job.document_id, except_version=active.get(job.document_id), up_to_edition=edition
    )
    await _remove_dropped(job, deps)
    await deps.registry.note_tidied(job, edition)


async def tidy_after_another(job: DocumentJob, edition: int, sha256: str, deps: IngestDependencies) -> None:
    """Have removed what was perhaps written after others have: the document was deleted, or has other bytes now.

    Of a deleted one what was read is removed here: the purge may have forgotten which bytes it had.
    """
    latest = await deps.registry.find_edition(job)
    if latest == 0:
        await deps.registry.request_purge(job)
        await remove_unshared_parses(job, sha256, registry=deps.registry, blobs=deps.blobs)
    elif latest > edition:
        await tidy_document(job, edition, deps)


async def _wait_for_helpers(job: DocumentJob, deps: IngestDependencies) -> None:
    while deps.sharing is not None:
        if not await deps.sharing.ranges.has_helpers(job):
            return
        await asyncio.sleep(HELPERS_WAIT_S)


async def _remove_dropped(job: DocumentJob, deps: IngestDependencies) -> None:
    """Remove bytes that were replaced, and what was read of them."""
    found = await deps.registry.find_blobs(job)
    if not found.dropped:
        return
    needed = {name.sha256 for name in found.named}
    for name in found.dropped:
        await deps.blobs.delete(make_blob_key(job.tenant, name.sha256, name.blob))
        if name.sha256 not in needed:
            await remove_unshared_parses(job, name.sha256, registry=deps.registry, blobs=deps.blobs)
    await deps.registry.note_removed(job, found.dropped)
