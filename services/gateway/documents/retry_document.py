"""Has a failed document tried again with the bytes that are stored, without another upload."""

import structlog

from services.gateway.documents.accept_document import DocumentDependencies, enqueue_or_leave
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import Conflict
from shared.queue.port import INGEST

log = structlog.get_logger(__name__)


async def retry_document(tenant: str, document_id: str, deps: DocumentDependencies) -> DocumentRecord:
    """Put a failed document back to `queued`, and return its record.

    Raises:
        NotFound: there is no such document.
        Conflict: it has not failed (`not_failed`), or its bytes are gone (`blob_missing`).
    """
    record = await deps.registry.get(tenant, document_id)
    if record.status is not DocumentStatus.FAILED:
        message = f"The document {document_id!r} is {record.status}; only failed ones can be tried again."
        raise Conflict(message, code="not_failed", details={"status": record.status})
    # Asked before: a worker would find that out as well, but only the one who asks can do something about it.
    job = DocumentJob(tenant=tenant, document_id=document_id)
    keys = [make_blob_key(tenant, name.sha256, name.blob) for name in (await deps.registry.find_blobs(job)).named]
    if not all([await deps.blobs.exists(key) for key in keys]):
        message = "The document's file is no longer in the store. Upload the same file again: it is the same document."
        raise Conflict(message, code="blob_missing")
    record = await deps.registry.requeue(job)
    await enqueue_or_leave(INGEST, job, deps, record.size_bytes)
    log.info("document_tried_again", document_id=document_id)
    return record
