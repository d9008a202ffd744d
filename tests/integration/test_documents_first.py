"""A question that names a document finds its passages among those that are nearly the same, on both real indexes.

Files go through the real ingest and a real Redis; what is asked is written in none of their passages.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job
from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.blobs.port import make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import SearchFilter, SearchRequest
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.server import ServerIndex, connect_server_index
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.pdfs import make_pdf

LIMITS = ParseLimits(memory_mb=2048, cpu_s=300, wall_s=600, max_pages=100)
FILES = [f"{company}_{year}_10K.pdf" for company in ("BRIMHOLT", "LARKFERRY", "OTTERMOOR") for year in (2018, 2019)]
TEXT = """Costs of the year
Fuel for all our boats was {amount} dollars, paid to the harbours where they lay.
Crews were paid {amount} dollars, and cleaning of the boats came to as much.
Management believes that costs of fuel will go on as they were in the years before."""

AnyIndex = EdgeIndex | ServerIndex


@pytest.fixture
async def edge(tmp_path: Path, embedder: DenseEmbedder) -> AsyncIterator[EdgeIndex]:
    index = EdgeIndex(tmp_path / "index", embedder.dimension)
    await index.prepare()
    yield index
    await index.close()


@pytest.fixture
async def server(qdrant_url: str, embedder: DenseEmbedder) -> AsyncIterator[ServerIndex]:
    settings = IndexSettings(qdrant_url=qdrant_url, collection=f"test-{uuid.uuid4().hex}", qdrant_timeout_s=30)
    index = await connect_server_index(settings, embedder.dimension)
    yield index
    await index._client.delete_collection(index._collection)
    await index.close()


@pytest.fixture(params=["edge", pytest.param("server", marks=pytest.mark.docker)])
def index(request: pytest.FixtureRequest) -> AnyIndex:
    chosen: AnyIndex = request.getfixturevalue(request.param)
    return chosen


class System:
    """Ingest and search of one tenant after another, on one index."""

    def __init__(self, index: AnyIndex, registry: RedisDocumentRegistry, embedder: DenseEmbedder) -> None:
        bm25 = Bm25Encoder()
        self._ingest = IngestDependencies(registry, MemoryBlobStore(), ProcessPdfParser(LIMITS), embedder, bm25, index)
        options = SearchOptions(candidates=50, rerank_count=1, fusion=FusionWeights())
        self.search_dependencies = SearchDependencies(embedder, bm25, index, registry, NoReranker(), options)

    async def add(self, filename: str, text: str, tenant: str = "t") -> str:
        """Make a document searchable; return its id."""
        content = make_pdf([text])
        sha256 = hashlib.sha256(content).hexdigest()
        job = DocumentJob(tenant=tenant, document_id=make_document_id())
        await self._ingest.registry.create(NewDocument(tenant, job.document_id, filename, sha256, len(content)))
        await self._ingest.blobs.put(make_blob_key(tenant, sha256, job.document_id), content)

        async def keep() -> None:
            """Tell nobody: there is no queue."""

        outcome = await run_ingest_job(job, self._ingest, lease_s=600, max_attempts=1, keep_in_progress=keep)
        assert outcome is Outcome.DONE
        return job.document_id

    async def find(self, question: str, within: Sequence[str] | None = None, *, tenant: str = "t") -> list[str]:
        """The documents of what is found, best first."""
        document_ids = None if within is None else list(within)
        request = SearchRequest(tenant=tenant, query=question, filter=SearchFilter(document_ids=document_ids))
        found = (await search_passages(request, self.search_dependencies)).passages
        return list(dict.fromkeys(passage.document_id for passage in found))


@pytest.fixture
def system(index: AnyIndex, registry: RedisDocumentRegistry, embedder: DenseEmbedder) -> System:
    return System(index, registry, embedder)


async def test_what_a_question_names_is_found_first(system: System) -> None:
    """By company and year, in other words than those of the file; deleted it is gone, and others are as before."""
    documents = {filename: await system.add(filename, TEXT.format(amount=n)) for n, filename in enumerate(FILES)}

    for filename in FILES:
        company, year, _ = filename.split("_")
        split = f"{company[:-5]} {company[-5:]}".title() if company == "LARKFERRY" else company.title()
        found = await system.find(f"What did {split} pay for fuel in FY{year[2:]}?")
        assert found[0] == documents[filename], filename
    assert (await system.find("What did Larkferry pay?", [documents[FILES[0]], documents[FILES[3]]]))[0] == (
        documents[FILES[3]]
    )
    await system.search_dependencies.registry.delete("t", documents[FILES[3]])
    found = await system.find("What did Larkferry pay for fuel in FY2019?")
    assert documents[FILES[3]] not in found
    assert found[0] == documents[FILES[2]]


async def test_a_file_is_found_by_its_whole_name(system: System) -> None:
    """Of files whose names are words of every question, or differ in a figure alone."""
    files = ["fuel.pdf", "2019.pdf", "report 2019-03.pdf", "report 2019-04.pdf", "manual.pdf", "Manual_v2.pdf"]
    documents = {filename: await system.add(filename, TEXT.format(amount=n)) for n, filename in enumerate(files)}

    for filename in files:
        found = await system.find(f"What was paid for fuel according to {filename}?")
        assert found[0] == documents[filename], filename
    for question, filename in (("report 2019-04", files[3]), ("Report 2019-03", files[2]), ("Manual v2", files[5])):
        assert (await system.find(f"What was paid for fuel in {question}?"))[0] == documents[filename], question


async def test_a_question_that_names_no_document_loses_nothing(system: System) -> None:
    """It finds what it finds without cards, in the same order; nobody names another tenant's document."""
    for n, filename in enumerate(FILES[:4]):
        await system.add(filename, TEXT.format(amount=n), tenant="t" if n < 3 else "u")
    questions = ["What was paid for fuel?", "What did Larkferry pay for fuel in 2019?", "Who cleans boats since 2018?"]

    with_cards = [await system.find(question) for question in questions]
    options = replace(system.search_dependencies.options, documents_first=False)
    system.search_dependencies = replace(system.search_dependencies, options=options)
    without = [await system.find(question) for question in questions]

    assert with_cards[0] == without[0]
    assert with_cards[2] == without[2]
    assert all(len(found) == 3 for found in with_cards)


async def test_documents_without_a_card_are_found_as_before(system: System, registry: RedisDocumentRegistry) -> None:
    """As those that an older release has made: they may be second to a named one, but none is lost."""
    older = [await system.add(filename, TEXT.format(amount=n)) for n, filename in enumerate(FILES[:2])]
    for document_id in older:
        redis: Any = registry._redis
        await redis.hdel(f"pagewire:t:document:{document_id}", "card")
    for key in [key async for key in registry._redis.scan_iter(match="pagewire:t:cards*")]:
        await registry._redis.delete(key)
    newer = await system.add(FILES[2], TEXT.format(amount=3))

    assert set(await system.find("What did Brimholt pay for fuel in 2018?")) == {*older, newer}
