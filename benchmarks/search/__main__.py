"""Measures the search beside the plain way, in one run: `python -m benchmarks.search --server BINARY --cache FOLDER`.

Ours is what the retrieval service runs, without HTTP: `search_passages` with the embedder, both legs, the registry in
Redis and the cards in it, sealed texts, fusion, and what makes passages whole; on Qdrant Edge, which has a process of
its own, and on a Qdrant server. The plain way is `benchmarks/search/plain.py`. Both have the same chunks (`corpus.py`
says how they are made), the same questions, which are real, the same embedding model and the same cross-encoder.

The server's binary comes out of its image: `docker create --name qdrant qdrant/qdrant:v1.16.3 x`, then
`docker cp qdrant:/qdrant/qdrant .`; without one, Edge is measured alone.
"""

import argparse
import asyncio
import fcntl
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks.search.corpus import Originals, read_originals
from benchmarks.search.measure import AT_ONCE, Measured, Way, fill, measure_plain, measure_rate, measure_stages
from benchmarks.search.plain import MODEL, PlainSearch, make_cross_encoder
from benchmarks.search.qdrant_server import run_qdrant_server
from benchmarks.search.report import write_report
from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.question_sets import load_set
from services.retrieval.adapters.cross_encoder import CrossEncoderReranker, NoReranker
from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.ports import Reranker
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.search_passages import SearchDependencies
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.private_redis import start_private_redis
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.settings import IndexSettings
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import VectorIndex
from shared.vector_index.server import connect_server_index

SETS = ("financebench", "tatqa", "xquad")
POLL_S = 1.0
SETTLED_POLLS = 3


@dataclass(frozen=True)
class Places:
    """Where Redis answers, and a Qdrant server and its process, if there is one."""

    redis: str
    server: str | None = None
    server_process: int = 0

    def find_engine(self, index: VectorIndex) -> int:
        """Return the process in which an index is."""
        if isinstance(index, EdgeIndex):
            assert index._process is not None  # noqa: SLF001 - nobody else wants to know
            return index._process._process.pid  # noqa: SLF001
        return self.server_process


@asynccontextmanager
async def open_indexes(folder: Path, dimension: int, server: str | None) -> AsyncIterator[dict[str, VectorIndex]]:
    """Yield an empty index of each engine."""
    async with AsyncExitStack() as stack:
        edge = EdgeIndex(folder / "edge", dimension)
        await edge.prepare()
        stack.push_async_callback(edge.close)
        indexes: dict[str, VectorIndex] = {"Edge": edge}
        if server is not None:
            settings = IndexSettings(qdrant_url=server, collection=folder.name, qdrant_timeout_s=60)
            index = await connect_server_index(settings, dimension)
            stack.push_async_callback(index.close)
            stack.push_async_callback(index._client.delete_collection, folder.name)  # noqa: SLF001
            indexes["server"] = index
        yield indexes


@asynccontextmanager
async def open_rerankers(cross_encoder: Path, bm25: Bm25Encoder) -> AsyncIterator[dict[str, Reranker]]:
    """Yield what passages are ordered by, by name; ready to score."""
    model = CrossEncoderReranker(str(cross_encoder))
    await asyncio.to_thread(model.loaded.wait)
    try:
        yield {"off": NoReranker(), "offline": TermProximityReranker(bm25), "cross-encoder": model}
    finally:
        await asyncio.to_thread(model.close)


async def measure_size(
    chunks: int,
    originals: Originals,
    questions: Sequence[str],
    embedder: DenseEmbedder,
    places: Places,
    seconds: float,
) -> list[Measured]:
    """Measure one size of the collection, each engine and the plain way; Redis is emptied before."""
    bm25 = Bm25Encoder()
    measured = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pagewire-search-")))
        redis = await stack.enter_async_context(connect_redis(places.redis, timeout_s=30))
        await redis.flushall()
        registry = RedisDocumentRegistry(redis, deadline_s=30)
        stack.push_async_callback(registry.close)
        indexes = await stack.enter_async_context(open_indexes(folder, embedder.dimension, places.server))
        documents = list(originals.make_documents(chunks))
        await fill(documents, indexes.values(), registry, bm25)
        print(f"{chunks:,} chunks in {len(documents):,} documents are written", flush=True)
        if places.server is not None:
            await _wait_until_indexed(places.server, folder.name)
        cross_encoder = folder / "cross-encoder"
        await asyncio.to_thread(make_cross_encoder, cross_encoder)
        options = await asyncio.to_thread(RetrievalSettings().make_search_options)
        rerankers = await stack.enter_async_context(open_rerankers(cross_encoder, bm25))
        ways = {}
        for name, index in indexes.items():
            deps = SearchDependencies(embedder, bm25, index, registry, rerankers["offline"], options)
            ways[name] = Way(deps, places.find_engine(index))
        by_way = await measure_stages(ways, rerankers, questions)
        for name, way in ways.items():
            rates = {count: await measure_rate(way.deps, questions, count, seconds) for count in AT_ONCE}
            measured.append(Measured(name, chunks, *by_way[name], rates))
        texts = [chunk.text for document in documents for chunk in document.chunks]
        vectors = np.concatenate([document.vectors for document in documents])
        plain = await asyncio.to_thread(PlainSearch, texts, vectors, cross_encoder)
        measured.append(await measure_plain(plain, questions, chunks, seconds, at_once=AT_ONCE))
    return measured


async def _wait_until_indexed(server: str, collection: str) -> None:
    """Return when the server builds no graph any more. It calls itself green for a moment before it begins."""
    green = 0
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=60) as client:
        while green < SETTLED_POLLS:
            await asyncio.sleep(POLL_S)
            found = (await client.get(f"/collections/{collection}")).json()["result"]
            green = green + 1 if found["status"] == "green" else 0


async def main(arguments: argparse.Namespace, places: Places) -> None:
    """Measure all sizes, and write the table."""
    embedder = await asyncio.to_thread(DenseEmbedder, MODEL)
    await asyncio.to_thread(embedder.warm_up)
    kept = await asyncio.to_thread(KeptVectors, embedder, arguments.cache / "vectors.sqlite")
    sets = [load_set(name, arguments.data, whole=True) for name in SETS]
    originals = await read_originals(
        [document for one in sets for document in one.documents], kept, arguments.originals
    )
    kept.close()
    texts = [question.text for one in sets for question in one.questions]
    questions = texts[:: max(1, len(texts) // arguments.questions)][: arguments.questions]
    measured: list[Measured] = []
    for chunks in arguments.chunks:
        measured += await measure_size(chunks, originals, questions, embedder, places, arguments.seconds)
        await asyncio.to_thread(
            write_report, measured, arguments.results, len(questions), len(originals.vectors), loaded=arguments.loaded
        )
    embedder.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--server", type=Path, help="a Qdrant binary")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True, help="a folder for embeddings")
    parser.add_argument("--originals", type=int, default=3000, help="real chunks that all others are made of")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument(
        "--seconds", type=float, default=8, help="how long searches are counted, for each number of them"
    )
    parser.add_argument("--loaded", action="store_true", help="say that others used the machine meanwhile")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pagewire-search-")))
        lock = stack.enter_context((work / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        redis_url = stack.enter_context(start_private_redis(work / "redis", lock.fileno())).url
        places = Places(redis_url)
        if options.server is not None:
            server = stack.enter_context(run_qdrant_server(options.server, work / "qdrant"))
            places = Places(redis_url, server.url, server.process.pid)
        asyncio.run(main(options, places))
