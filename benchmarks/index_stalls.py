"""How long the event loop stands still because of Qdrant Edge: `python -m benchmarks.index_stalls [--points 20000]`.

A task on the loop notes how late it is woken, while points are written, searched, deleted and compacted: by EdgeIndex,
whose engine has a process of its own, and by the same engine in a thread of this process, for comparison. While it
compacts, searches go on, one after another.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from shared.identifiers import make_point_id
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.edge_folder import measure
from shared.vector_index.edge_shard import EdgeShard
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, SparseVector

DIMENSION = 384
PASSAGES = 64
"""Of each document, and points per write."""
TERMS = 100
"""Of a passage."""
VOCABULARY = 30_000
TICK_S = 0.001


@dataclass
class Stall:
    """The longest time by which the task came late, in seconds."""

    longest_s: float = 0.0


@asynccontextmanager
async def watch_loop() -> AsyncIterator[Stall]:
    """Note how late a task on the loop is woken within the block."""
    stall = Stall()

    async def tick() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(TICK_S)
            stall.longest_s = max(stall.longest_s, time.perf_counter() - started - TICK_S)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    stall.longest_s = 0.0
    try:
        yield stall
    finally:
        ticking.cancel()


def make_document(number: int) -> list[IndexPoint]:
    """Return the points of a document, as an ingest writes them."""
    random = np.random.default_rng(number)
    name = f"doc-{number}"
    vectors = random.normal(size=(PASSAGES, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = []
    for chunk_id in range(PASSAGES):
        terms = sorted({int(term) for term in random.integers(0, VOCABULARY, TERMS)})
        text = " ".join(f"word{term}" for term in terms)
        payload = ChunkPayload(name, "v1", chunk_id, f"Title of {name}", 1, 0, len(text), text)
        sparse = SparseVector(terms, [1.0] * len(terms))
        points.append(IndexPoint(make_point_id("t", name, "v1", chunk_id), payload, vectors[chunk_id].tolist(), sparse))
    return points


def make_query(number: int) -> IndexQuery:
    """Return a question near to a passage."""
    point = make_document(number)[number % PASSAGES]
    return IndexQuery(point.dense, SparseVector(point.sparse.indices[:8], point.sparse.values[:8]), 50)


class ThreadedShard:
    """The engine in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1)

    async def open(self) -> None:
        """Open the shard."""
        self._shard: EdgeShard = await self.call(EdgeShard, self._folder, DIMENSION)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a call in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Write and flush, as EdgeIndex does."""
        await self.call(self._shard.write, tenant, points)
        await self.call(self._shard.flush)

    async def search(self, tenant: str, query: IndexQuery) -> Any:
        """Run both legs."""
        return await self.call(self._shard.search, tenant, query)

    async def close(self) -> None:
        """Close the shard."""
        await self.call(self._shard.close)


def never() -> bool:
    """Say that there is no end before the last step."""
    return False


async def report(
    name: str, steps: int, work: Callable[[int], Awaitable[Any]], *, ended: Callable[[], bool] = never
) -> None:
    """Do something `steps` times, or until it has `ended`, and print how long it took and the longest stall."""
    times: list[float] = []
    async with watch_loop() as stall:
        for number in takewhile(lambda _: not ended(), range(steps)):
            started = time.perf_counter()
            await work(number)
            times.append(time.perf_counter() - started)
    times.sort()
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(
        f"{name:34} {len(times):5} times, p50 {middle * 1000:8.1f} ms, p99 {late * 1000:8.1f} ms,"
        f" longest stall {stall.longest_s * 1000:7.1f} ms",
        flush=True,
    )


async def compare_engines(folder: Path, documents: int) -> None:
    """The same work in a thread and in a process; what is only possible in a process at the end."""
    threaded = ThreadedShard(folder / "thread")
    await report("thread: open", 1, lambda _: threaded.open())
    index = EdgeIndex(folder / "process", DIMENSION)
    await report("process: open", 1, lambda _: index.prepare())
    contents = [make_document(number) for number in range(documents)]
    queries = [make_query(number) for number in range(200)]
    for name, engine in (("thread", threaded), ("process", index)):
        await report(f"{name}: write {PASSAGES} points", documents, lambda n, e=engine: e.upsert("t", contents[n]))  # type: ignore[misc]
        await report(f"{name}: search", len(queries), lambda n, e=engine: e.search("t", queries[n]))  # type: ignore[misc]
    await report("thread: close", 1, lambda _: threaded.close())
    await report("thread: open again", 1, lambda _: threaded.open())
    await threaded.close()
    await report("process: delete a document", documents // 10, lambda n: index.delete_document("t", f"doc-{n}"))
    before = measure(folder / "process")
    compacting = asyncio.create_task(index.compact())
    started = time.perf_counter()
    await report(
        "process: search while compacting",
        20_000,
        lambda n: index.search("t", queries[n % len(queries)]),
        ended=compacting.done,
    )
    assert await compacting
    seconds = time.perf_counter() - started
    after = measure(folder / "process")
    print(f"compaction: {seconds:.1f} s; {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after")
    await report("process: close", 1, lambda _: index.close())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    points = parser.parse_args().points
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare_engines(Path(folder), -(-points // PASSAGES)))


if __name__ == "__main__":
    main()
