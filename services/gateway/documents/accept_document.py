"""Takes an upload: from the moment that its answer leaves, the document is never lost."""

from dataclasses import dataclass

import structlog

from services.gateway.documents.received_file import ReceivedFile
from shared.blobs.port import BlobStore, make_blob_key
from shared.contracts.documents import DocumentRecord, DocumentReplacement, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable, DiskFull, InvalidRequest, NotFound, UnsupportedFile
from shared.identifiers import make_document_id
from shared.queue.port import INGEST, PURGE, JobQueue
from shared.registry.port import DocumentRegistry, NewDocument

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class DocumentDependencies:
    """What the use cases of documents work with."""

    registry: DocumentRegistry
    blobs: BlobStore
    queue: JobQueue


async def accept_document(
    tenant: str, received: ReceivedFile, deps: DocumentDependencies
) -> tuple[DocumentRecord, bool]:
    """Checks, stores, records and queues an upload; returns its record and whether it was there already.

    In this order, so that whatever dies, the worst that is left is bytes that nobody names: the bytes are on disk
    before there is a record, and the record is the truth from which a lost job is rebuilt.

    The id is new with each upload: nobody else names the bytes that are removed here, or collected later.
    """
    check_pdf(received)
    new = NewDocument(tenant, make_document_id(), received.filename, received.sha256, received.size_bytes)
    key = make_blob_key(tenant, new.sha256, new.document_id)
    await deps.blobs.put_file(key, received.path)
    record, duplicate = await _record(new, received, deps)
    if duplicate:
        await deps.blobs.delete(key)  # no record names these bytes
    if not record.settled:
        job = DocumentJob(tenant=tenant, document_id=record.document_id)
        await enqueue_or_leave(INGEST, job, deps, record.size_bytes)
    log.info("document_accepted", document_id=record.document_id, size=new.size_bytes, duplicate=duplicate)
    return record, duplicate


async def _record(new: NewDocument, received: ReceivedFile, deps: DocumentDependencies) -> tuple[DocumentRecord, bool]:
    """Makes the record, or finds the one that is there; one that has failed is tried again with these bytes."""
    while True:
        record, duplicate = await deps.registry.create(new)
        if not duplicate:
            return record, False
        # Perhaps it failed because its bytes were lost: they must be there before a worker looks for them.
        job = DocumentJob(tenant=new.tenant, document_id=record.document_id)
        await renew_bytes(job, received, deps)
        if record.status is not DocumentStatus.FAILED:
            return record, True
        try:
            return await deps.registry.requeue(job), True
        except NotFound:
            continue  # deleted in this moment: the upload is a new document then


async def renew_bytes(job: DocumentJob, received: ReceivedFile, deps: DocumentDependencies) -> None:
    """Puts the bytes of an upload in place of a document's own, which are the same, unless the store has damaged them.

    Who is told that they are damaged or lost sends them again, also of a document that can be searched without them.
    """
    found = (await deps.registry.find_blobs(job)).named
    for name in (name for name in found if name.sha256 == received.sha256):
        key = make_blob_key(job.tenant, name.sha256, name.blob)
        await deps.blobs.put_file(key, received.path)
        # Deleted or replaced in this moment, it may be tidied up already: nobody would remove these bytes any more.
        if not await deps.registry.exists(job) or name not in (await deps.registry.find_blobs(job)).named:
            await deps.blobs.delete(key)


def check_pdf(received: ReceivedFile) -> None:
    """Raises InvalidRequest or UnsupportedFile for what can be no PDF."""
    if received.size_bytes == 0:
        raise InvalidRequest("The file is empty. Check it and upload it again.", code="empty_file")
    # Readers accept the mark anywhere in the first kilobyte, and real files have junk before it.
    if b"%PDF-" not in received.head:
        raise UnsupportedFile("The file is not a PDF. Export or print it as PDF and upload that.")


async def enqueue_or_leave(function: str, job: DocumentJob, deps: DocumentDependencies, size_bytes: int = 0) -> None:
    """Queues a job; if the queue takes none just now, the reconciler of the workers does it within seconds."""
    try:
        await deps.queue.enqueue(function, job, size_bytes)
    except (DependencyUnavailable, DiskFull):
        log.warning("enqueue_left_to_reconciler", document_id=job.document_id, function=function)


async def delete_document(tenant: str, document_id: str, deps: DocumentDependencies) -> None:
    """Takes a document out of every list and answer before it returns; bytes and points go in the background."""
    await deps.registry.delete(tenant, document_id)
    await enqueue_or_leave(PURGE, DocumentJob(tenant=tenant, document_id=document_id), deps)
    log.info("document_deleted", document_id=document_id)


def count_indexed(record: DocumentRecord | DocumentReplacement) -> tuple[int | None, int | None]:
    """Pages and chunks of a document that is ready, for the answer to a waiting upload."""
    if record.status is not DocumentStatus.READY:
        return None, None
    return record.pages_done, record.chunks_done
