"""What a deleted document has left on the disk of Redis and of a Qdrant server is gone, or nobody can read it."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from redis.asyncio import Redis

from services.gateway.documents.accept_document import DocumentDependencies
from services.gateway.documents.accept_once import accept_once
from services.gateway.documents.received_file import ReceivedFile
from services.gateway.upload_keys import RedisUploadKeys
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.use_cases.compact import compact_stores
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job, run_purge_job
from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.errors import NotFound
from shared.identifiers import make_document_id
from shared.redis_client import connect_redis
from shared.registry.port import Content, Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.settings import IndexSettings
from shared.vector_index.port import ChunkPayload, IndexPoint, SparseVector
from shared.vector_index.server import ServerIndex, connect_server_index
from tests.conftest import require_docker, run_qdrant
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.fakes.memory_queue import MemoryJobQueue
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

DIMENSION = 4


@pytest.fixture
async def redis(own_redis: str) -> AsyncIterator[Redis]:
    client = connect_redis(own_redis, timeout_s=PATIENT_S)
    yield client
    await client.aclose()


@pytest.fixture
async def registry(redis: Redis) -> AsyncIterator[RedisDocumentRegistry]:
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    yield registry
    await registry.close()


@pytest.fixture
async def upkeep(redis: Redis) -> AsyncIterator[RedisRegistryUpkeep]:
    upkeep = RedisRegistryUpkeep(redis, deadline_s=PATIENT_S)
    yield upkeep
    await upkeep.close()


@pytest.fixture
def redis_folder(own_redis: str, tmp_path: Path) -> Path:
    return tmp_path / "redis"


async def find_words(folder: Path, words: set[str]) -> set[str]:
    """Those of these words that stand in a file of the folder."""
    return await asyncio.to_thread(_find_words, folder, words)


def _find_words(folder: Path, words: set[str]) -> set[str]:
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return {word for word in words if word.encode() in content}


async def test_the_name_of_a_purged_document_is_gone_from_the_disk(
    registry: RedisDocumentRegistry, upkeep: RedisRegistryUpkeep, redis_folder: Path
) -> None:
    """Once, and only when a document was purged; what is kept stays."""
    gone, kept = (DocumentJob(tenant="t", document_id=f"doc_{uuid.uuid4().hex}") for _ in range(2))
    for job, filename in ((gone, "quixotic.pdf"), (kept, "harmless.pdf")):
        await registry.create(NewDocument("t", job.document_id, filename, filename[0] * 64, 10))
    await registry.delete("t", gone.document_id)
    assert not await upkeep.compact()
    await registry.forget(gone)

    assert await find_words(redis_folder, {"quixotic"})
    assert await upkeep.compact()
    assert await find_words(redis_folder, {"quixotic", "harmless"}) == {"harmless"}
    assert not await upkeep.compact()


async def test_an_idempotency_key_keeps_nothing_of_a_purged_document(
    redis: Redis, registry: RedisDocumentRegistry, upkeep: RedisRegistryUpkeep, redis_folder: Path, tmp_path: Path
) -> None:
    """It is known for a day, and tells neither the name nor the hash of its file."""
    path, content = tmp_path / "upload", b"%PDF-1.4 crane"
    await asyncio.to_thread(path.write_bytes, content)
    received = ReceivedFile(path, "quixotic.pdf", hashlib.sha256(content).hexdigest(), len(content), content)
    keys = RedisUploadKeys(redis, deadline_s=PATIENT_S)
    deps = DocumentDependencies(registry, MemoryBlobStore(), MemoryJobQueue())
    record, _ = await accept_once("t", "k", received, deps, keys)
    job = DocumentJob(tenant="t", document_id=record.document_id)
    await registry.delete("t", record.document_id)
    assert await registry.let_go_of_content(job, received.sha256)
    await registry.forget(job)

    assert await find_words(redis_folder, {"quixotic", received.sha256}) == {"quixotic", received.sha256}
    assert await upkeep.compact()
    assert await find_words(redis_folder, {"quixotic", received.sha256}) == set()
    with pytest.raises(NotFound):  # it has been deleted, and the key is still known
        await accept_once("t", "k", received, deps, keys)
    await keys.close()


async def claim(registry: RedisDocumentRegistry, job: DocumentJob) -> Lease:
    lease = await registry.claim(job, uuid.uuid4().hex, 60_000)
    assert isinstance(lease, Lease)
    return lease


async def publish(registry: RedisDocumentRegistry, job: DocumentJob, version: str) -> str:
    """Make a version; return its key."""
    lease = await claim(registry, job)
    await registry.publish(lease, version, [])
    await registry.release(lease)
    return lease.text_key


async def test_the_key_of_a_version_is_gone_from_the_disk_when_another_takes_its_place(
    registry: RedisDocumentRegistry, upkeep: RedisRegistryUpkeep, redis_folder: Path
) -> None:
    """Of one that was replaced before it was ever ready, too."""
    job = DocumentJob(tenant="t", document_id=make_document_id())
    await registry.create(NewDocument("t", job.document_id, "a.pdf", "a" * 64, 10))
    unfinished = await claim(registry, job)
    await registry.release(unfinished)
    await registry.replace(job, Content("b.pdf", "b" * 64, 10, "b"))
    first = await publish(registry, job, "v1")
    keys = {unfinished.text_key, first}
    assert await find_words(redis_folder, keys) == keys
    assert await upkeep.compact()
    assert await find_words(redis_folder, keys) == {first}

    assert await registry.reindex(job, "v1")
    second = await publish(registry, job, "v2")
    assert await upkeep.compact()
    assert await find_words(redis_folder, {first, second}) == {second}


class Embedder:
    """Gives each text the same vector: what is found is decided by words."""

    max_tokens, model_id = 256, "none"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.full((len(texts), DIMENSION), 0.5, dtype=np.float32)

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.full(DIMENSION, 0.5, dtype=np.float32)


@dataclass(frozen=True)
class QdrantServer:
    """One of this test alone, whose files can be read."""

    container: "DockerContainer"
    url: str

    async def find_words(self, words: set[str]) -> set[str]:
        """Those of these words that stand anywhere in the server's storage folder."""
        return await asyncio.to_thread(self._find_words, words)

    def _find_words(self, words: set[str]) -> set[str]:
        archive, _ = self.container.get_wrapped_container().get_archive("/qdrant/storage")
        content = b"".join(archive)
        return {word for word in words if word.encode() in content}


@pytest.fixture
def qdrant() -> Iterator[QdrantServer]:
    require_docker("no Docker: the files of a Qdrant server are read through it")
    with run_qdrant() as running:
        yield QdrantServer(running, f"http://127.0.0.1:{running.get_exposed_port(6333)}")


@pytest.fixture
async def index(qdrant: QdrantServer) -> AsyncIterator[ServerIndex]:
    settings = IndexSettings(qdrant_url=qdrant.url, collection="pagewire", qdrant_timeout_s=60)
    index = await connect_server_index(settings, DIMENSION)
    yield index
    await index.close()


async def ingest(deps: IngestDependencies, folder: Path, pages: Sequence[str], filename: str) -> DocumentJob:
    """Upload a document, and return when it is searched."""
    content = make_pdf(pages)
    new = NewDocument("t", make_document_id(), filename, hashlib.sha256(content).hexdigest(), len(content))
    path = folder / new.document_id
    await asyncio.to_thread(path.write_bytes, content)
    await deps.blobs.put_file(make_blob_key("t", new.sha256, new.document_id), path)
    await deps.registry.create(new)
    job = DocumentJob(tenant="t", document_id=new.document_id)

    async def keep_in_progress() -> None:
        return None

    done = await run_ingest_job(job, deps, lease_s=60, max_attempts=3, keep_in_progress=keep_in_progress)
    assert done is Outcome.DONE
    return job


@pytest.mark.docker
@pytest.mark.timeout(300)
async def test_nothing_of_a_deleted_document_can_be_read_on_a_qdrant_server(
    qdrant: QdrantServer,
    index: ServerIndex,
    registry: RedisDocumentRegistry,
    upkeep: RedisRegistryUpkeep,
    redis_folder: Path,
    tmp_path: Path,
) -> None:
    """Neither title, headings nor text stand in any file of the server, and the key of them in none of Redis.

    The server itself forgets nothing: the word of a point in plain, as older releases wrote them, is still there.
    """
    words = {uuid.uuid4().hex for _ in range(4)}
    title, first, second, name = sorted(words)
    plain, kept = uuid.uuid4().hex, uuid.uuid4().hex
    deps = IngestDependencies(
        registry=registry,
        blobs=await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri()),
        parser=ProcessPdfParser(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=100)),
        embedder=Embedder(),
        bm25=Bm25Encoder(),
        index=index,
    )
    options = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights())
    searching = SearchDependencies(Embedder(), Bm25Encoder(), index, registry, NoReranker(), options)

    async def search(word: str) -> set[str]:
        found = await search_passages(SearchRequest(tenant="t", query=word), searching)
        text = " ".join(f"{passage.title} {passage.text}" for passage in found.passages)
        return {word for word in (*words, kept) if word in text}

    pages = [f"{title} Annual Report\nThe badger called {first} digs.", f"Weights\nThe crane lifts {second} tonnes."]
    gone = await ingest(deps, tmp_path, pages, f"{name}.pdf")
    await ingest(deps, tmp_path, [f"The lighthouse keeper is called {kept}."], "kept.pdf")
    payload = ChunkPayload("doc_of_old", "v1", 0, "Title", 1, 0, 40, f"The ferry {plain} sails.")
    point = IndexPoint(str(uuid.uuid4()), payload, [0.5] * DIMENSION, SparseVector([1], [1.0]))
    await index.upsert("t", [point])
    assert {first, second} <= await search(first)
    assert await qdrant.find_words({*words, plain, kept}) == {plain}
    text_key = (await registry.look_at_versions("t", [gone.document_id])).text_keys[gone.document_id]
    assert await find_words(redis_folder, {text_key, name}) == {text_key, name}

    await registry.delete("t", gone.document_id)
    assert await run_purge_job(gone, deps) is Outcome.DONE
    await index.delete_document("t", "doc_of_old")
    await compact_stores(index, upkeep)

    assert await search(first) == {kept}
    assert await qdrant.find_words({*words, plain, kept}) == {plain}
    assert await find_words(redis_folder, {*words, text_key}) == set()
    assert await find_words(tmp_path / "blobs", {*words, text_key}) == set()
