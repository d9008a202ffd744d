"""Takes an upload once, however often it is sent under its key."""

import hashlib
from typing import Final

import structlog

from services.gateway.documents.accept_document import DocumentDependencies, accept_document, check_pdf
from services.gateway.documents.received_file import ReceivedFile
from services.gateway.ports import UploadKeys
from shared.contracts.documents import DocumentRecord
from shared.errors import NotFound, UnprocessableRequest

log = structlog.get_logger(__name__)

_REUSED: Final = (
    "This Idempotency-Key was used for another file. Send a new key with each upload, and the same one only with the"
    " same file under the same name."
)
_DELETED: Final = (
    "The document {!r} that this Idempotency-Key made has been deleted. To upload the file once more, send another key."
)


async def accept_once(
    tenant: str, key: str, received: ReceivedFile, deps: DocumentDependencies, keys: UploadKeys
) -> tuple[DocumentRecord, bool]:
    """Accept an upload as `accept_document` does, or return the document that it made before, as it is now.

    The key is taken before anything is stored. Who comes with the same key while the first one is at work, or after it
    died anywhere on its way, goes the same way: both end at one document, as all uploads of the same bytes and name do.

    Raises:
        UnprocessableRequest: the key was used for other bytes or another name (`idempotency_key_reused`).
        NotFound: the document has been deleted; this upload was answered before, and does not bring it back.
    """
    check_pdf(received)
    # A hash: it is kept for a day, also when the document is deleted before, and nothing of that may stay readable.
    identity = hashlib.sha256(f"{received.sha256}\n{received.filename}".encode()).hexdigest()
    use = await keys.take(tenant, key, identity)
    if use.identity != identity:
        raise UnprocessableRequest(_REUSED, code="idempotency_key_reused")
    if use.document_id is not None:
        log.info("upload_repeated", document_id=use.document_id)
        try:
            return await deps.registry.get(tenant, use.document_id), True
        except NotFound as error:
            raise NotFound(_DELETED.format(use.document_id)) from error
    record, duplicate = await accept_document(tenant, received, deps)
    await keys.note_accepted(tenant, key, record.document_id)
    return record, duplicate
