"""What a worker does with a job: take the lease, keep it, do the work, let it go."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

import structlog

from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.ingest_document import fail_document, ingest_document
from services.ingest.use_cases.read_document import remove_unshared_parses
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentFailure
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound, ServiceError
from shared.registry.port import Lease, LeaseLostError
from shared.tasks import end_tasks, run_to_end

log = structlog.get_logger(__name__)

KeepInProgress = Callable[[], Awaitable[None]]
"""Tells the queue that the job is still being worked on."""

_CRASHES = (
    "Processing this PDF stopped the worker {attempts} times, at last with nothing else at work. Open it in a viewer,"
    " save a new copy, upload that."
)
_BLOB_MISSING = "The file of this document is no longer in the store. Upload it again."
_BUG = "Processing this PDF failed for a reason that we did not foresee. Save a new copy and upload that."


class Outcome(Enum):
    """What became of a job."""

    DONE = "done"
    HELD = "held"
    """Another worker has the document."""
    RETRY = "retry"
    """Something that the job needs is away."""


async def run_ingest_job(
    job: DocumentJob, deps: IngestDependencies, *, lease_s: float, max_attempts: int, keep_in_progress: KeepInProgress
) -> Outcome:
    """Ingest a document under a lease; unless DONE, it is to be tried again later.

    An attempt that ends in any way that we control is given back; only a worker that dies keeps it. Such a death proves
    nothing: another document may have caused it, or somebody from outside. So a document that has lost `max_attempts`
    workers is processed alone from then on, and failed only when it has lost as many again that way.
    """
    try:
        await release_rest(deps)
        if any(lease.job == job for lease in deps.unreleased):
            return Outcome.RETRY  # claimed anew, it would count as one whose worker has died
        alone = await deps.registry.count_attempts(job) >= max_attempts
        # Before the claim: a document that only waits loses no attempt when its worker dies.
        async with deps.gate.enter(alone=alone, while_waiting=keep_in_progress, every_s=lease_s / 3):
            lease = await deps.registry.claim(job, uuid.uuid4().hex, int(lease_s * 1000))
            if lease == "held":
                return Outcome.HELD
            if lease == "gone":
                return Outcome.DONE
            try:
                return await _ingest_while_renewing(lease, deps, lease_s, max_attempts, keep_in_progress)
            finally:
                # To the end: also when the worker is stopped, the next one shall not wait for the lease to run out.
                await run_to_end(_release(lease, deps))
    except ServiceError as error:
        log.warning("ingest_interrupted", document_id=job.document_id, code=error.error_code)
        return Outcome.RETRY


async def _ingest_while_renewing(
    lease: Lease, deps: IngestDependencies, lease_s: float, max_attempts: int, keep_in_progress: KeepInProgress
) -> Outcome:
    work = asyncio.create_task(_ingest(lease, deps, max_attempts))
    renewal = asyncio.create_task(_renew(lease, deps, lease_s, keep_in_progress))
    try:
        await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.warning("lease_lost", document_id=lease.job.document_id)
            return Outcome.HELD
        return work.result()
    finally:
        await run_to_end(end_tasks(work, renewal))


async def _ingest(lease: Lease, deps: IngestDependencies, max_attempts: int) -> Outcome:
    lost = lease.attempts - 1
    try:
        if lost >= 2 * max_attempts:
            detail = _CRASHES.format(attempts=lost)
            await fail_document(lease, DocumentFailure(code="crashes_worker", detail=detail), deps)
            return Outcome.DONE
        return await _ingest_or_fail(lease, deps)
    except LeaseLostError:
        return Outcome.DONE


async def _ingest_or_fail(lease: Lease, deps: IngestDependencies) -> Outcome:
    try:
        await ingest_document(lease, deps)
    except NotFound as error:
        if error.error_code == "blob_missing":
            await fail_document(lease, DocumentFailure(code="blob_missing", detail=_BLOB_MISSING), deps)
    except OSError as error:
        # Out of file descriptors, processes, memory or space: the machine's trouble, not the document's.
        log.warning("ingest_interrupted", document_id=lease.job.document_id, code=type(error).__name__)
        return Outcome.RETRY
    except (LeaseLostError, ServiceError):
        raise
    except Exception as error:
        # A bug of ours on this input: a document must not hang in `parsing` for ever because of it.
        log.exception("ingest_bug", document_id=lease.job.document_id, error=type(error).__name__)
        await fail_document(lease, DocumentFailure(code="internal_error", detail=_BUG), deps)
    return Outcome.DONE


async def _renew(lease: Lease, deps: IngestDependencies, lease_s: float, keep_in_progress: KeepInProgress) -> None:
    """Returns only when the lease is lost. Three tries fit into a lease, so one lost packet costs nothing."""
    failed = 0
    while True:
        try:
            if not await deps.registry.renew(lease, int(lease_s * 1000)):
                return
            await keep_in_progress()
            failed = 0
        except ServiceError:
            failed += 1
            if failed >= 3:
                return
        await asyncio.sleep(lease_s / 3)


async def _release(lease: Lease, deps: IngestDependencies) -> None:
    deps.unreleased.append(lease)
    await release_rest(deps)


async def release_rest(deps: IngestDependencies) -> None:
    """Let go of leases whose work has ended, all at once; keep those of which Redis cannot be told now."""
    leases = deps.unreleased.copy()
    deps.unreleased.clear()
    await asyncio.gather(*(_let_go(lease, deps) for lease in leases))


async def _let_go(lease: Lease, deps: IngestDependencies) -> None:
    with suppress(ServiceError):  # Redis is away, or its disk full: the lease may run out, its attempt is not lost
        try:
            await deps.registry.release(lease)
        except BaseException:
            deps.unreleased.append(lease)
            raise


async def run_purge_job(job: DocumentJob, deps: IngestDependencies) -> Outcome:
    """Remove what a deleted document left: points, bytes and what was read of them, record.

    In this order, so that a crash loses no trace.

    HELD as long as a worker has the document: it may be writing points in this moment, and without the record nobody
    would look for them any more.
    """
    try:
        leased = await deps.registry.is_leased(job)
        await deps.index.delete_document(job.tenant, job.document_id)
        found = await deps.registry.find_blobs(job)
        for name in (*found.named, *found.dropped):
            await deps.blobs.delete(make_blob_key(job.tenant, name.sha256, name.blob))
            await remove_unshared_parses(job, name.sha256, registry=deps.registry, blobs=deps.blobs)
        if leased:
            return Outcome.HELD
        await deps.registry.forget(job)
    except ServiceError as error:
        log.warning("purge_interrupted", document_id=job.document_id, code=error.error_code)
        return Outcome.RETRY
    log.info("document_purged", document_id=job.document_id)
    return Outcome.DONE
