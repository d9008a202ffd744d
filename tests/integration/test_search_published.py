"""Which versions a search sees while documents are published and deleted, on a real Redis and both real indexes."""

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.errors import DependencyUnavailable
from shared.identifiers import make_document_id, make_point_id, make_text_key
from shared.registry.port import Content, DocumentRegistry, Lease, NewDocument, VersionsSeen
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, LegHits
from shared.vector_index.sealing import seal_payload
from shared.vector_index.server import ServerIndex, connect_server_index
from tests.patience import PATIENT_S

BM25 = Bm25Encoder()
WAITING = 500
"""More deleted documents than once made a search find nothing."""

Hook = Callable[[int], Awaitable[None]]


class OneVector:
    """Every question has the same vector: what is found is decided by the versions alone."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.array([1, 0], dtype=np.float32)


class HookedEdge(EdgeIndex):
    """The real index; `before` and `after` are called around its n-th search, so that a test can act in its midst."""

    before: Hook | None = None
    after: Hook | None = None
    searches = 0

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        self.searches += 1
        if self.before is not None:
            await self.before(self.searches)
        hits = await super().search(tenant, query)
        if self.after is not None:
            await self.after(self.searches)
        return hits


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[HookedEdge]:
    index = HookedEdge(tmp_path / "index", 2)
    await index.prepare()
    yield index
    await index.close()


@pytest.fixture
async def server(qdrant_url: str) -> AsyncIterator[ServerIndex]:
    settings = IndexSettings(qdrant_url=qdrant_url, collection=f"test-{uuid.uuid4().hex}", qdrant_timeout_s=30)
    index = await connect_server_index(settings, 2)
    yield index
    await index._client.delete_collection(index._collection)
    await index.close()


@pytest.fixture(params=["edge", pytest.param("server", marks=pytest.mark.docker)])
def index(request: pytest.FixtureRequest) -> EdgeIndex | ServerIndex:
    chosen: EdgeIndex | ServerIndex = request.getfixturevalue(request.param)
    return chosen


def make_point(document_id: str, version: str = "v1", *, ordinal: int = 0, nearness: float = 1.0) -> IndexPoint:
    """One chunk; the smaller `nearness`, the further it is from every question."""
    text = f"The crane lifts tonnes, says {version}."
    told = f"Part {ordinal} of {document_id}. {text}"  # no two passages say the same, or they would be shown once
    payload = ChunkPayload(document_id, version, ordinal, "T", ordinal + 1, 0, len(told), told)
    vector = [nearness, (1 - nearness**2) ** 0.5]
    return IndexPoint(
        make_point_id("default", document_id, version, ordinal), payload, vector, BM25.encode_passages([text])[0]
    )


def make_dependencies(
    index: EdgeIndex | ServerIndex, registry: DocumentRegistry, *, candidates: int = 50, settle_s: float = 10
) -> SearchDependencies:
    options = SearchOptions(candidates, rerank_count=20, fusion=FusionWeights(), settle_s=settle_s)
    return SearchDependencies(OneVector(), BM25, index, registry, NoReranker(), options)


async def search(deps: SearchDependencies, top_k: int = 5) -> list[str]:
    """What is found, as DOCUMENT@VERSION."""
    request = SearchRequest(tenant="default", query="What does the crane lift?", top_k=top_k)
    found = (await search_passages(request, deps)).passages
    return [f"{passage.document_id}@{passage.text.split()[-1].rstrip('.')}" for passage in found]


async def record(registry: DocumentRegistry) -> DocumentJob:
    """A document without a published version."""
    new = NewDocument("default", make_document_id(), "a.pdf", uuid.uuid4().hex, 1)
    await registry.create(new)
    return DocumentJob(tenant="default", document_id=new.document_id)


async def publish(registry: DocumentRegistry, count: int) -> list[str]:
    """Documents that can be searched in version v1."""
    ids = []
    for _ in range(count):
        job = await record(registry)
        lease = await registry.claim(job, "w", 30_000)
        assert isinstance(lease, Lease)
        await registry.publish(lease, "v1", [])
        await registry.release(lease)
        ids.append(job.document_id)
    return ids


async def fill(index: EdgeIndex | ServerIndex, registry: DocumentRegistry) -> tuple[list[str], list[str]]:
    """Five ready documents, and many unpublished ones that are nearer to every question."""
    good = await publish(registry, 5)
    bad = [job.document_id for job in await asyncio.gather(*[record(registry) for _ in range(WAITING)])]
    points = [make_point(document_id) for document_id in bad]
    points += [make_point(document_id, nearness=0.9) for document_id in good]
    await index.upsert("default", points)
    return good, bad


async def test_deleted_documents_that_wait_for_their_purge_take_no_place(
    index: EdgeIndex | ServerIndex, registry: DocumentRegistry
) -> None:
    """However many there are, and though all are nearer: the search is as full as if they were not there."""
    good, bad = await fill(index, registry)
    await asyncio.gather(*[registry.delete("default", document_id) for document_id in bad])

    found = await search(make_dependencies(index, registry))

    assert sorted(found) == sorted(f"{document_id}@v1" for document_id in good)
    assert await index.count("default") == WAITING + 5


async def test_deleted_documents_cost_one_search_more(edge: HookedEdge, registry: DocumentRegistry) -> None:
    """The first that shows up has all that wait excluded, and not fifty at a time."""
    good, bad = await fill(edge, registry)
    await asyncio.gather(*[registry.delete("default", document_id) for document_id in bad])

    await search(make_dependencies(edge, registry))
    assert edge.searches == 2

    for document_id in bad:
        await edge.delete_document("default", document_id)
    assert len(await search(make_dependencies(edge, registry))) == len(good)
    assert edge.searches == 3


async def test_unpublished_documents_take_no_place(index: EdgeIndex | ServerIndex, registry: DocumentRegistry) -> None:
    """They are ingested at this moment, or failed with points left: as many searches as it takes find the others."""
    good, _ = await fill(index, registry)

    found = await search(make_dependencies(index, registry))

    assert sorted(found) == sorted(f"{document_id}@v1" for document_id in good)


async def test_another_tenants_deleted_documents_do_not_matter(edge: HookedEdge, registry: DocumentRegistry) -> None:
    """Neither are they looked for, nor does an id that both have hide a document."""
    (shared_id,) = await publish(registry, 1)
    new = NewDocument("other", shared_id, "a.pdf", "aa", 1)
    await registry.create(new)
    await registry.delete("other", shared_id)
    stale = await record(registry)
    await edge.upsert("default", [make_point(shared_id), make_point(stale.document_id)])

    assert await search(make_dependencies(edge, registry)) == [f"{shared_id}@v1"]


async def test_a_document_that_is_deleted_during_a_search_is_not_found(
    edge: HookedEdge, registry: DocumentRegistry
) -> None:
    """Also when the index has found it already; another one takes its place."""
    first, second = await publish(registry, 2)
    await edge.upsert("default", [make_point(first), make_point(second, nearness=0.9)])

    async def delete(search_number: int) -> None:
        if search_number == 1:
            await registry.delete("default", first)

    edge.after = delete

    assert await search(make_dependencies(edge, registry, candidates=1), top_k=1) == [f"{second}@v1"]


async def test_a_version_that_is_published_during_a_search_is_found(
    edge: HookedEdge, registry: RedisDocumentRegistry
) -> None:
    """It was left out in the first round, its predecessor is in the next: the document must not vanish."""
    (document_id,) = await publish(registry, 1)
    await edge.upsert("default", [make_point(document_id, version) for version in ("v1", "v2")])

    async def publish_second(search_number: int) -> None:
        if search_number == 2:
            redis: Any = registry._redis
            await redis.hset(f"pagewire:default:document:{document_id}", "version", "v2")

    edge.after = publish_second

    assert await search(make_dependencies(edge, registry)) == [f"{document_id}@v2"]


async def test_the_registry_is_asked_while_the_model_computes_and_what_is_published_meanwhile_is_found(
    edge: HookedEdge, registry: DocumentRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model, which answers only when the registry has been asked, is not waited for in vain."""
    asked = asyncio.Event()
    look = registry.look_at_versions

    async def note(tenant: str, document_ids: Sequence[str]) -> VersionsSeen:
        seen = await look(tenant, document_ids)
        asked.set()
        return seen

    monkeypatch.setattr(registry, "look_at_versions", note)
    published: list[str] = []

    class SlowVector(OneVector):
        async def embed_query(self, text: str) -> NDArray[np.float32]:
            async with asyncio.timeout(PATIENT_S):
                await asked.wait()
            published.extend(await publish(registry, 1))
            await edge.upsert("default", [make_point(*published)])
            return await super().embed_query(text)

    found = await search(replace(make_dependencies(edge, registry), embedder=SlowVector()))

    assert found == [f"{published[0]}@v1"]


async def test_a_registry_that_fails_while_the_model_computes_fails_the_search_once(
    edge: HookedEdge, registry: DocumentRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is the search's, and a model that fails as well leaves no error that nobody reads."""

    async def fail(tenant: str, document_ids: Sequence[str]) -> VersionsSeen:
        raise DependencyUnavailable("The registry does not answer.")

    class FailingVector(OneVector):
        async def embed_query(self, text: str) -> NDArray[np.float32]:
            raise DependencyUnavailable("The model does not answer.")

    monkeypatch.setattr(registry, "look_at_versions", fail)
    unread: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(context))
    deps = make_dependencies(edge, registry)
    tasks = asyncio.all_tasks()

    with pytest.raises(DependencyUnavailable, match="registry"):
        await search(deps)
    with pytest.raises(DependencyUnavailable, match="model"):
        await search(replace(deps, embedder=FailingVector()))
    gc.collect()

    assert asyncio.all_tasks() == tasks
    assert not unread


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_version_that_is_published_during_a_search_is_found_whole(
    edge: HookedEdge, registry: DocumentRegistry, replaced: bool
) -> None:
    """Half of it was written when the index found it, and all when the registry was asked: half is not shown.

    The version before, whose passages are further away, takes no place that would give the half away.
    """
    document_id = (await publish(registry, 1))[0] if replaced else (await record(registry)).document_id
    job = DocumentJob(tenant="default", document_id=document_id)
    points = [make_point(document_id, "v2", ordinal=ordinal) for ordinal in range(4)]
    await edge.upsert("default", points[:2])

    async def publish_rest(search_number: int) -> None:
        if search_number > 1:
            return
        await edge.upsert("default", points[2:])
        if replaced:
            await registry.replace(job, Content("b.pdf", uuid.uuid4().hex, 1, uuid.uuid4().hex))
        lease = await registry.claim(job, "w", 30_000)
        assert isinstance(lease, Lease)
        await registry.publish(lease, "v2", [])

    edge.after = publish_rest

    assert await search(make_dependencies(edge, registry)) == [f"{document_id}@v2"] * 4


async def test_publications_cost_one_search_more_however_many_there_are(
    edge: HookedEdge, registry: DocumentRegistry
) -> None:
    """What has been seen published before a search began is whole, whatever is published meanwhile."""
    found = await publish(registry, 2)
    await edge.upsert("default", [make_point(document_id) for document_id in found])

    async def publish_another(search_number: int) -> None:
        await publish(registry, 1)

    edge.after = publish_another

    assert sorted(await search(make_dependencies(edge, registry))) == sorted(f"{i}@v1" for i in found)
    assert edge.searches == 2


async def test_a_search_that_cannot_settle_is_an_error_and_no_short_answer(
    edge: HookedEdge, registry: DocumentRegistry
) -> None:
    """Whenever it is repeated something new and unpublished takes the only place: the caller is to try again."""

    async def crowd(search_number: int) -> None:
        job = await record(registry)
        await edge.upsert("default", [make_point(job.document_id)])

    edge.before = crowd

    with pytest.raises(DependencyUnavailable) as caught:
        await search(make_dependencies(edge, registry, candidates=1, settle_s=0.1), top_k=1)

    assert (caught.value.error_code, caught.value.retryable) == ("search_unsettled", True)


def seal(point: IndexPoint, text_key: str) -> IndexPoint:
    return replace(point, payload=seal_payload(point.payload, text_key))


async def test_texts_are_opened_with_the_key_of_the_searched_version(
    index: EdgeIndex | ServerIndex, registry: DocumentRegistry
) -> None:
    """Also while the next version, with a key of its own, is half written; plain text of older releases is read on."""
    sealed, plain = await publish(registry, 1), await publish(registry, 1)
    (document_id,) = sealed
    job = DocumentJob(tenant="default", document_id=document_id)
    first = (await registry.look_at_versions("default", sealed)).text_keys[document_id]
    await index.upsert("default", [seal(make_point(document_id), first), make_point(plain[0], nearness=0.9)])
    deps = make_dependencies(index, registry)
    expected = {f"{document_id}@v1", f"{plain[0]}@v1"}
    assert set(await search(deps)) == expected

    assert await registry.reindex(job, "v1")
    lease = await registry.claim(job, "w", 30_000)
    assert isinstance(lease, Lease)
    await index.upsert("default", [seal(make_point(document_id, "v2"), lease.text_key)])
    assert set(await search(deps)) == expected

    await registry.publish(lease, "v2", [])
    assert set(await search(deps)) == {f"{document_id}@v2", f"{plain[0]}@v1"}


async def test_what_cannot_be_opened_takes_no_place(index: EdgeIndex | ServerIndex, registry: DocumentRegistry) -> None:
    """As when an index and a Redis of different backups stand together: it is said, and the others are found."""
    ids = await publish(registry, 3)
    keys = (await registry.look_at_versions("default", ids)).text_keys
    strange, *known = ids
    points = [seal(make_point(strange), make_text_key())]
    points += [seal(make_point(name, nearness=0.9), keys[name]) for name in known]
    await index.upsert("default", points)

    with structlog.testing.capture_logs() as logs:
        found = await search(make_dependencies(index, registry), top_k=2)

    assert sorted(found) == sorted(f"{name}@v1" for name in known)
    assert [line["document_id"] for line in logs if line["event"] == "sealed_text_unreadable"] == [strange]
