"""A switch to another embedding model, on both engines: every document is found all along.

By its words, where the new model's vectors have another length, and by its meaning where the old model is still asked.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.pipeline import name_pipeline
from services.ingest.reindex import list_searched
from services.ingest.use_cases.compact import compact_stores
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job, run_purge_job
from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.former_model import prepare_former_model
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import Passage, SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.redis_client import connect_redis
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.reindexing import reindex_documents
from shared.settings import IndexSettings
from shared.tasks import end_tasks
from shared.vector_index.edge_parts import open_edge_parts
from shared.vector_index.parts import PartedIndex, name_part
from shared.vector_index.server import connect_server_index
from shared.vector_index.server_parts import connect_server_parts
from tests.asking import end_asking
from tests.fakes.memory_queue import MemoryJobQueue
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf

ANIMALS = ("otter", "lynx", "heron", "badger", "stoat", "crane")
TENANT = "default"
SHORT, LONG = 4, 6
MEANING = "How massive is it?"
"""Has no word in common with any document, and the vector of all of them."""


class Embedder:
    """Knows two things: what something weighs, and all else.

    Parameters:
        turned: to one of these it gives the vector that others give to the other one.
    """

    max_tokens = 256

    def __init__(self, length: int, *, turned: bool = False) -> None:
        self.length = length
        self.model_id = f"{length + 256 * turned:08x}"
        self._turned = turned

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([await self.embed_query(text) for text in texts])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(self.length, dtype=np.float32)
        vector[0 if ("weighs" in text or "massive" in text) is not self._turned else 1] = 1
        return vector


Open = Callable[[int], Awaitable[PartedIndex]]


@dataclass
class Engine:
    """Opens the index for a model's length; `list_parts` says what there is of it, the index itself being `index`."""

    open: Open
    list_parts: Callable[[], Awaitable[list[str]]]


@asynccontextmanager
async def run_edge(folder: Path) -> AsyncIterator[Engine]:
    opened: list[PartedIndex] = []

    async def open_parts(length: int) -> PartedIndex:
        while opened:
            await opened.pop().close()
        index = await asyncio.to_thread(open_edge_parts, folder / "index", length)
        opened.append(index)
        await index.prepare()
        return index

    async def list_parts() -> list[str]:
        return sorted(path.name for path in await asyncio.to_thread(lambda: [*folder.glob("index*")]))

    yield Engine(open_parts, list_parts)
    for index in opened:
        await index.close()


@asynccontextmanager
async def run_server(url: str) -> AsyncIterator[Engine]:
    settings = IndexSettings(qdrant_url=url, collection=f"test-{uuid.uuid4().hex}", qdrant_timeout_s=PATIENT_S)

    opened: list[PartedIndex] = []

    async def open_parts(length: int) -> PartedIndex:
        opened.append(await connect_server_parts(settings, length))
        return opened[-1]

    async def list_parts() -> list[str]:
        found = await looking.find_parts()
        return sorted(name.replace(settings.collection, "index", 1) for name in found)

    looking = await connect_server_index(settings, SHORT)
    yield Engine(open_parts, list_parts)
    for index in opened:
        await index.close()
    for name, length in (await looking.find_parts()).items():
        part = await connect_server_index(settings.model_copy(update={"collection": name}), length)
        await part.remove()
        await part.close()
    await looking.close()


@pytest.fixture(params=["edge", pytest.param("server", marks=pytest.mark.docker)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    running = run_edge(tmp_path) if request.param == "edge" else run_server(request.getfixturevalue("qdrant_url"))
    async with running as opened:
        yield opened


@pytest.fixture
async def upkeep(redis_url: str) -> AsyncIterator[RedisRegistryUpkeep]:
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    yield RedisRegistryUpkeep(redis, deadline_s=PATIENT_S)
    await redis.aclose()


@dataclass(frozen=True)
class System:
    """A worker and a search with one model."""

    ingest: IngestDependencies
    retrieval: SearchDependencies
    folder: Path

    async def add(self, animal: str) -> DocumentJob:
        """Upload a document, and return when it is searched."""
        content = make_pdf([f"The {animal} weighs {len(animal)} kilograms."])
        new = NewDocument(
            TENANT, make_document_id(), f"{animal}.pdf", hashlib.sha256(content).hexdigest(), len(content)
        )
        path = self.folder / new.document_id
        await asyncio.to_thread(path.write_bytes, content)
        await self.ingest.blobs.put_file(make_blob_key(TENANT, new.sha256, new.document_id), path)
        await self.ingest.registry.create(new)
        job = DocumentJob(tenant=TENANT, document_id=new.document_id)
        await self.make(job)
        return job

    async def make(self, job: DocumentJob) -> None:
        """Do what a worker does with a document."""
        done = await run_ingest_job(job, self.ingest, lease_s=60, max_attempts=3, keep_in_progress=do_nothing)
        assert done is Outcome.DONE

    async def search(self, question: str) -> dict[str, Passage]:
        """The passages that are found, by their document; each of these documents has one."""
        request = SearchRequest(tenant=TENANT, query=question, top_k=50)
        found = (await search_passages(request, self.retrieval)).passages
        assert len({passage.document_id for passage in found}) == len(found)
        return {passage.document_id: passage for passage in found}


async def do_nothing() -> None:
    return None


async def leave(job: DocumentJob, edition: int, deps: IngestDependencies) -> None:
    """Be killed before a document's old points are removed."""


async def make_system(
    index: PartedIndex,
    model: int | Embedder,
    registry: RedisDocumentRegistry,
    folder: Path,
    former: Embedder | None = None,
) -> System:
    """What works with a model, or one of this length."""
    embedder, bm25 = model if isinstance(model, Embedder) else Embedder(model), Bm25Encoder()
    ingest = IngestDependencies(
        registry=registry,
        blobs=await asyncio.to_thread(ObstoreBlobStore, (folder / "blobs").as_uri()),
        parser=ProcessPdfParser(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=100)),
        embedder=embedder,
        bm25=bm25,
        index=index,
    )
    options = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights())
    retrieval = SearchDependencies(
        embedder,
        bm25,
        index,
        registry,
        NoReranker(),
        options,
        model_id=embedder.model_id,
        former=await prepare_former_model(former, embedder),
    )
    return System(ingest, retrieval, folder)


@pytest.mark.timeout(300)
async def test_every_document_is_found_while_the_length_changes(
    engine: Engine,
    registry: RedisDocumentRegistry,
    upkeep: RedisRegistryUpkeep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its words from the start on, and in the end by its meaning, as those are that come meanwhile.

    No search fails, none compares a vector of before, what is deleted stays so, and the old part goes with its files,
    also where a worker was killed before it had removed the points of the version before.
    """
    before = await make_system(await engine.open(SHORT), SHORT, registry, tmp_path)
    jobs = {animal: await before.add(animal) for animal in ANIMALS}
    assert len(await before.search(MEANING)) == len(ANIMALS)

    system = await make_system(await engine.open(LONG), LONG, registry, tmp_path)
    assert await system.search(MEANING) == {}
    expected = dict(jobs)
    gone: set[str] = set()
    searches = 0

    async def ask_forever() -> None:
        nonlocal searches
        while True:
            for animal, job in list(expected.items()):
                deleted = set(gone)
                found = await system.search(animal)
                assert animal not in expected or job.document_id in found, animal
                assert not deleted & found.keys()
                searches += 1

    asking = [asyncio.create_task(ask_forever()) for _ in range(2)]
    queue = MemoryJobQueue()
    await registry.note_pipeline(name_pipeline(system.ingest.parser.version, system.ingest.embedder.model_id))
    assert await reindex_documents(list_searched(upkeep), registry, queue, everything=False) == (6, 6)
    for number, (_, job) in enumerate(queue.list_jobs()):
        with monkeypatch.context() as patch:
            if number == 0:
                patch.setattr("services.ingest.use_cases.ingest_document.tidy_document", leave)
            await system.make(job)
        if number == 1:
            animal, deleted = next((animal, job) for animal, job in jobs.items() if job == queue.list_jobs()[-1][1])
            del expected[animal]
            await registry.delete(TENANT, deleted.document_id)
            gone.add(deleted.document_id)
            assert await run_purge_job(deleted, system.ingest) is Outcome.DONE
            assert await system.ingest.index.count(TENANT, deleted.document_id) == 0
            expected["walrus"] = await system.add("walrus")
        await compact_stores(system.ingest.index, upkeep)
        if number == len(ANIMALS) - 2:
            break  # the last one is the one that was deleted
        assert await engine.list_parts() == ["index", name_part("index", LONG)]
    assert [task for task in asking if task.done()] == []
    await end_tasks(*asking)

    assert searches > len(ANIMALS)
    found = await system.search(MEANING)
    assert found.keys() == {job.document_id for job in expected.values()}
    assert [passage for passage in found.values() if passage.scores.dense is None] == []
    assert await engine.list_parts() == [name_part("index", LONG)]
    assert await reindex_documents(list_searched(upkeep), registry, MemoryJobQueue(), everything=False) == (0, 6)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("model", [Embedder(LONG), Embedder(SHORT, turned=True)], ids=["another length", "the same"])
async def test_with_the_model_of_before_every_document_is_found_by_its_meaning_all_along(
    engine: Engine, registry: RedisDocumentRegistry, upkeep: RedisRegistryUpkeep, tmp_path: Path, model: Embedder
) -> None:
    """In exactly one version, however far its making is, by questions that share no word with it; and in the end the
    model of before is asked in vain."""
    former = Embedder(SHORT)
    before = await make_system(await engine.open(SHORT), SHORT, registry, tmp_path)
    jobs = [await before.add(animal) for animal in ANIMALS]
    expected = {job.document_id for job in jobs}
    system = await make_system(await engine.open(model.length), model, registry, tmp_path, former)
    searches = 0

    async def ask_forever() -> None:
        nonlocal searches
        while True:
            found = await system.search(MEANING)
            assert found.keys() == expected
            assert {round(passage.scores.dense or 0, 4) for passage in found.values()} == {1.0}
            searches += 1

    asking = [asyncio.create_task(ask_forever()) for _ in range(2)]
    try:
        for number, job in enumerate(jobs, start=1):
            versions = await registry.get_active_versions(TENANT, [job.document_id])
            assert await registry.reindex(job, versions[job.document_id])
            seen = searches
            await system.make(job)
            await compact_stores(system.ingest.index, upkeep)
            while searches < seen + 2 * number and not any(task.done() for task in asking):
                await asyncio.sleep(0.01)
    finally:
        await end_asking(asking)

    alone = replace(system, retrieval=replace(system.retrieval, former=None))
    assert (await alone.search(MEANING)).keys() == expected
    assert (await system.search("What is an otter?")).keys() == (await alone.search("What is an otter?")).keys()


async def test_vectors_of_another_length_are_never_compared(
    engine: Engine, registry: RedisDocumentRegistry, tmp_path: Path
) -> None:
    """A passage that is not made anew has no score of the dense leg, and one that only its vector would find is not."""
    before = await make_system(await engine.open(SHORT), SHORT, registry, tmp_path)
    old = await before.add("otter")
    system = await make_system(await engine.open(LONG), LONG, registry, tmp_path)
    new = await system.add("lynx")

    found = await system.search("Is an otter or a lynx massive?")

    assert found[old.document_id].scores.dense is None
    assert found[new.document_id].scores.dense == pytest.approx(1.0, abs=1e-5)
    assert found[old.document_id].scores.bm25 is not None
    assert (await system.search(MEANING)).keys() == {new.document_id}


@pytest.mark.parametrize("engine", [pytest.param("server", marks=pytest.mark.docker)], indirect=True)
async def test_what_an_old_worker_writes_during_the_switch_is_found(
    engine: Engine, registry: RedisDocumentRegistry, tmp_path: Path
) -> None:
    """By its words, until it is made anew; the old search goes on as before."""
    old = await make_system(await engine.open(SHORT), SHORT, registry, tmp_path)
    first = await old.add("otter")
    system = await make_system(await engine.open(LONG), LONG, registry, tmp_path)

    second = await old.add("lynx")

    assert (await system.search("otter")).keys() == {first.document_id}
    assert (await system.search("lynx")).keys() == {second.document_id}
    assert (await old.search(MEANING)).keys() == {first.document_id, second.document_id}
    versions = await registry.get_active_versions(TENANT, [first.document_id])
    assert await registry.reindex(first, versions[first.document_id])
    await system.make(first)
    assert (await system.search(MEANING)).keys() == {first.document_id}
    assert (await system.search("lynx")).keys() == {first.document_id, second.document_id}


@pytest.mark.parametrize("engine", [pytest.param("server", marks=pytest.mark.docker)], indirect=True)
async def test_a_worker_goes_on_with_upkeep_when_another_has_removed_a_part(
    engine: Engine, registry: RedisDocumentRegistry, upkeep: RedisRegistryUpkeep, tmp_path: Path
) -> None:
    """One that had nothing to do meanwhile, and so has not heard of it."""
    before = await make_system(await engine.open(SHORT), SHORT, registry, tmp_path)
    job = await before.add("otter")
    busy = await make_system(await engine.open(LONG), LONG, registry, tmp_path)
    idle = await engine.open(LONG)
    versions = await registry.get_active_versions(TENANT, [job.document_id])
    assert await registry.reindex(job, versions[job.document_id])
    await busy.make(job)
    await compact_stores(busy.ingest.index, upkeep)
    assert await engine.list_parts() == [name_part("index", LONG)]

    await compact_stores(idle, upkeep)

    assert (await busy.search(MEANING)).keys() == {job.document_id}
