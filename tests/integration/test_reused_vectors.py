"""What is embedded when most of it was embedded before: the real parser, model and index."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.vector_index.edge import EdgeIndex
from tests.pdfs import make_pdf

PAGES = [
    f"Crane report\nSection {n}\nCrane number {n} lifts {n + 3} tonnes, and its hook is of type {n}."
    for n in range(100)
]


class CountingEmbedder:
    """The real embedder, which counts the texts that it was given."""

    def __init__(self, embedder: DenseEmbedder) -> None:
        self._embedder = embedder
        self.max_tokens, self.model_id = embedder.max_tokens, embedder.model_id
        self.count = 0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.count += len(texts)
        return await self._embedder.embed_passages(texts)


class System:
    """A worker's parts, and its tenant's documents."""

    def __init__(self, deps: IngestDependencies, embedder: CountingEmbedder, folder: Path) -> None:
        self.deps = deps
        self._embedder = embedder
        self._folder = folder

    async def ingest(self, pages: Sequence[str], filename: str = "cranes.pdf", tenant: str = "t") -> tuple[int, int]:
        """Ingest a document; return how many of its chunks were embedded, and how many it has."""
        content = make_pdf(pages)
        new = NewDocument(tenant, make_document_id(), filename, hashlib.sha256(content).hexdigest(), len(content))
        path = self._folder / new.document_id
        await asyncio.to_thread(path.write_bytes, content)
        await self.deps.blobs.put_file(make_blob_key(tenant, new.sha256, new.document_id), path)
        await self.deps.registry.create(new)
        job, before = DocumentJob(tenant=tenant, document_id=new.document_id), self._embedder.count

        async def keep_in_progress() -> None:
            return None

        done = await run_ingest_job(job, self.deps, lease_s=30, max_attempts=3, keep_in_progress=keep_in_progress)
        assert done is Outcome.DONE
        record = await self.deps.registry.get(tenant, new.document_id)
        return self._embedder.count - before, record.chunks_total


@pytest.fixture
async def system(registry: RedisDocumentRegistry, embedder: DenseEmbedder, tmp_path: Path) -> AsyncIterator[System]:
    index, counting = EdgeIndex(tmp_path / "index", 384), CountingEmbedder(embedder)
    await index.prepare()
    blobs = await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri())
    parser = ProcessPdfParser(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=1000))
    yield System(IngestDependencies(registry, blobs, parser, counting, Bm25Encoder(), index), counting, tmp_path)
    await index.close()


async def test_only_what_is_new_is_embedded(system: System) -> None:
    """Of 100 pages one is another: its passages alone are. Under another name nothing is; in another tenant all is."""
    embedded, total = await system.ingest(PAGES)
    assert embedded == total >= 100

    assert (await system.ingest(PAGES, "renamed.pdf"))[0] == 0
    changed = [*PAGES[:49], PAGES[49].replace("tonnes", "stone"), *PAGES[50:]]
    embedded, again = await system.ingest(changed, "changed.pdf")
    print(f"one page changed in 100: {embedded} of {again} chunks embedded")
    assert (embedded, again) == (total // 100, total)
    assert await system.ingest(PAGES, tenant="other") == (total, total)
