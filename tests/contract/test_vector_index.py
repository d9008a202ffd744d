"""One suite for both engines: what holds on Qdrant Edge holds on a Qdrant server."""

import asyncio
import dataclasses
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import qdrant_edge

from shared.embedding.sparse import Bm25Encoder
from shared.errors import DependencyUnavailable, DiskFull, IndexRejected
from shared.identifiers import make_embedded_id, make_point_id, make_text_key
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.parts import PartedIndex
from shared.vector_index.port import BM25 as BM25_VECTOR
from shared.vector_index.port import DENSE, ChunkPayload, IndexPoint, IndexQuery, LegHits, StoredVersion, VectorIndex
from shared.vector_index.sealing import open_payload, seal_payload
from shared.vector_index.server import ServerIndex, connect_server_index

DIMENSION = 8
WORDS = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "harbour", "island", "juniper")
BM25 = Bm25Encoder()


def make_vector(seed: int) -> list[float]:
    """A unit vector that depends only on the seed."""
    values = [random.Random(f"{seed}-{position}").gauss(0, 1) for position in range(DIMENSION)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


def make_points(tenant: str, document_id: str, version: str, count: int, seed: int = 0) -> list[IndexPoint]:
    """Points with different words and vectors."""
    chooser = random.Random(seed)
    points = []
    for n in range(count):
        text = " ".join(chooser.choice(WORDS) for _ in range(chooser.randint(3, 12)))
        payload = ChunkPayload(document_id, version, n, f"Title of {document_id}", n + 1, 0, len(text), text)
        point_id = make_point_id(tenant, document_id, version, n)
        points.append(IndexPoint(point_id, payload, make_vector(seed * 1000 + n), BM25.encode_passages([text])[0]))
    return points


def make_text_points(tenant: str, texts: Sequence[str]) -> list[IndexPoint]:
    """A point for each text, of one document."""
    return [
        IndexPoint(
            make_point_id(tenant, "doc", "v1", n),
            ChunkPayload("doc", "v1", n, "T", 1, 0, len(text), text),
            make_vector(n),
            vector,
        )
        for n, (text, vector) in enumerate(zip(texts, BM25.encode_passages(texts), strict=True))
    ]


def make_query(text: str = "amber fjord", seed: int = 1, limit: int = 10, **options: object) -> IndexQuery:
    return IndexQuery(make_vector(seed), BM25.encode_query(text), limit, **options)  # type: ignore[arg-type]


def list_ids(hits: LegHits) -> tuple[list[str], list[str]]:
    return [hit.point_id for hit in hits.dense], [hit.point_id for hit in hits.bm25]


def list_documents(hits: LegHits) -> set[str]:
    return {hit.payload.document_id for hit in [*hits.dense, *hits.bm25]}


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[VectorIndex]:
    index = EdgeIndex(tmp_path / "index", DIMENSION)
    await index.prepare()
    yield index
    await index.close()


@pytest.fixture
async def server(qdrant_url: str) -> AsyncIterator[ServerIndex]:
    settings = IndexSettings(qdrant_url=qdrant_url, collection=f"test-{uuid.uuid4().hex}", qdrant_timeout_s=30)
    index = await connect_server_index(settings, DIMENSION)
    yield index
    await index._client.delete_collection(index._collection)
    await index.close()


@pytest.fixture
async def parted(tmp_path: Path) -> AsyncIterator[VectorIndex]:
    """As after a switch to a model of another length: with a part in which nothing is left."""
    before = EdgeIndex(tmp_path / "index-length-9", 9)
    index = PartedIndex(EdgeIndex(tmp_path / "index", DIMENSION), [before])
    await index.prepare()
    yield index
    await index.close()


@pytest.fixture(params=["edge", "parted", pytest.param("server", marks=pytest.mark.docker)])
def index(request: pytest.FixtureRequest) -> VectorIndex:
    chosen: VectorIndex = request.getfixturevalue(request.param)
    return chosen


async def test_payload_comes_back_as_it_was_written(index: VectorIndex) -> None:
    """Title, page, span and text of a hit are those of its point, to the last character."""
    payload = ChunkPayload("doc", "v1", 7, "Tïtle › «x»", 3, 10, 42, "amber — line one\nline two \U0001f980")
    sparse = BM25.encode_passages([payload.text])[0]
    await index.upsert("t", [IndexPoint(make_point_id("t", "doc", "v1", 7), payload, make_vector(1), sparse)])

    hits = await index.search("t", make_query("amber"))

    assert [hit.payload for hit in hits.dense] == [payload]
    assert [hit.payload for hit in hits.bm25] == [payload]


async def test_sealed_text_comes_back_to_who_has_the_key(index: VectorIndex) -> None:
    """From both legs, to the last character; the engine never sees it."""
    payload = ChunkPayload("doc", "v1", 7, "Tïtle › «x»", 3, 10, 42, "amber\nline two \U0001f980", "Year | 2019")
    key = make_text_key()
    sealed = seal_payload(payload, key)
    sparse = BM25.encode_passages([payload.text])[0]
    await index.upsert("t", [IndexPoint(make_point_id("t", "doc", "v1", 7), sealed, make_vector(1), sparse)])

    hits = await index.search("t", make_query("amber"))

    assert [hit.payload for hit in [*hits.dense, *hits.bm25]] == [sealed, sealed]
    assert open_payload(hits.dense[0].payload, key) == payload


async def test_the_nearest_vector_and_the_matching_words_come_first(index: VectorIndex) -> None:
    """Each leg ranks by its own measure: cosine similarity, and BM25 over the words."""
    points = make_points("t", "doc", "v1", 20)
    await index.upsert("t", points)

    query = IndexQuery(points[4].dense, BM25.encode_query("basalt basalt"), 5)
    hits = await index.search("t", query)

    assert hits.dense[0].point_id == points[4].point_id
    assert hits.dense[0].score == pytest.approx(1.0, abs=1e-5)
    assert hits.bm25
    assert all("basalt" in hit.payload.text for hit in hits.bm25)
    assert [hit.score for hit in hits.bm25] == sorted((hit.score for hit in hits.bm25), reverse=True)


async def test_a_rare_word_weighs_more_than_a_common_one(index: VectorIndex) -> None:
    """The engine applies the inverse document frequency."""
    texts = ["amber common", *["common filler"] * 9]
    sparse = BM25.encode_passages(texts)
    points = [
        IndexPoint(make_point_id("t", "d", "v", n), ChunkPayload("d", "v", n, "T", 1, 0, 1, text), make_vector(n), s)
        for n, (text, s) in enumerate(zip(texts, sparse, strict=True))
    ]
    await index.upsert("t", points)

    rare = (await index.search("t", make_query("amber"))).bm25[0].score
    common = (await index.search("t", make_query("common"))).bm25[0].score

    assert rare > 3 * common


async def test_no_ranking_depends_on_what_another_tenant_has(edge: VectorIndex) -> None:
    """Which of two words is the rare one says the tenant's own text; another's would show in the order."""
    texts = ["amber cedar", "amber basalt", "amber delta", "amber ember", "fjord harbour", "fjord garnet"]
    await edge.upsert("t", make_text_points("t", texts))
    query = make_query("amber fjord")
    before = await edge.search("t", query)
    await edge.upsert("other", make_text_points("other", ["fjord", "fjord island"] * 40))
    after = await edge.search("t", query)

    assert before.bm25[0].payload.text.startswith("fjord")
    assert [(hit.point_id, hit.score) for hit in after.bm25] == [(hit.point_id, hit.score) for hit in before.bm25]
    assert list_ids(after) == list_ids(before)


async def test_no_search_sees_another_tenant(index: VectorIndex) -> None:
    """The tenant is part of every query, also when its documents are asked for by name."""
    await index.upsert("a", make_points("a", "doc-a", "v1", 5))
    await index.upsert("b", make_points("b", "doc-b", "v1", 5))

    assert list_documents(await index.search("a", make_query())) == {"doc-a"}
    assert list_documents(await index.search("a", make_query(document_ids=["doc-b"]))) == set()
    assert list_documents(await index.search("nobody", make_query())) == set()
    assert await index.count("a") == 5
    assert await index.count("a", "doc-b") == 0


async def test_the_document_filter_narrows_both_legs(index: VectorIndex) -> None:
    """Only the named documents are found; an empty list finds nothing."""
    for name in ("one", "two", "three"):
        await index.upsert("t", make_points("t", name, "v1", 5, seed=len(name)))

    hits = await index.search("t", make_query(document_ids=["one", "three"], limit=30))

    assert list_documents(hits) == {"one", "three"}
    assert list_documents(await index.search("t", make_query(document_ids=[]))) == set()


async def test_excluded_versions_are_not_found(index: VectorIndex) -> None:
    """A version that is not published can be kept out by name, while another version of it is found."""
    await index.upsert("t", make_points("t", "doc", "old", 5))
    await index.upsert("t", make_points("t", "doc", "new", 5))

    hits = await index.search("t", make_query(excluded_versions=[("doc", "old")], limit=30))

    assert {hit.payload.version for hit in [*hits.dense, *hits.bm25]} == {"new"}


async def test_excluded_documents_are_not_found(index: VectorIndex) -> None:
    """In none of their versions, and however many are named; also together with a version of another document."""
    await index.upsert("t", make_points("t", "gone", "v1", 5))
    await index.upsert("t", make_points("t", "gone", "v2", 5))
    await index.upsert("t", make_points("t", "doc", "old", 5))
    await index.upsert("t", make_points("t", "doc", "new", 5))
    names = {"gone", *(f"doc_{number:032x}" for number in range(5000))}

    query = make_query(excluded_documents=names, excluded_versions={("doc", "old")}, limit=30)
    hits = await index.search("t", query)

    assert {hit.payload.version for hit in [*hits.dense, *hits.bm25]} == {"new"}
    assert len(hits.dense) == 5


def name_vectors(points: Sequence[IndexPoint], names: Sequence[str]) -> list[IndexPoint]:
    """The points with names of what was embedded, in turn."""
    return [
        dataclasses.replace(point, payload=dataclasses.replace(point.payload, embedded=names[n % len(names)]))
        for n, point in enumerate(points)
    ]


async def test_vectors_are_found_by_what_was_embedded(index: VectorIndex) -> None:
    """All that are there, however many points have the same name; of no other tenant, and none that is not there."""
    names = [make_embedded_id("m", str(n)) for n in range(80)]
    points = name_vectors(make_points("t", "doc", "v1", 300), names[:70])
    await index.upsert("t", points)
    await index.upsert("t", make_points("t", "old", "v1", 5))  # of a release that gave no names
    await index.upsert("other", name_vectors(make_points("other", "doc", "v1", 5), names[70:]))

    found = await index.find_vectors("t", names)

    assert set(found) == set(names[:70])
    candidates = {name: [p.dense for p in points if p.payload.embedded == name] for name in found}
    assert all(any(pytest.approx(dense, abs=1e-6) == vector for dense in candidates[n]) for n, vector in found.items())
    assert await index.find_vectors("t", []) == {}
    assert set(await index.find_vectors("other", names)) == set(names[70:75])


async def test_writing_the_same_points_again_changes_nothing(index: VectorIndex) -> None:
    """A re-run of an ingest overwrites: no duplicates, the same answers."""
    points = make_points("t", "doc", "v1", 130)
    await index.upsert("t", points)
    before = list_ids(await index.search("t", make_query()))

    await index.upsert("t", points)

    assert await index.count("t", "doc") == 130
    assert list_ids(await index.search("t", make_query())) == before


async def test_deleting_a_document_leaves_the_others(index: VectorIndex) -> None:
    """All points of the document go, and no other; a document that is not there is no error."""
    await index.upsert("t", make_points("t", "gone", "v1", 5))
    await index.upsert("t", make_points("t", "kept", "v1", 5))

    await index.delete_document("t", "gone")
    await index.delete_document("t", "never-there")
    await index.delete_document("other-tenant", "kept")

    assert await index.count("t", "gone") == 0
    assert await index.count("t", "kept") == 5


async def test_all_versions_that_have_points_are_listed(
    index: EdgeIndex | ServerIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all tenants, page by page; one of them can be removed, and all others stay."""
    for engine in ("edge", "server"):
        monkeypatch.setattr(f"shared.vector_index.{engine}.SCROLL_POINTS", 4)
    versions = ("v1", "v2")
    expected = {StoredVersion(tenant, name, version) for tenant in "tu" for name in "ab" for version in versions}
    for stored in expected:
        await index.upsert(stored.tenant, make_points(stored.tenant, stored.document_id, stored.version, 3))

    assert {version async for found in index.list_versions() for version in found} == expected
    await index.delete_version("t", "a", "v1")
    left = {version async for found in index.list_versions() for version in found}
    assert left == expected - {StoredVersion("t", "a", "v1")}
    assert await index.count("t") == 9


async def test_deleting_stale_versions_keeps_the_published_one(index: VectorIndex) -> None:
    """`except_version` spares that version and only that."""
    for version in ("v1", "v2", "v3"):
        await index.upsert("t", make_points("t", "doc", version, 4))

    await index.delete_document("t", "doc", except_version="v2")

    assert await index.count("t", "doc") == 4
    hits = await index.search("t", make_query())
    assert {hit.payload.version for hit in hits.dense} == {"v2"}


async def test_a_question_without_known_words_has_no_lexical_hits(index: VectorIndex) -> None:
    """Stop words alone, or nothing, are a valid query: the dense leg answers."""
    await index.upsert("t", make_points("t", "doc", "v1", 5))

    hits = await index.search("t", make_query("the of and"))

    assert len(hits.dense) == 5
    assert hits.bm25 == []


async def test_points_of_another_dimension_are_refused_for_good(index: VectorIndex) -> None:
    """Whoever writes them or searches with one learns that trying again is no use; what was there stays."""
    await index.upsert("t", make_points("t", "doc", "v1", 5))
    (point,) = make_points("t", "wide", "v1", 1)
    wide = dataclasses.replace(point, dense=[*point.dense, 0.0])

    with pytest.raises(IndexRejected) as caught:
        await index.upsert("t", [wide])
    assert not caught.value.retryable
    with pytest.raises(IndexRejected):
        await index.search("t", IndexQuery(wide.dense, wide.sparse, 5))

    assert await index.count("t") == 5


async def test_an_index_of_another_dimension_is_refused_at_the_start(index: VectorIndex, tmp_path: Path) -> None:
    """With what to set: the first upload would find it out too late."""
    if isinstance(index, ServerIndex):
        other: VectorIndex = await asyncio.to_thread(
            ServerIndex,
            str(index._client.init_options["url"]),
            index._collection,
            DIMENSION + 1,
            api_key=None,
            timeout_s=30,
        )
    else:
        await index.close()
        other = EdgeIndex(tmp_path / "index", DIMENSION + 1)

    with pytest.raises(IndexRejected, match=f"{DIMENSION + 1} numbers.*PAGEWIRE_EMBEDDING_MODEL"):
        await other.prepare()

    await other.close()


async def test_preparing_twice_keeps_the_points(index: VectorIndex) -> None:
    """Every service prepares the index when it starts."""
    await index.upsert("t", make_points("t", "doc", "v1", 5))

    if isinstance(index, ServerIndex):
        await index.prepare()

    assert await index.count("t") == 5
    await index.check()


INDEXED = {"tenant", "document_id", "generation", "embedded"}


async def test_edge_makes_up_for_a_preparation_that_was_interrupted(tmp_path: Path) -> None:
    """The folder is there, the payload indexes are not: the next start makes them."""
    config = qdrant_edge.EdgeConfig(
        vectors={DENSE: qdrant_edge.EdgeVectorParams(size=DIMENSION, distance=qdrant_edge.Distance.Cosine)},
        sparse_vectors={BM25_VECTOR: qdrant_edge.EdgeSparseVectorParams(modifier=qdrant_edge.Modifier.Idf)},
    )
    qdrant_edge.EdgeShard.create(str(tmp_path), config).close()
    index = EdgeIndex(tmp_path, DIMENSION)

    await index.prepare()

    assert await index._read("list_payload_indexes") == INDEXED
    await index.close()


@pytest.mark.docker
async def test_a_server_gets_the_payload_indexes_that_an_interruption_left_out(server: ServerIndex) -> None:
    """The collection is there, one of its payload indexes is not: the next service that starts makes it."""
    await server._client.delete_payload_index(server._collection, "generation", wait=True)

    await server.prepare()

    assert set((await server._client.get_collection(server._collection)).payload_schema) == INDEXED


@pytest.mark.docker
async def test_both_engines_give_the_same_ids_in_the_same_order(edge: VectorIndex, server: VectorIndex) -> None:
    """400 points of 4 documents, 25 questions, with and without filters: equal to the last tie."""
    for number in range(4):
        points = make_points("t", f"doc-{number}", "v1", 100, seed=number + 1)
        await edge.upsert("t", points)
        await server.upsert("t", points)

    for seed in range(25):
        words = " ".join(random.Random(seed).sample(WORDS, 3))
        documents: Sequence[str] | None = None if seed % 2 else [f"doc-{seed % 4}", "doc-1"]
        # Ties at the cut may fall either way inside an engine, so everything is asked for and the order compared.
        query = make_query(words, seed=9000 + seed, limit=500, document_ids=documents)
        assert list_ids(await edge.search("t", query)) == list_ids(await server.search("t", query))


async def test_edge_survives_reopening(tmp_path: Path) -> None:
    """What was written is there after a close and a new start."""
    first = EdgeIndex(tmp_path, DIMENSION)
    await first.prepare()
    await first.upsert("t", make_points("t", "doc", "v1", 70))
    await first.close()

    second = EdgeIndex(tmp_path, DIMENSION)
    await second.prepare()

    assert await second.count("t") == 70
    await second.close()


async def test_edge_writes_no_points_on_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """It says so before the kernel would end the process; what is there can be searched and deleted."""
    roomy = EdgeIndex(tmp_path, DIMENSION)
    await roomy.prepare()
    await roomy.upsert("t", make_points("t", "doc", "v1", 5))
    await roomy.close()
    index = EdgeIndex(tmp_path, DIMENSION, min_free_bytes=1 << 62)
    await index.prepare()

    with pytest.raises(DiskFull):
        await index.upsert("t", make_points("t", "other", "v1", 5))

    assert list_documents(await index.search("t", make_query())) == {"doc"}
    await index.delete_document("t", "doc")
    assert await index.count("t") == 0
    await index.close()


async def test_edge_folder_has_one_owner(edge: VectorIndex, tmp_path: Path) -> None:
    """A second process on the folder is refused and the first goes on."""
    second = EdgeIndex(tmp_path / "index", DIMENSION)

    with pytest.raises(DependencyUnavailable):
        await second.prepare()

    await second.close()
    assert await edge.count("t") == 0


async def test_a_server_that_is_away_is_a_typed_error() -> None:
    """Nobody listens on the port: DependencyUnavailable, quickly, whatever is called."""
    index = await asyncio.to_thread(ServerIndex, "http://127.0.0.1:9", "none", DIMENSION, api_key=None, timeout_s=2)

    with pytest.raises(DependencyUnavailable):
        await index.search("t", make_query())
    with pytest.raises(DependencyUnavailable):
        await index.check()
    await index.close()
