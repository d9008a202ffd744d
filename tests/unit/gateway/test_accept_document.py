"""What an upload and a deletion promise, whatever is away or happens in between. No server is needed."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.gateway.documents.accept_document import DocumentDependencies, accept_document, delete_document
from services.gateway.documents.received_file import ReceivedFile
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.disk import telling_full_disk
from shared.errors import DependencyUnavailable, DiskFull, InvalidRequest, NotFound, UnsupportedFile
from shared.queue.port import INGEST, PURGE
from shared.registry.port import Lease, NewDocument
from tests.batches import collect
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.fakes.memory_queue import MemoryJobQueue
from tests.fakes.memory_registry import MemoryRegistry

CONTENT = b"%PDF-1.4 some bytes"
SHA256 = "ab" * 32


class Blobs(MemoryBlobStore):
    """A store whose disk may be full; `before_put` is called before a blob is stored."""

    full = False

    def __init__(self) -> None:
        super().__init__()
        self.before_put: dict[str, Callable[[], Awaitable[None]]] = {}

    async def put_file(self, key: str, path: Path) -> None:
        if key in self.before_put:
            await self.before_put[key]()
        if self.full:
            with telling_full_disk():
                raise OSError(errno.ENOSPC, "No space left on device")
        await super().put_file(key, path)


class Registry(MemoryRegistry):
    """Notes which bytes are stored whenever a document is given to workers; may be away, or lose a race."""

    def __init__(self, blobs: Blobs) -> None:
        super().__init__()
        self._blobs = blobs
        self.away = False
        self.delete_meanwhile = False
        self.stored_before: list[list[str]] = []
        self.recorded: set[str] = set()

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        if self.away:
            raise DependencyUnavailable("The document registry does not answer now.")
        self.stored_before.append([*self._blobs.blobs])
        record, duplicate = await super().create(new)
        self.recorded.add(record.document_id)
        if duplicate and self.delete_meanwhile:  # by another client, and its purge runs at once
            await self.delete(new.tenant, record.document_id)
            await self.forget(make_job(record))
        return record, duplicate

    async def requeue(self, job: DocumentJob) -> DocumentRecord:
        self.stored_before.append([*self._blobs.blobs])
        return await super().requeue(job)


class Queue(MemoryJobQueue):
    """A queue that may be away; it must be told of no job that is not recorded."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry
        self.error: Exception | None = None

    async def enqueue(self, function: str, job: DocumentJob, size_bytes: int = 0, *, background: bool = False) -> bool:
        if self.error is not None:
            raise self.error
        assert job.document_id in self._registry.recorded
        return await super().enqueue(function, job, size_bytes)


class Parts:
    """The dependencies, each of which a test can make fail."""

    def __init__(self) -> None:
        self.blobs = Blobs()
        self.registry = Registry(self.blobs)
        self.queue = Queue(self.registry)
        self.deps = DocumentDependencies(registry=self.registry, blobs=self.blobs, queue=self.queue)

    async def end(self, record: DocumentRecord, *, failed: bool) -> None:
        """Be the worker that ends a document."""
        lease = await self.registry.claim(make_job(record), "w", 30_000)
        assert isinstance(lease, Lease)
        if failed:
            await self.registry.fail(lease, DocumentFailure(code="damaged", detail="Save a new copy."))
        else:
            await self.registry.publish(lease, "v1", [])
        await self.registry.release(lease)
        await self.queue.lose(INGEST, lease.job)


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
async def received(tmp_path: Path) -> ReceivedFile:
    path = tmp_path / "body"
    await asyncio.to_thread(path.write_bytes, CONTENT)
    return ReceivedFile(path, "a.pdf", SHA256, len(CONTENT), CONTENT)


def make_job(record: DocumentRecord) -> DocumentJob:
    return DocumentJob(tenant="t", document_id=record.document_id)


def make_key(record: DocumentRecord) -> str:
    return make_blob_key("t", SHA256, record.document_id)


async def test_an_upload_is_stored_then_recorded_then_queued(parts: Parts, received: ReceivedFile) -> None:
    """In this order: bytes that nobody names are the worst that a death in between leaves."""
    record, duplicate = await accept_document("t", received, parts.deps)

    assert (record.status, record.filename, duplicate) == (DocumentStatus.QUEUED, "a.pdf", False)
    assert parts.registry.stored_before == [[make_key(record)]]
    assert parts.blobs.blobs == {make_key(record): CONTENT}
    assert parts.queue.list_jobs() == [(INGEST, make_job(record))]


@pytest.mark.parametrize(("content", "refusal"), [(b"", InvalidRequest), (b"<html>", UnsupportedFile)])
async def test_what_is_no_pdf_leaves_nothing(
    parts: Parts, tmp_path: Path, content: bytes, refusal: type[Exception]
) -> None:
    """It is refused before anything is stored."""
    with pytest.raises(refusal):
        await accept_document("t", ReceivedFile(tmp_path / "body", "a", "cd", len(content), content), parts.deps)

    assert parts.blobs.blobs == {}
    assert await parts.registry.count("t") == (0, 0)


async def test_an_upload_to_a_full_disk_is_neither_recorded_nor_queued(parts: Parts, received: ReceivedFile) -> None:
    """Its sender is told; a record without bytes would end as a failure."""
    parts.blobs.full = True

    with pytest.raises(DiskFull):
        await accept_document("t", received, parts.deps)

    assert await parts.registry.count("t") == (0, 0)
    assert parts.queue.list_jobs() == []


async def test_an_upload_that_cannot_be_recorded_is_not_accepted(parts: Parts, received: ReceivedFile) -> None:
    """No 202 and no job: the queue is a convenience, the record is the truth."""
    parts.registry.away = True

    with pytest.raises(DependencyUnavailable):
        await accept_document("t", received, parts.deps)

    assert parts.queue.list_jobs() == []


@pytest.mark.parametrize("error", [DependencyUnavailable("It does not answer."), DiskFull("It cannot write.")])
async def test_an_upload_that_cannot_be_queued_is_accepted(
    parts: Parts, received: ReceivedFile, error: Exception
) -> None:
    """Once it is recorded it is never lost: the reconciler finds what has no worker."""
    parts.queue.error = error

    record, _ = await accept_document("t", received, parts.deps)

    assert record.status is DocumentStatus.QUEUED
    assert await collect(parts.registry.find_unleased()) == [make_job(record)]


async def test_a_duplicate_leaves_no_bytes_of_its_own(parts: Parts, received: ReceivedFile) -> None:
    """The record's own bytes are the only ones; the job is queued again where it was lost."""
    first, _ = await accept_document("t", received, parts.deps)
    await parts.queue.lose(INGEST, make_job(first))

    again, duplicate = await accept_document("t", received, parts.deps)

    assert duplicate
    assert again.document_id == first.document_id
    assert [*parts.blobs.blobs] == [make_key(first)]
    assert parts.queue.list_jobs() == [(INGEST, make_job(first))]


async def test_a_duplicate_of_a_ready_document_is_not_ingested_again(parts: Parts, received: ReceivedFile) -> None:
    """There is nothing to do for it."""
    first, _ = await accept_document("t", received, parts.deps)
    await parts.end(first, failed=False)

    again, duplicate = await accept_document("t", received, parts.deps)

    assert (again.document_id, again.status, duplicate) == (first.document_id, DocumentStatus.READY, True)
    assert parts.queue.list_jobs() == []


async def test_a_failed_document_has_its_bytes_before_it_is_tried_again(parts: Parts, received: ReceivedFile) -> None:
    """A worker that is quick finds the file, also where the old one was lost."""
    first, _ = await accept_document("t", received, parts.deps)
    await parts.end(first, failed=True)
    await parts.blobs.delete(make_key(first))

    again, duplicate = await accept_document("t", received, parts.deps)

    assert (again.document_id, again.status, duplicate) == (first.document_id, DocumentStatus.QUEUED, True)
    assert make_key(first) in parts.registry.stored_before[-1]
    assert [*parts.blobs.blobs] == [make_key(first)]
    assert parts.queue.list_jobs() == [(INGEST, make_job(first))]


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("stored", [b"damaged", None])
async def test_a_duplicate_brings_back_bytes_that_were_damaged_or_lost(
    parts: Parts, received: ReceivedFile, stored: bytes | None, ready: bool
) -> None:
    """A document that is searched answers without them: nobody else would see to it."""
    first, _ = await accept_document("t", received, parts.deps)
    if ready:
        await parts.end(first, failed=False)
    parts.blobs.blobs = {} if stored is None else {make_key(first): stored}

    again, _ = await accept_document("t", received, parts.deps)

    assert again.document_id == first.document_id
    assert parts.blobs.blobs == {make_key(first): CONTENT}


async def test_bytes_that_come_behind_a_purge_are_no_orphan(parts: Parts, received: ReceivedFile) -> None:
    """The document is deleted, and its bytes removed, while those of a duplicate are on their way to the store."""
    first, _ = await accept_document("t", received, parts.deps)
    await parts.end(first, failed=False)

    async def delete() -> None:
        await parts.registry.delete("t", first.document_id)
        await parts.blobs.delete(make_key(first))

    parts.blobs.before_put[make_key(first)] = delete
    await accept_document("t", received, parts.deps)

    assert parts.blobs.blobs == {}


@pytest.mark.parametrize("failed", [False, True])
async def test_an_upload_against_a_deletion_leaves_no_orphan(
    parts: Parts, received: ReceivedFile, failed: bool
) -> None:
    """It is answered: as the document that was there, or, where that was to be tried again, as a new one."""
    first, _ = await accept_document("t", received, parts.deps)
    if failed:
        await parts.end(first, failed=True)
    await parts.blobs.delete(make_key(first))
    parts.registry.delete_meanwhile = True

    record, duplicate = await accept_document("t", received, parts.deps)

    assert duplicate is not failed
    assert (record.document_id == first.document_id) is not failed
    assert [*parts.blobs.blobs] == ([make_key(record)] if failed else [])


@pytest.mark.parametrize("away", [False, True])
async def test_a_deletion_needs_no_queue(parts: Parts, received: ReceivedFile, away: bool) -> None:
    """The document is gone at once; without the queue the reconciler finds what waits for its purge."""
    record, _ = await accept_document("t", received, parts.deps)
    parts.queue.error = DependencyUnavailable("It does not answer.") if away else None

    await delete_document("t", record.document_id, parts.deps)

    with pytest.raises(NotFound):
        await parts.registry.get("t", record.document_id)
    with pytest.raises(NotFound):
        await delete_document("t", record.document_id, parts.deps)
    assert await collect(parts.registry.find_purgeable()) == [make_job(record)]
    assert ((PURGE, make_job(record)) in parts.queue.list_jobs()) is not away
