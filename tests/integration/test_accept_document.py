"""What an upload and a deletion promise, on a real Redis and a real folder, also while Redis stalls."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.documents.accept_document import DocumentDependencies, accept_document, delete_document
from services.gateway.documents.received_file import ReceivedFile
from shared.blobs import BlobStore, make_blob_key
from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound
from shared.queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.registry import DocumentRegistry, Lease, NewDocument

CONTENT = b"%PDF-1.4 some bytes"


@pytest.fixture
async def deps(redis_url: str, registry: DocumentRegistry, tmp_path: Path) -> AsyncIterator[DocumentDependencies]:
    queue = ArqJobQueue(redis_url, timeout_s=5)
    blobs = await asyncio.to_thread(BlobStore, (tmp_path / "blobs").as_uri())
    yield DocumentDependencies(registry=registry, blobs=blobs, queue=queue)
    await queue.close()


@pytest.fixture
async def received(tmp_path: Path) -> ReceivedFile:
    path = tmp_path / "body"
    await asyncio.to_thread(path.write_bytes, CONTENT)
    return ReceivedFile(path, "a.pdf", "ab" * 32, len(CONTENT), CONTENT)


async def list_blobs(folder: Path) -> list[str]:
    return await asyncio.to_thread(lambda: [path.stem for path in (folder / "blobs").rglob("*.pdf")])


async def fail(deps: DocumentDependencies, document_id: str) -> None:
    lease = await deps.registry.claim(DocumentJob(tenant="t", document_id=document_id), "w", 30_000)
    assert isinstance(lease, Lease)
    await deps.registry.fail(lease, DocumentFailure(code="damaged", detail="Save a new copy."))
    await deps.registry.release(lease)


class Stall:
    """A Redis that stops answering for longer than the client waits; what it was sent it does when it goes on."""

    def __init__(self, process: int) -> None:
        self._process = process

    async def __aenter__(self) -> None:
        os.kill(self._process, signal.SIGSTOP)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.7)  # the client has sent its command again by now
        os.kill(self._process, signal.SIGCONT)


@pytest.fixture
async def impatient(redis_url: str, deps: DocumentDependencies) -> AsyncIterator[tuple[DocumentDependencies, Stall]]:
    """The dependencies with a client that tries again after half a second, and a way to stall its Redis."""
    redis = connect_redis(redis_url, timeout_s=1.5)
    stall = Stall(int((await redis.info("server"))["process_id"]))
    yield DocumentDependencies(registry=DocumentRegistry(redis), blobs=deps.blobs, queue=deps.queue), stall
    await redis.aclose()


async def test_an_upload_during_a_stall_keeps_its_bytes(
    impatient: tuple[DocumentDependencies, Stall], received: ReceivedFile, tmp_path: Path
) -> None:
    """Redis does what it was asked twice: the upload is no duplicate of itself, and its file stays."""
    deps, stall = impatient
    async with stall:
        accepting = asyncio.create_task(accept_document("t", received, deps))
    record, duplicate = await accepting

    assert not duplicate
    assert await list_blobs(tmp_path) == [record.document_id]
    assert (await deps.registry.list("t", 0, 10))[1] == 1


async def test_a_deletion_during_a_stall_says_that_it_deleted(
    impatient: tuple[DocumentDependencies, Stall], received: ReceivedFile
) -> None:
    """The second run of the same deletion is no 404; another deletion is."""
    deps, stall = impatient
    document_id = (await accept_document("t", received, deps))[0].document_id
    async with stall:
        deleting = asyncio.create_task(delete_document("t", document_id, deps))
    await deleting

    with pytest.raises(NotFound):
        await delete_document("t", document_id, deps)


async def test_a_duplicate_leaves_no_bytes_of_its_own(
    deps: DocumentDependencies, received: ReceivedFile, tmp_path: Path
) -> None:
    """The record's own bytes are the only ones."""
    first, _ = await accept_document("t", received, deps)
    again, duplicate = await accept_document("t", received, deps)

    assert duplicate
    assert again.document_id == first.document_id
    assert await list_blobs(tmp_path) == [first.document_id]


class WatchedRegistry(DocumentRegistry):
    """Looks which bytes are there in the moment in which a failed document is put back."""

    blobs: Path
    seen: list[str]

    async def requeue(self, job: DocumentJob) -> DocumentRecord:
        self.seen = await list_blobs(self.blobs)
        return await super().requeue(job)


async def test_a_failed_document_has_its_bytes_before_it_is_tried_again(
    deps: DocumentDependencies, received: ReceivedFile, tmp_path: Path
) -> None:
    """A worker that is quick finds the file, also where the old one was lost."""
    first, _ = await accept_document("t", received, deps)
    await fail(deps, first.document_id)
    await deps.blobs.delete(make_blob_key("t", received.sha256, first.document_id))
    registry = WatchedRegistry(deps.registry._redis)
    registry.blobs = tmp_path

    again, duplicate = await accept_document(
        "t", received, DocumentDependencies(registry=registry, blobs=deps.blobs, queue=deps.queue)
    )

    assert (again.document_id, again.status, duplicate) == (first.document_id, DocumentStatus.QUEUED, True)
    assert first.document_id in registry.seen
    assert await list_blobs(tmp_path) == [first.document_id]


class DeletingRegistry(DocumentRegistry):
    """Another client deletes the document, and its purge runs, in the moment between two steps of an upload."""

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        record, duplicate = await super().create(new)
        if duplicate:
            await self.delete(new.tenant, record.document_id)
            await self.forget(DocumentJob(tenant=new.tenant, document_id=record.document_id))
        return record, duplicate


@pytest.mark.parametrize("failed", [False, True])
async def test_an_upload_against_a_deletion_leaves_no_orphan(
    deps: DocumentDependencies, received: ReceivedFile, tmp_path: Path, failed: bool
) -> None:
    """It is answered: as the document that was there, or, where that was to be tried again, as a new one."""
    first, _ = await accept_document("t", received, deps)
    if failed:
        await fail(deps, first.document_id)
    await deps.blobs.delete(make_blob_key("t", received.sha256, first.document_id))
    registry = DeletingRegistry(deps.registry._redis)

    record, duplicate = await accept_document(
        "t", received, DocumentDependencies(registry=registry, blobs=deps.blobs, queue=deps.queue)
    )

    assert duplicate is not failed
    assert (record.document_id == first.document_id) is not failed
    assert await list_blobs(tmp_path) == ([record.document_id] if failed else [])
