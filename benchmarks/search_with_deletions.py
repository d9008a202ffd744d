"""How long a search takes while deleted documents wait for their purge: `python -m benchmarks.search_with_deletions`.

20,000 passages, and N deleted documents of one passage that are all nearer to the question than the one that answers
it. Three ways are compared: no exclusion at all (it finds only what is deleted), excluding what was found until
nothing new is, and excluding all that waits once one was found, which is what `search_passages` does. On Qdrant Edge,
and on the Qdrant server of QDRANT_URL where that is set.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id, make_point_id
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, VectorIndex
from shared.vector_index.server import connect_server_index

DIMENSION = 384
PASSAGES_PER_DOCUMENT = 20
LIMIT = 50
REPEATS = 15
BM25 = Bm25Encoder()


def make_vector(random: np.random.Generator, centre: NDArray[np.float64], spread: float) -> list[float]:
    """Return a unit vector; the smaller `spread`, the nearer to the centre."""
    vector = centre + spread * random.normal(size=DIMENSION) / np.sqrt(DIMENSION)
    unit: list[float] = (vector / np.linalg.norm(vector)).tolist()
    return unit


def make_point(document_id: str, chunk_id: int, vector: list[float], text: str) -> IndexPoint:
    """Return a point as an ingest writes it."""
    payload = ChunkPayload(document_id, "v1", chunk_id, "Title", 1, 0, len(text), text)
    point_id = make_point_id("t", document_id, "v1", chunk_id)
    return IndexPoint(point_id, payload, vector, BM25.encode_passages([text])[0])


async def fill(index: VectorIndex, passages: int, deleted: Sequence[str], good: str) -> IndexQuery:
    """Write all points, and return the question."""
    random = np.random.default_rng(1)
    nowhere = np.zeros(DIMENSION)
    centre = np.array(make_vector(random, nowhere, 1))
    points = [make_point(good, 0, make_vector(random, centre, 1.0), "The crane lifts forty tonnes.")]
    points += [
        make_point(name, 0, make_vector(random, centre, 0.3), f"The crane lifts {number} tonnes, a crane of old.")
        for number, name in enumerate(deleted)
    ]
    for _ in range(passages // PASSAGES_PER_DOCUMENT):
        document_id = make_document_id()
        for chunk_id in range(PASSAGES_PER_DOCUMENT):
            words = " ".join(f"word{number}" for number in random.integers(3000, size=60))
            points.append(make_point(document_id, chunk_id, make_vector(random, nowhere, 1), words))
    order = random.permutation(len(points))
    for first in range(0, len(points), 64):
        await index.upsert("t", [points[place] for place in order[first : first + 64]])
    return IndexQuery(centre.tolist(), BM25.encode_query("What does the crane lift?"), LIMIT)


async def find_deleted(index: VectorIndex, query: IndexQuery, deleted: set[str]) -> tuple[set[str], bool]:
    """Search once; return what was found of the deleted ones, and whether something else was."""
    hits = await index.search("t", query)
    found = {hit.payload.document_id for hit in [*hits.dense, *hits.bm25]}
    return found & deleted, bool(found - deleted)


async def measure(name: str, index: VectorIndex, passages: int, count: int) -> None:
    """Print one row of the table."""
    deleted, good = {make_document_id() for _ in range(count)}, make_document_id()
    query = await fill(index, passages, sorted(deleted), good)

    async def search_once() -> bool:
        return (await find_deleted(index, query, deleted))[1]

    async def exclude_what_was_found() -> bool:
        excluded: set[str] = set()
        while True:
            new, others = await find_deleted(index, replace(query, excluded_documents=excluded), deleted)
            if not new:
                return others
            excluded |= new

    async def exclude_all_that_wait() -> bool:
        new, others = await find_deleted(index, query, deleted)
        if new:
            new, others = await find_deleted(index, replace(query, excluded_documents=deleted), deleted)
        return others and not new

    ways: list[Callable[[], Awaitable[bool]]] = [search_once, exclude_what_was_found, exclude_all_that_wait]
    cells = []
    for way in ways:
        times = []
        for _ in range(REPEATS if way is not exclude_what_was_found else 3):
            started = time.perf_counter()
            finds = await way()
            times.append((time.perf_counter() - started) * 1000)
        cells.append(f"{statistics.median(times):.1f} ms{'' if finds else ' (finds nothing)'}")
    print(f"| {name} | {count:,} | {' | '.join(cells)} |", flush=True)


async def main(passages: int, counts: Sequence[int]) -> None:
    """Print the table."""
    print("| engine | deleted | one search | excluding what was found | excluding all that wait |")
    print("|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            edge = EdgeIndex(Path(folder), DIMENSION)
            await edge.prepare()
            await measure("Edge", edge, passages, count)
            await edge.close()
    if url := os.environ.get("QDRANT_URL"):
        for count in counts:
            collection = f"bench-{uuid.uuid4().hex}"
            settings = IndexSettings(qdrant_url=url, collection=collection, qdrant_timeout_s=60)
            server = await connect_server_index(settings, DIMENSION)
            await measure("server", server, passages, count)
            await server._client.delete_collection(collection)  # noqa: SLF001
            await server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--deleted", type=int, nargs="+", default=[0, 330, 5000])
    arguments = parser.parse_args()
    asyncio.run(main(arguments.passages, arguments.deleted))
