"""What is deleted from Qdrant Edge is gone from the disk after a compaction, and nothing else is, whoever is killed."""

import asyncio
import errno
import os
import random
import re
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from shared.embedding.sparse import Bm25Encoder
from shared.errors import DependencyUnavailable, DiskFull
from shared.identifiers import make_point_id
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.edge_folder import make_current
from shared.vector_index.edge_process import EdgeProcess
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, LegHits
from tests.killed_steps import run_killed

DIMENSION = 8
PASSAGES = 30
BM25 = Bm25Encoder()


def make_document(name: str, version: str = "v1") -> list[IndexPoint]:
    """Points whose texts and titles are rare words that only depend on the name and the version."""
    chooser = random.Random(f"{name}/{version}")
    points = []
    for number in range(PASSAGES):
        text = " ".join(make_words(chooser))
        payload = ChunkPayload(name, version, number, make_words(chooser)[0], 1, 0, len(text), text)
        vector = [chooser.gauss(0, 1) for _ in range(DIMENSION)]
        length = sum(value * value for value in vector) ** 0.5
        unit = [value / length for value in vector]
        points.append(
            IndexPoint(make_point_id("t", name, version, number), payload, unit, BM25.encode_passages([text])[0])
        )
    return points


def make_words(chooser: random.Random) -> list[str]:
    """Words that no compression can shorten much."""
    return [f"{chooser.getrandbits(80):020x}" for _ in range(12)]


def list_words(points: Sequence[IndexPoint]) -> set[str]:
    """All words of these points."""
    return {word for point in points for word in [*point.payload.text.split(), *point.payload.title.split()]}


def find_words(folder: Path, words: set[str]) -> set[str]:
    """Those of these words that stand in any file of a folder, as UTF-8 or UTF-16."""
    content = b"".join(path.read_bytes().translate(None, b"\0") for path in folder.rglob("*") if path.is_file())
    candidates = b" ".join(re.findall(rb"[0-9a-f]{20,}", content)).decode()
    return {word for word in words if word in candidates}


async def search_all(index: EdgeIndex) -> LegHits:
    """Everything there is, in the order of one question."""
    return await index.search("t", IndexQuery([1.0, *[0.0] * (DIMENSION - 1)], BM25.encode_query("none"), 10_000))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeIndex]:
    index = EdgeIndex(tmp_path / "index", DIMENSION)
    await index.prepare()
    yield index
    await index.close()


@pytest.mark.parametrize("closed", [False, True])
async def test_nothing_of_a_deleted_document_is_left_on_the_disk(
    index: EdgeIndex, tmp_path: Path, *, closed: bool
) -> None:
    """Neither its text nor its title, whether or not the index is closed; before the compaction they were there."""
    gone, old, kept = make_document("gone"), make_document("kept", "v0"), make_document("kept")
    for points in (gone, old, kept):
        await index.upsert("t", points)
    before = await search_all(index)
    await index.delete_document("t", "gone")
    await index.delete_document("t", "kept", except_version="v1")
    folder = tmp_path / "index"
    assert await asyncio.to_thread(find_words, folder, list_words(gone))

    assert await index.compact()
    if closed:
        await index.close()

    assert await asyncio.to_thread(find_words, folder, list_words([*gone, *old])) == set()
    assert await asyncio.to_thread(find_words, folder, list_words(kept))
    if closed:
        await index.prepare()
    ids = {point.point_id for point in kept}
    expected = [hit for hit in before.dense if hit.point_id in ids]
    assert (await search_all(index)).dense == expected
    assert not await index.compact()


async def test_a_folder_from_which_nothing_was_deleted_is_left_as_it_is(index: EdgeIndex) -> None:
    """Also where a deletion found nothing: each publication asks for the points of other versions."""
    await index.upsert("t", make_document("doc"))
    await index.delete_document("t", "doc", except_version="v1")
    await index.delete_document("t", "never-there")

    assert not await index.compact()


async def test_what_is_to_be_compacted_is_known_after_a_start(index: EdgeIndex, tmp_path: Path) -> None:
    """However the process ended that deleted it."""
    gone = make_document("gone")
    await index.upsert("t", gone)
    await index.delete_document("t", "gone")
    await index.close()
    await index.prepare()

    assert await index.compact()

    assert await asyncio.to_thread(find_words, tmp_path / "index", list_words(gone)) == set()


async def test_searches_and_writes_go_on_during_a_compaction(index: EdgeIndex) -> None:
    """No search fails or misses a point that is there; what is written and deleted meanwhile is so afterwards."""
    chooser = random.Random(8)
    names = [f"doc-{number}" for number in range(16)]
    for name in names:
        await index.upsert("t", make_document(name))
    await index.delete_document("t", names[0])
    left = set(names[1:])
    untouched = set(names[8:])
    compacting = asyncio.create_task(index.compact())
    searches = 0

    async def search() -> None:
        nonlocal searches
        while not compacting.done():
            found = {hit.payload.document_id for hit in (await search_all(index)).dense}
            assert untouched <= found
            searches += 1

    async def write() -> None:
        for number in range(1000):
            if compacting.done():
                return
            gone = chooser.choice(sorted(left - untouched) or [""])
            await index.delete_document("t", gone)
            left.discard(gone)
            await index.upsert("t", make_document(f"new-{number}"))
            left.add(f"new-{number}")

    await asyncio.gather(search(), write())

    assert await compacting
    assert searches > 1
    hits = await search_all(index)
    assert {hit.payload.document_id for hit in hits.dense} == left
    assert len(hits.dense) == PASSAGES * len(left)


async def test_it_does_not_begin_on_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """It needs as much space again; the index goes on as it was."""
    index = EdgeIndex(tmp_path / "index", DIMENSION)
    await index.prepare()
    await index.upsert("t", make_document("gone"))
    await index.upsert("t", make_document("kept"))
    await index.delete_document("t", "gone")
    index._min_free_bytes = 1 << 62

    with pytest.raises(DiskFull):
        await index.compact()

    assert await index.count("t") == PASSAGES
    await index.close()


async def test_a_compaction_that_is_cancelled_leaves_the_index_as_it_was(index: EdgeIndex, tmp_path: Path) -> None:
    """And the next one removes what was to be removed."""
    gone = make_document("gone")
    for points in (gone, *(make_document(f"doc-{number}") for number in range(10))):
        await index.upsert("t", points)
    await index.delete_document("t", "gone")
    before = await search_all(index)
    compacting = asyncio.create_task(index.compact())
    while index._successor is None:
        await asyncio.sleep(0)

    compacting.cancel()
    await asyncio.wait([compacting])

    assert compacting.cancelled()
    assert await search_all(index) == before
    assert await index.compact()
    assert await search_all(index) == before
    assert await asyncio.to_thread(find_words, tmp_path / "index", list_words(gone)) == set()


async def test_points_of_the_layout_before_are_found(index: EdgeIndex, tmp_path: Path) -> None:
    """When the shard lay in the folder itself; also where moving it was cut off."""
    await index.upsert("t", make_document("doc"))
    await index.close()
    folder = tmp_path / "index"
    for name in ("segments", "wal"):
        (folder / "shard-1" / name).rename(folder / name)

    await index.prepare()

    assert await index.count("t") == PASSAGES
    assert await index.compact()  # it may hold what was deleted from it


async def test_an_engine_that_dies_is_started_again(index: EdgeIndex) -> None:
    """The call that it was killed in fails and may be tried again; what was acknowledged is there."""
    await index.upsert("t", make_document("doc"))
    assert index._process is not None
    searching = [asyncio.create_task(search_all(index)) for _ in range(5)]
    await asyncio.sleep(0)

    os.kill(index._process._process.pid, signal.SIGKILL)
    results = await asyncio.gather(*searching, return_exceptions=True)

    assert {type(result) for result in results} <= {LegHits, DependencyUnavailable}
    assert await index.count("t") == PASSAGES


async def test_a_disk_that_fails_while_the_new_shard_takes_over_costs_no_point(
    index: EdgeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is current is never removed: all is there at once, after a start, and with what was written meanwhile."""
    for name in ("gone", "kept"):
        await index.upsert("t", make_document(name))
    await index.delete_document("t", "gone")

    def fail(path: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("shared.vector_index.edge.sync_folder", fail)
    with pytest.raises(OSError, match="Too many open files"):
        await index.compact()

    assert await index.count("t") == PASSAGES
    await index.upsert("t", make_document("later"))
    await index.close()
    await index.prepare()
    assert await index.count("t") == 2 * PASSAGES
    assert len([path for path in (tmp_path / "index").iterdir() if path.is_dir()]) == 1


async def test_an_engine_that_dies_while_the_new_shard_takes_over_is_not_started_again(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that finds the old one dead in this moment gets the new one, not one on a folder that is removed."""
    for name in ("gone", "kept"):
        await index.upsert("t", make_document(name))
    await index.delete_document("t", "gone")
    loop, searching = asyncio.get_running_loop(), list[asyncio.Task[LegHits]]()
    old = index._process
    assert old is not None

    async def search_with_dead_engine() -> None:
        await old.kill()
        searching.append(asyncio.create_task(search_all(index)))
        await asyncio.sleep(0)

    def make_current_meanwhile(shard: Path) -> None:
        asyncio.run_coroutine_threadsafe(search_with_dead_engine(), loop).result()
        make_current(shard)

    monkeypatch.setattr("shared.vector_index.edge.make_current", make_current_meanwhile)
    assert await index.compact()

    assert len((await searching[0]).dense) == PASSAGES
    await index.upsert("t", make_document("later"))
    await index.close()
    await index.prepare()
    assert await index.count("t") == 2 * PASSAGES


async def test_who_gives_up_waiting_for_a_start_does_not_end_it(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or an index that takes longer to open than any search may take would never be open again."""
    await index.upsert("t", make_document("doc"))
    assert index._process is not None
    await index._process.kill()
    begun, start = list[Path](), EdgeProcess.start

    async def start_and_tell(folder: Path, dimension: int | None) -> EdgeProcess:
        begun.append(folder)
        return await start(folder, dimension)

    monkeypatch.setattr(EdgeProcess, "start", start_and_tell)
    first = asyncio.create_task(search_all(index))
    second = asyncio.create_task(search_all(index))
    while not begun:
        await asyncio.sleep(0)

    first.cancel()
    hits = await second

    assert first.cancelled()
    assert len(begun) == 1
    assert len(hits.dense) == PASSAGES


async def test_an_index_that_is_closed_while_it_starts_again_leaves_no_process(index: EdgeIndex) -> None:
    """Its folder can be opened at once."""
    await index.upsert("t", make_document("doc"))
    assert index._process is not None
    await index._process.kill()
    searching = asyncio.create_task(search_all(index))
    while index._restart is None:
        await asyncio.sleep(0)

    await index.close()
    await asyncio.wait([searching])

    await index.prepare()
    assert await index.count("t") == PASSAGES


KILLED = """
import asyncio, sys
from pathlib import Path
from shared.vector_index import edge, edge_process
from shared.vector_index.edge import EdgeIndex
from tests.killed_steps import counted, counted_call, get_step

async def main():
    index = EdgeIndex(Path(sys.argv[1]), 8)
    await index.prepare()
    edge_process.EdgeProcess.call = counted_call(edge_process.EdgeProcess.call)
    edge.make_current, edge.remove_shard = counted(edge.make_current), counted(edge.remove_shard)
    assert await index.compact()
    await index.close()
    print(get_step())

asyncio.run(main())
"""
"""Compacts a folder, and is killed before or after a call to one of the engines or a change of the folder."""

TURNING_POINTS = (7, 6, 3)
"""Steps before the last: just before the new shard takes over, just after, just before the old one is removed."""


async def test_wherever_it_is_killed_the_next_start_is_whole(tmp_path: Path) -> None:
    """Every point is there exactly once, nothing else is, and the next compaction removes what was deleted."""
    kept = [make_document(f"doc-{number}") for number in range(6)]
    gone = make_document("gone")
    expected: LegHits | None = None
    steps, seed = 0, secrets.randbits(32)
    chooser = random.Random(seed)
    kill_at = 0
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        index = EdgeIndex(folder, DIMENSION)
        await index.prepare()
        for points in (gone, *kept):
            await index.upsert("t", points)
        await index.delete_document("t", "gone")
        expected = expected or await search_all(index)
        await index.close()
        status, output = await run_killed(KILLED, folder, kill_at)
        assert status == (-signal.SIGKILL if kill_at else 0)
        steps = steps or int(output.split()[-1])

        await index.prepare()
        assert await search_all(index) == expected, f"seed {seed}, killed at step {kill_at} of {steps}"
        await index.compact()
        assert await search_all(index) == expected
        assert await asyncio.to_thread(find_words, folder, list_words(gone)) == set()
        assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
        await index.close()
        # Each time where the new shard takes over and the old one is removed; and where chance will have it.
        kill_at = steps - TURNING_POINTS[attempt] if attempt < len(TURNING_POINTS) else chooser.randint(1, steps)
