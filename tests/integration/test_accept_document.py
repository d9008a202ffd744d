"""What an upload and a deletion promise while a real Redis stalls; the rest is in `tests/unit`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.documents.accept_document import DocumentDependencies, accept_document, delete_document
from services.gateway.documents.received_file import ReceivedFile
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.errors import NotFound
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.patience import PATIENT_S

CONTENT = b"%PDF-1.4 some bytes"


@pytest.fixture
async def deps(redis_url: str, registry: RedisDocumentRegistry, tmp_path: Path) -> AsyncIterator[DocumentDependencies]:
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    blobs = await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri())
    yield DocumentDependencies(registry=registry, blobs=blobs, queue=queue)
    await queue.close()


@pytest.fixture
async def received(tmp_path: Path) -> ReceivedFile:
    path = tmp_path / "body"
    await asyncio.to_thread(path.write_bytes, CONTENT)
    return ReceivedFile(path, "a.pdf", "ab" * 32, len(CONTENT), CONTENT)


async def list_blobs(folder: Path) -> list[str]:
    return await asyncio.to_thread(lambda: [path.stem for path in (folder / "blobs").rglob("*.pdf")])


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
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    yield DocumentDependencies(registry=registry, blobs=deps.blobs, queue=deps.queue), stall
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
    assert (await deps.registry.list("t", 0, 10)).total == 1


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
