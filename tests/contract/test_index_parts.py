"""Vectors of two lengths in one index, on both engines: what is found, what is deleted, and what is left in the end."""

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from shared.embedding.sparse import Bm25Encoder
from shared.errors import DependencyUnavailable
from shared.identifiers import make_embedded_id, make_point_id
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.edge_parts import open_edge_parts
from shared.vector_index.parts import PartedIndex, choose_part, name_part, parse_length
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, LegHits, StoredVersion
from shared.vector_index.server import ServerIndex, connect_server_index
from shared.vector_index.server_parts import connect_server_parts, find_server_upkeep
from tests.killed_steps import run_killed
from tests.patience import PATIENT_S

SHORT, LONG = 8, 12
PASSAGES = 5
BM25 = Bm25Encoder()


def make_document(name: str, length: int, version: str = "v1") -> list[IndexPoint]:
    """Points that all have the document's name as a word, with vectors of this length."""
    chooser = random.Random(f"{name}/{version}")
    points = []
    for number in range(PASSAGES):
        text = f"The {name} is described in part {number}."
        payload = ChunkPayload(name, version, number, name, 1, 0, len(text), text, embedded=embedded_id(name, number))
        vector = [chooser.gauss(0, 1) for _ in range(length)]
        norm = sum(value * value for value in vector) ** 0.5
        unit = [value / norm for value in vector]
        points.append(
            IndexPoint(make_point_id("t", name, version, number), payload, unit, BM25.encode_passages([text])[0])
        )
    return points


def embedded_id(name: str, number: int) -> str:
    return make_embedded_id("model", f"{name} {number}")


def make_query(length: int, words: str, limit: int = 100) -> IndexQuery:
    return IndexQuery([1.0, *[0.0] * (length - 1)], BM25.encode_query(words), limit)


def list_versions(hits: LegHits) -> tuple[set[str], set[str]]:
    """What each leg has found, as DOCUMENT@VERSION."""

    def name(payload: ChunkPayload) -> str:
        return f"{payload.document_id}@{payload.version}"

    return {name(hit.payload) for hit in hits.dense}, {name(hit.payload) for hit in hits.bm25}


@dataclass
class Store:
    """An index on one of the engines, which services open with models of whatever length."""

    folder: Path
    settings: IndexSettings | None
    opened: list[PartedIndex] = field(default_factory=list)

    async def start(self, length: int) -> PartedIndex:
        """A service with a model of this length; on Edge the one before has ended."""
        if self.settings is None:
            await self.end_all()
            index = await asyncio.to_thread(open_edge_parts, self.folder / "index", length)
            self.opened.append(index)
            await index.prepare()
        else:
            index = await connect_server_parts(self.settings, length)
            self.opened.append(index)
        return index

    async def end_all(self) -> None:
        """End all services."""
        for index in self.opened:
            await index.close()
        self.opened.clear()

    async def list_parts(self) -> list[str]:
        """Names of all folders or collections that there are, that of the index itself being `index`."""
        if self.settings is None:
            return sorted(path.name for path in await asyncio.to_thread(lambda: [*self.folder.glob("index*")]))
        client = AsyncQdrantClient(url=self.settings.qdrant_url, timeout=PATIENT_S, check_compatibility=False)
        names = [one.name for one in (await client.get_collections()).collections]
        await client.close()
        own = self.settings.collection
        return sorted(name.replace(own, "index", 1) for name in names if name.startswith(own))

    async def remove(self) -> None:
        """End all services, and remove what is left of a server's collections."""
        await self.end_all()
        if self.settings is not None:
            for name in await self.list_parts():
                part = self.settings.model_copy(update={"collection": name.replace("index", self.settings.collection)})
                index = await connect_server_index(part, parse_length("index", name) or SHORT)
                await index.remove()
                await index.close()


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path, None)
    yield store
    await store.remove()


@pytest.fixture
async def server(qdrant_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    name = f"test-{uuid.uuid4().hex}"
    store = Store(tmp_path, IndexSettings(qdrant_url=qdrant_url, collection=name, qdrant_timeout_s=PATIENT_S))
    yield store
    await store.remove()


@pytest.fixture(params=["edge", pytest.param("server", marks=pytest.mark.docker)])
def store(request: pytest.FixtureRequest) -> Store:
    chosen: Store = request.getfixturevalue(request.param)
    return chosen


async def test_what_another_length_has_left_is_found_by_its_words_alone(store: Store) -> None:
    """From the first moment on and beside what is new; its vectors are compared with nothing, nor used again."""
    index = await store.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    before = await index.search("t", make_query(SHORT, "otter"))

    index = await store.start(LONG)

    hits = await index.search("t", make_query(LONG, "otter"))
    assert hits == LegHits([], before.bm25)
    assert await index.find_vectors("t", [embedded_id("otter", 0)]) == {}
    await index.upsert("t", make_document("lynx", LONG))
    assert list_versions(await index.search("t", make_query(LONG, "otter"))) == ({"lynx@v1"}, {"otter@v1"})
    assert list_versions(await index.search("t", make_query(LONG, "otter lynx")))[1] == {"otter@v1", "lynx@v1"}
    assert list(await index.find_vectors("t", [embedded_id("lynx", 0)])) == [embedded_id("lynx", 0)]
    assert await index.count("t") == 2 * PASSAGES
    assert list_versions(await index.search("other", make_query(LONG, "otter"))) == (set(), set())


async def test_each_part_gives_as_many_hits_as_are_asked_for(store: Store) -> None:
    """Or what stands in one of them could be lost behind what the other counts otherwise."""
    index = await store.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    index = await store.start(LONG)
    await index.upsert("t", make_document("lynx", LONG))

    hits = await index.search("t", make_query(LONG, "described", limit=3))

    assert (len(hits.dense), len(hits.bm25)) == (3, 6)


async def test_filters_hold_in_all_parts(store: Store) -> None:
    """Chosen documents, and versions and documents that must not appear."""
    index = await store.start(SHORT)
    for name in ("otter", "heron", "badger", "lynx"):
        await index.upsert("t", make_document(name, SHORT))
    index = await store.start(LONG)
    sparse = BM25.encode_query("described")
    query = IndexQuery(
        None,
        sparse,
        100,
        ["otter", "heron", "badger"],
        excluded_versions={("heron", "v1")},
        excluded_documents={"badger"},
    )

    assert list_versions(await index.search("t", query)) == (set(), {"otter@v1"})


async def test_what_is_deleted_goes_from_all_parts(store: Store) -> None:
    """A version that was replaced, and a document, wherever its points are."""
    index = await store.start(SHORT)
    for name in ("otter", "heron", "lynx"):
        await index.upsert("t", make_document(name, SHORT))
    index = await store.start(LONG)
    await index.upsert("t", make_document("otter", LONG, "v2"))
    await index.upsert("t", make_document("heron", LONG, "v2"))
    await index.upsert("t", make_document("badger", LONG))

    await index.delete_document("t", "otter", except_version="v2")
    await index.delete_document("t", "heron")
    await index.delete_version("t", "lynx", "v1")
    await index.delete_version("t", "badger", "v1")

    assert [version async for found in index.list_versions() for version in found] == [
        StoredVersion("t", "otter", "v2")
    ]
    assert await index.count("t") == PASSAGES


async def test_the_last_document_takes_its_part_along(store: Store) -> None:
    """With all that it has on the disk; later starts know of one part alone, and searches meanwhile do not fail."""
    index = await store.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    index = await store.start(LONG)
    await index.upsert("t", make_document("otter", LONG, "v2"))
    assert await store.list_parts() == ["index", name_part("index", LONG)]
    await index.compact()
    await index.delete_document("t", "otter", except_version="v2")

    async def search(compacting: asyncio.Task[bool]) -> int:
        searches = 0
        while not compacting.done():
            assert "otter@v2" in list_versions(await index.search("t", make_query(LONG, "otter")))[1]
            await index.delete_document("t", "never there")
            searches += 1
        return searches

    compacting = asyncio.create_task(index.compact())
    searches = await asyncio.gather(*(search(compacting) for _ in range(3)))

    assert await compacting
    assert min(searches) > 0
    assert await store.list_parts() == [name_part("index", LONG)]
    for length in (LONG, SHORT):
        index = await store.start(length)
        assert list_versions(await index.search("t", make_query(length, "otter")))[1] == {"otter@v2"}
    assert await store.list_parts() == ["index", name_part("index", LONG)]


async def test_vectors_of_a_length_are_searched_where_they_are(store: Store) -> None:
    """In the part of before as in ours, and in no other; of a length that no part has, nothing is found."""
    index = await store.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    before = await index.search("t", replace(make_query(SHORT, ""), of_length=True))
    assert list_versions(before) == ({"otter@v1"}, set())
    index = await store.start(LONG)
    await index.upsert("t", make_document("lynx", LONG))

    async def search(length: int, tenant: str = "t") -> LegHits:
        return await index.search(tenant, replace(make_query(length, ""), of_length=True))

    assert await search(SHORT) == before
    assert list_versions(await search(LONG)) == ({"lynx@v1"}, set())
    assert await search(SHORT + 1) == await search(SHORT, "other") == LegHits([], [])
    await index.delete_document("t", "otter")
    await index.compact()
    assert await search(SHORT) == LegHits([], [])


async def test_a_part_is_not_removed_before_there_is_something_in_ours(store: Store) -> None:
    """Services with the model of before may just be about to write the first document of all."""
    await store.start(SHORT)
    index = await store.start(LONG)

    await index.compact()

    assert await store.list_parts() == ["index", name_part("index", LONG)]


async def test_a_switch_is_taken_back_by_another(store: Store) -> None:
    """What was not made anew has its vectors as before; what was is found by its words."""
    index = await store.start(SHORT)
    for name in ("otter", "lynx"):
        await index.upsert("t", make_document(name, SHORT))
    index = await store.start(LONG)
    await index.upsert("t", make_document("otter", LONG, "v2"))
    await index.delete_document("t", "otter", except_version="v2")

    index = await store.start(SHORT)

    found = list_versions(await index.search("t", make_query(SHORT, "otter lynx")))
    assert found == ({"lynx@v1"}, {"otter@v2", "lynx@v1"})


async def test_a_document_that_moves_during_a_search_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has all its points in our part before it loses the others, and the others are searched first."""
    index = await store.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    index = await store.start(LONG)
    kind = EdgeIndex if store.settings is None else ServerIndex
    search = kind.search
    searches = 0

    async def search_and_move(part: EdgeIndex | ServerIndex, tenant: str, query: IndexQuery) -> LegHits:
        nonlocal searches
        hits: LegHits = await search(part, tenant, query)  # type: ignore[arg-type]
        searches += 1
        if searches == 1:
            await index.upsert("t", make_document("otter", LONG, "v2"))
            await index.delete_document("t", "otter", except_version="v2")
        return hits

    monkeypatch.setattr(kind, "search", search_and_move)

    assert list_versions(await index.search("t", make_query(LONG, "otter")))[1] >= {"otter@v2"}


@pytest.mark.docker
async def test_a_service_that_still_knows_a_removed_collection_goes_on(server: Store) -> None:
    """Whichever of the workers has removed it; one that cannot be reached is not taken for removed."""
    index = await server.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    others = [await server.start(LONG) for _ in range(5)]
    worker = await server.start(LONG)
    await worker.upsert("t", make_document("otter", LONG, "v2"))
    await worker.delete_document("t", "otter", except_version="v2")
    assert await worker.compact()
    assert await server.list_parts() == [name_part("index", LONG)]

    hits = await others[0].search("t", make_query(LONG, "otter"))
    assert list_versions(hits) == ({"otter@v2"}, {"otter@v2"})
    await others[1].delete_document("t", "lynx")
    await others[2].check()
    assert await others[3].count("t") == PASSAGES
    assert not await others[4].compact()
    away = await asyncio.to_thread(ServerIndex, "http://127.0.0.1:9", "none", SHORT, api_key=None, timeout_s=2)
    cut_off = PartedIndex(worker._own, [away])
    with pytest.raises(DependencyUnavailable):
        await cut_off.search("t", make_query(LONG, "otter"))
    await away.close()


@pytest.mark.docker
async def test_a_part_that_an_old_worker_has_removed_while_it_was_empty_is_made_again(server: Store) -> None:
    """One that starts anew during a switch takes it for left. No search fails of it; a document that may have lost
    points has to be made anew."""
    old = await server.start(SHORT)
    await old.upsert("t", make_document("otter", SHORT))
    retrieval, worker = await server.start(LONG), await server.start(LONG)

    assert await (await server.start(SHORT)).compact()
    assert await server.list_parts() == ["index"]
    assert list_versions(await retrieval.search("t", make_query(LONG, "otter"))) == (set(), {"otter@v1"})
    assert await server.list_parts() == ["index", name_part("index", LONG)]

    assert await (await server.start(SHORT)).compact()
    with pytest.raises(DependencyUnavailable):
        await worker.upsert("t", make_document("lynx", LONG))
    await worker.check()
    await worker.upsert("t", make_document("lynx", LONG))
    assert list_versions(await retrieval.search("t", make_query(LONG, "lynx"))) == ({"lynx@v1"}, {"lynx@v1"})


@pytest.mark.docker
async def test_a_collection_that_is_lost_is_not_made_again_behind_our_backs(server: Store) -> None:
    """Where there is no other part nobody took it for left: an empty one would answer every question with nothing."""
    index = await server.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    await index._own.remove()

    for call in (index.check(), index.search("t", make_query(SHORT, "otter"))):
        with pytest.raises(DependencyUnavailable):
            await call
    assert await server.list_parts() == []


@pytest.mark.docker
async def test_collections_that_come_back_are_searched_as_before(server: Store) -> None:
    """As when a server starts without its disk: searches fail meanwhile, no part is forgotten, and none made."""
    assert server.settings is not None
    index = await server.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    searching, upkeep = await server.start(LONG), await server.start(LONG)
    for part in searching._opened:
        assert isinstance(part, ServerIndex)
        await part.remove()

    for call in (searching.search("t", make_query(LONG, "otter")), searching.check()):
        with pytest.raises(DependencyUnavailable):
            await call
    assert len(await upkeep.find_left_parts()) == 1
    assert await server.list_parts() == []
    await (await server.start(SHORT)).upsert("t", make_document("otter", SHORT))
    await server.start(LONG)

    for index in (searching, upkeep):
        assert list_versions(await index.search("t", make_query(LONG, "otter"))) == (set(), {"otter@v1"})


@pytest.mark.docker
async def test_other_collections_of_the_server_are_left_alone(server: Store) -> None:
    """Those of another deployment may be called nearly as ours; upkeep looks at all parts of ours, and makes none."""
    assert server.settings is not None
    foreign = server.settings.model_copy(update={"collection": f"{server.settings.collection}-2"})
    stranger = await connect_server_index(foreign, LONG)
    await stranger.upsert("t", make_document("otter", LONG))
    for length, name in ((SHORT, "lynx"), (LONG, "heron")):
        index = await server.start(length)
        await index.upsert("t", make_document(name, length))

    upkeep = await find_server_upkeep(server.settings)

    seen = {version.document_id async for found in upkeep.list_versions() for version in found}
    assert seen == {"lynx", "heron"}
    await upkeep.close()
    await stranger.remove()
    await stranger.close()
    empty = await find_server_upkeep(server.settings.model_copy(update={"collection": foreign.collection}))
    with pytest.raises(DependencyUnavailable):
        _ = [found async for found in empty.list_versions()]
    await empty.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from shared.vector_index import edge_folder, edge_process
from shared.vector_index.edge_parts import open_edge_parts
from tests.killed_steps import counted, counted_call, get_step

async def main():
    edge_process.EdgeProcess.call = counted_call(edge_process.EdgeProcess.call)
    edge_folder.sync_folder = counted(edge_folder.sync_folder)
    os.unlink, os.rmdir = counted(os.unlink), counted(os.rmdir)
    index = open_edge_parts(Path(sys.argv[1]) / "index", 12)
    await index.prepare()
    assert await index.compact()
    await index.close()
    print(get_step())

asyncio.run(main())
"""
"""Removes a part, and is killed before or after a call to one of the engines, or a file that it removes."""


async def test_wherever_a_removal_is_killed_the_next_start_has_every_point(tmp_path: Path) -> None:
    """And removes what is left of the part, at once or by its next compaction."""
    seed = random.SystemRandom().getrandbits(32)
    chooser, steps, kill_at = random.Random(seed), 0, 0
    for attempt in range(6):
        store = Store(tmp_path / str(attempt), None)
        index = await store.start(SHORT)
        await index.upsert("t", make_document("otter", SHORT))
        index = await store.start(LONG)
        await index.upsert("t", make_document("otter", LONG, "v2"))
        await index.delete_document("t", "otter", except_version="v2")
        await store.end_all()
        status, output = await run_killed(KILLED, store.folder, kill_at)
        assert status == (-signal.SIGKILL if kill_at else 0)
        steps = steps or int(output.split()[-1])

        index = await store.start(LONG)
        found = list_versions(await index.search("t", make_query(LONG, "otter")))
        assert found == ({"otter@v2"}, {"otter@v2"}), f"seed {seed}, killed at step {kill_at} of {steps}"
        await index.compact()
        assert await store.list_parts() == [name_part("index", LONG)]
        await store.end_all()
        kill_at = chooser.randint(1, steps)


async def test_a_start_that_was_killed_before_it_made_its_part_is_made_up_for(edge: Store) -> None:
    """Its folder is there, with nothing in it: neither the model of then nor that of before stumbles over it."""
    index = await edge.start(SHORT)
    await index.upsert("t", make_document("otter", SHORT))
    await edge.end_all()
    (edge.folder / name_part("index", LONG) / "shard-1").mkdir(parents=True)

    for length in (SHORT, LONG):
        index = await edge.start(length)
        assert list_versions(await index.search("t", make_query(length, "otter")))[1] == {"otter@v1"}


async def test_a_file_that_is_called_as_a_part_is_none(edge: Store) -> None:
    """It is nobody's index: no start fails of it, and it stays."""
    names = [name_part("index", LONG), "index.removed"]
    for name in names:
        (edge.folder / name).write_text("notes")

    index = await edge.start(SHORT)

    await index.upsert("t", make_document("otter", SHORT))
    await index.compact()
    assert await edge.list_parts() == ["index", *names]


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        ({}, "i"),
        ({"i": 12}, "i"),
        ({"i": None}, "i"),
        ({"i": 8}, "i-length-12"),
        ({"i": 8, "i-length-12": 12}, "i-length-12"),
        ({"i": None, "i-length-12": 12}, "i-length-12"),
        ({"i-length-12": 12}, "i-length-12"),
        ({"i-length-8": 8}, "i"),
    ],
)
def test_vectors_go_into_the_part_of_their_length(lengths: dict[str, int | None], chosen: str) -> None:
    """Else into one that nobody has written to, or a new one."""
    assert choose_part("i", 12, lengths) == chosen


def test_only_what_we_have_named_is_a_part() -> None:
    assert parse_length("pagewire", name_part("pagewire", 768)) == 768
    for name in ("pagewire", "pagewire-2", "pagewire-length-", "pagewire-length-0", "xpagewire-length-8"):
        assert parse_length("pagewire", name) is None
    assert parse_length("a.b", "acb-length-8") is None
    assert parse_length("index", "index-length-8.removed") is None
