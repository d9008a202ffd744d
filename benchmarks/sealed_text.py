"""What it costs that the index keeps texts sealed: `python -m benchmarks.sealed_text FILE`.

20,000 passages of 700 characters of the text in FILE, 20 to a document, in plain in one index and sealed in another one
of the same engine: Qdrant Edge, and the Qdrant server of QDRANT_URL where that is set. Searches go through
`search_passages` with the records of a real Redis, plain and sealed in an order that changes, so that whatever else the
machine does meets both alike. Bytes are those of Edge's segments.
"""

import argparse
import asyncio
import fcntl
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id, make_point_id
from shared.private_redis import start_private_redis
from shared.redis_client import connect_redis
from shared.registry.port import Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint, VectorIndex
from shared.vector_index.sealing import open_payload, seal_payload
from shared.vector_index.server import connect_server_index

DIMENSION = 384
CHARACTERS = 700
PASSAGES_PER_DOCUMENT = 20
BATCH = 64
BM25 = Bm25Encoder()


class RandomVectors:
    """Gives each question a vector that follows from nothing but its text."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """Return a unit vector."""
        return make_vector(np.random.default_rng(abs(hash(text))))


def make_vector(chooser: np.random.Generator) -> NDArray[np.float32]:
    """Return a unit vector."""
    vector = chooser.normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass(frozen=True)
class Corpus:
    """Points in plain, and the keys of their documents."""

    points: Sequence[IndexPoint]
    keys: Mapping[str, str]

    def seal(self, point: IndexPoint) -> IndexPoint:
        """Return the point as an ingest writes it."""
        return replace(point, payload=seal_payload(point.payload, self.keys[point.payload.document_id]))


async def make_corpus(text: str, passages: int, registry: RedisDocumentRegistry) -> Corpus:
    """Return points of documents that the registry has as published."""
    chooser, keys = np.random.default_rng(1), {}
    points: list[IndexPoint] = []
    for _ in range(passages // PASSAGES_PER_DOCUMENT):
        document_id = make_document_id()
        await registry.create(NewDocument("t", document_id, "a.pdf", uuid.uuid4().hex, 1))
        lease = await registry.claim(DocumentJob(tenant="t", document_id=document_id), "w", 60_000)
        assert isinstance(lease, Lease)
        await registry.publish(lease, "v1", [])
        keys[document_id] = lease.text_key
        places = chooser.integers(len(text) - CHARACTERS, size=PASSAGES_PER_DOCUMENT)
        texts = [text[place : place + CHARACTERS] for place in places]
        for number, (passage, sparse) in enumerate(zip(texts, BM25.encode_passages(texts), strict=True)):
            payload = ChunkPayload(
                document_id, "v1", number, "A title of a document", number + 1, 0, CHARACTERS, passage
            )
            name = make_point_id("t", document_id, "v1", number)
            points.append(IndexPoint(name, payload, make_vector(chooser).tolist(), sparse))
    return Corpus(points, keys)


def time_sealing(corpus: Corpus) -> None:
    """Print what a passage costs, in microseconds, and its bytes."""
    some = corpus.points[:2000]
    started = time.perf_counter()
    sealed = [corpus.seal(point).payload for point in some]
    between = time.perf_counter()
    for payload in sealed:
        open_payload(payload, corpus.keys[payload.document_id])
    ended = time.perf_counter()
    plain = statistics.mean(len(f"{point.payload.title}{point.payload.text}".encode()) for point in some)
    print(f"to seal a passage: {(between - started) / len(some) * 1e6:.0f} µs; to open it: ", end="")
    print(f"{(ended - between) / len(some) * 1e6:.0f} µs; {plain:.0f} bytes of title and text are ", end="")
    print(f"{statistics.mean(len(payload.sealed) for payload in sealed):.0f} sealed")


def measure_folder(folder: Path) -> int:
    """Return the bytes that its segments take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("segments/**/*") if path.is_file())


@asynccontextmanager
async def open_indexes(engine: str, folder: Path) -> AsyncIterator[dict[str, VectorIndex]]:
    """Yield two empty ones."""
    async with AsyncExitStack() as stack:
        indexes: dict[str, VectorIndex] = {}
        for name in ("plain", "sealed"):
            if engine == "Edge":
                edge = EdgeIndex(folder / name, DIMENSION)
                await edge.prepare()
                stack.push_async_callback(edge.close)
                indexes[name] = edge
                continue
            collection = f"bench-{uuid.uuid4().hex}"
            settings = IndexSettings(qdrant_url=os.environ["QDRANT_URL"], collection=collection, qdrant_timeout_s=60)
            server = await connect_server_index(settings, DIMENSION)
            stack.push_async_callback(server.close)
            stack.push_async_callback(server._client.delete_collection, collection)  # noqa: SLF001
            indexes[name] = server
        yield indexes


async def measure(engine: str, corpus: Corpus, registry: RedisDocumentRegistry, repeats: int, folder: Path) -> None:
    """Print the rows of an engine."""
    async with open_indexes(engine, folder) as indexes:
        times: dict[tuple[str, int], list[float]] = {(name, top_k): [] for top_k in (5, 50) for name in indexes}
        for first in range(0, len(corpus.points), BATCH):
            points = corpus.points[first : first + BATCH]
            await indexes["plain"].upsert("t", points)
            await indexes["sealed"].upsert("t", [corpus.seal(point) for point in points])
        shuffle = random.Random(1)
        options = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights())
        for number in range(repeats):
            query = corpus.points[number * 37 % len(corpus.points)].payload.text[100:160]
            for name, top_k in shuffle.sample([*times], len(times)):
                deps = SearchDependencies(RandomVectors(), BM25, indexes[name], registry, NoReranker(), options)
                request = SearchRequest(tenant="t", query=query, top_k=top_k)
                started = time.perf_counter()
                found = await search_passages(request, deps)
                times[name, top_k].append((time.perf_counter() - started) * 1000)
                assert len(found.passages) == top_k
                assert all(passage.text for passage in found.passages)
        for name in indexes:
            cells = []
            for top_k in (5, 50):
                middle, slow = np.percentile(times[name, top_k], [50, 95])
                cells.append(f"{middle:.2f} ms (p95 {slow:.2f})")
            size = f"{measure_folder(folder / name) / 1e6:.1f} MB" if engine == "Edge" else ""
            print(f"| {engine} | {name} | {' | '.join(cells)} | {size} |", flush=True)


async def main(text: str, passages: int, repeats: int, redis_url: str, folder: Path) -> None:
    """Print the table."""
    redis = connect_redis(redis_url, timeout_s=10)
    registry = RedisDocumentRegistry(redis)
    corpus = await make_corpus(text, passages, registry)
    time_sealing(corpus)
    print("| engine | text | a search, 5 passages | 50 passages | on the disk |")
    print("|---|---|---|---|---|")
    for engine in ["Edge", *(["server"] if "QDRANT_URL" in os.environ else [])]:
        await measure(engine, corpus, registry, repeats, folder)
    await registry.close()
    await redis.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="any text of some hundred kilobytes")
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, (Path(name) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(name) / "redis", lock.fileno()) as running:
            text = arguments.file.read_text()
            asyncio.run(main(text, arguments.passages, arguments.repeats, running.url, Path(name)))
