"""Gives a document other bytes: until they are searched the ones before are, and nothing that got its 202 is lost."""

import secrets

import structlog

from services.gateway.documents.accept_document import (
    DocumentDependencies,
    check_pdf,
    enqueue_or_leave,
    renew_bytes,
)
from services.gateway.documents.received_file import ReceivedFile
from shared.blobs.port import make_blob_key, make_blob_name
from shared.contracts.documents import DocumentRecord
from shared.contracts.jobs import DocumentJob
from shared.errors import PagewireError
from shared.queue.port import INGEST
from shared.registry.port import Content

log = structlog.get_logger(__name__)


async def replace_document(
    tenant: str, document_id: str, received: ReceivedFile, deps: DocumentDependencies
) -> DocumentRecord:
    """Check, store, record and queue the new bytes of a document; return its record.

    In this order, as with an upload. The bytes have a name of their own, so that whoever removes what the document had
    before cannot take them away, also if it had the same ones. Raises NotFound and Conflict.
    """
    check_pdf(received)
    await deps.registry.get(tenant, document_id)  # nothing is stored for one that is not there
    blob = make_blob_name(document_id, secrets.token_hex(8))
    key = make_blob_key(tenant, received.sha256, blob)
    await deps.blobs.put_file(key, received.path)
    job = DocumentJob(tenant=tenant, document_id=document_id)
    content = Content(received.filename, received.sha256, received.size_bytes, blob)
    try:
        record, taken = await deps.registry.replace(job, content)
    except PagewireError as error:
        if not error.retryable:  # else Redis may have recorded it all the same
            await deps.blobs.delete(key)
        raise
    if not taken:
        await renew_bytes(job, received, deps)
        await deps.blobs.delete(key)  # it has these bytes, under another name
    if not record.settled:
        await enqueue_or_leave(INGEST, job, deps, received.size_bytes)
    log.info("document_replaced", document_id=document_id, size=received.size_bytes, changed=taken)
    return record
