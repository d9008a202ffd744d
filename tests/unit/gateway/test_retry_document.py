"""A failed document is tried again with its stored bytes, or it is said why not. No server is needed."""

import pytest

from services.gateway.documents.accept_document import accept_document
from services.gateway.documents.received_file import ReceivedFile
from services.gateway.documents.retry_document import retry_document
from shared.contracts.documents import DocumentStatus
from shared.errors import Conflict, DependencyUnavailable, NotFound
from shared.queue.port import INGEST
from tests.batches import collect
from tests.unit.gateway.test_accept_document import Parts, make_job, make_key, parts, received

__all__ = ["parts", "received"]


async def test_a_failed_document_is_queued_again_without_an_upload(parts: Parts, received: ReceivedFile) -> None:
    """It keeps its id and its bytes, and its counts begin anew; once it is queued there is nothing to retry."""
    record, _ = await accept_document("t", received, parts.deps)
    await parts.end(record, failed=True)
    stored = {**parts.blobs.blobs}

    again = await retry_document("t", record.document_id, parts.deps)

    assert (again.document_id, again.status, again.failure) == (record.document_id, DocumentStatus.QUEUED, None)
    assert parts.blobs.blobs == stored
    assert parts.queue.list_jobs() == [(INGEST, make_job(record))]
    with pytest.raises(Conflict) as refused:
        await retry_document("t", record.document_id, parts.deps)
    assert (refused.value.error_code, refused.value.details) == ("not_failed", {"status": "queued"})


async def test_what_is_ready_foreign_or_deleted_is_not_tried_again(parts: Parts, received: ReceivedFile) -> None:
    """A document of somebody else is as unknown as one that was never there."""
    record, _ = await accept_document("t", received, parts.deps)
    await parts.end(record, failed=False)
    with pytest.raises(Conflict, match="is ready"):
        await retry_document("t", record.document_id, parts.deps)
    with pytest.raises(NotFound):
        await retry_document("u", record.document_id, parts.deps)
    await parts.registry.delete("t", record.document_id)
    with pytest.raises(NotFound):
        await retry_document("t", record.document_id, parts.deps)
    assert parts.queue.list_jobs() == []


async def test_without_its_bytes_the_document_stays_failed(parts: Parts, received: ReceivedFile) -> None:
    """It would only fail again; an upload of the same file, as the error says, makes it whole."""
    record, _ = await accept_document("t", received, parts.deps)
    await parts.end(record, failed=True)
    del parts.blobs.blobs[make_key(record)]

    with pytest.raises(Conflict, match="Upload the same file again") as refused:
        await retry_document("t", record.document_id, parts.deps)
    assert refused.value.error_code == "blob_missing"
    assert (await parts.registry.get("t", record.document_id)).status is DocumentStatus.FAILED

    again, duplicate = await accept_document("t", received, parts.deps)
    assert (again.document_id, again.status, duplicate) == (record.document_id, DocumentStatus.QUEUED, True)


async def test_a_queue_that_is_away_loses_no_retry(parts: Parts, received: ReceivedFile) -> None:
    """The record says that it is to be done; the reconciler finds it."""
    record, _ = await accept_document("t", received, parts.deps)
    await parts.end(record, failed=True)
    parts.queue.error = DependencyUnavailable("away")

    await retry_document("t", record.document_id, parts.deps)

    assert [job for jobs in [await collect(parts.registry.find_unleased())] for job in jobs] == [make_job(record)]
