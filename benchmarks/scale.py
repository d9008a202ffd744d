"""How a Qdrant server does with many vectors, by kind of quantization: `python -m benchmarks.scale --server BINARY`.

The collection is the one that our services make, with its payload indexes, and what is timed is the search that they
make: both legs, filtered by tenant, with the payloads of the hits. Vectors are made of real ones (see
`benchmarks/search/corpus.py`), and so are terms; questions are real. A tenant has nine tenths of the documents, another
one the rest. One quantization is set after the other, as docs/operations.md says, and the
server builds its graph anew. Recall is that of the dense leg's first 10, compared with all vectors by numpy.

The server's binary comes out of its image: `docker create --name qdrant qdrant/qdrant:v1.16.3 x`, then
`docker cp qdrant:/qdrant/qdrant .`
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from benchmarks.relay.report import describe_machine
from benchmarks.search.corpus import Originals, Vectors, read_originals
from benchmarks.search.qdrant_server import QdrantServer, run_qdrant_server
from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.question_sets import load_set
from services.ingest.domain.chunking import make_embedded_text
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_text_key
from shared.settings import Quantization
from shared.vector_index.collection_layout import CollectionLayout
from shared.vector_index.payload import dump_payload
from shared.vector_index.port import BM25, DENSE, ChunkPayload, IndexQuery, SparseVector
from shared.vector_index.sealing import seal_payload
from shared.vector_index.server import ServerIndex

COLLECTION = "scale"
LARGE, SMALL = "large", "small"
SMALL_SHARE = 10
"""Of so many documents one is the small tenant's."""
LIMIT = 50
RECALL_AT = 10
WARM_UP = 30
BATCH = 1000
CALL_S = 3600
"""A change of the collection waits until what the server is building is built."""
GRAPH_LINKS = 16
"""The server's own choice."""
POLL_S = 2.0
SETTLED_POLLS = 3
"""The server calls itself green for a moment before it begins with what was asked for."""
SETS = ("financebench", "tatqa", "xquad")


@dataclass(frozen=True)
class Many:
    """All points as arrays. A point's number is its id; its document's number is that divided by the chunks of one.

    Attributes:
        originals: of which original chunk each is a copy.
        chunks: of each document.
    """

    vectors: Vectors
    originals: NDArray[np.int64]
    chunks: int

    def list_documents(self, tenant: str) -> list[int]:
        """Return the numbers of a tenant's documents."""
        count = len(self.vectors) // self.chunks
        return [number for number in range(count) if get_tenant(number) == tenant]

    def select(self, documents: Sequence[int]) -> NDArray[np.int64]:
        """Return the numbers of the points of these documents."""
        firsts = np.array(documents)[:, np.newaxis] * self.chunks
        return (firsts + np.arange(self.chunks)).reshape(-1)


@dataclass(frozen=True)
class Asked:
    """A question, embedded."""

    dense: Vectors
    sparse: SparseVector


def get_tenant(document: int) -> str:
    """Return whose document it is."""
    return SMALL if document % SMALL_SHARE == 0 else LARGE


def name_document(document: int) -> str:
    """Return a document's id."""
    return str(uuid.UUID(int=document))


def make_many(originals: Originals, points: int, chunks: int) -> Many:
    """Return so many vectors, made of the originals'; those of a document are copies of neighbours on pages."""
    random = np.random.default_rng(1)
    firsts = random.integers(max(len(originals.vectors) - chunks, 1), size=points // chunks)
    places = (firsts[:, np.newaxis] + np.arange(chunks)).reshape(-1) % len(originals.vectors)
    vectors = np.empty((len(places), originals.vectors.shape[1]), dtype=np.float32)
    for first in range(0, len(places), 50_000):
        vectors[first : first + 50_000] = originals.vary_vectors(places[first : first + 50_000], random)
    return Many(vectors, places, chunks)


def write_points(server: QdrantServer, many: Many, originals: Originals) -> None:
    """Write all points without graphs, as one does with a large import, over gRPC.

    By m = 0 and not by an indexing threshold of 0: that leaves all points in one segment that can be appended to, in
    which each term of a new point takes time in proportion to the points that have it (25 minutes for 400,000).
    """
    client = QdrantClient(
        url=server.url, grpc_port=server.grpc_port, prefer_grpc=True, timeout=CALL_S, check_compatibility=False
    )
    client.update_collection(COLLECTION, hnsw_config=models.HnswConfigDiff(m=0))
    client.upload_points(COLLECTION, _list_points(many, originals), batch_size=BATCH)
    client.update_collection(COLLECTION, hnsw_config=models.HnswConfigDiff(m=GRAPH_LINKS))
    client.close()


def _list_points(many: Many, originals: Originals) -> Iterator[models.PointStruct]:
    chunks = [(document.name, chunk) for document in originals.documents for chunk in document.chunks]
    texts = [
        make_embedded_text(name, chunk, lambda parts: [len(part.split()) for part in parts]) for name, chunk in chunks
    ]
    terms = Bm25Encoder().encode_passages(texts)
    vocabulary = np.array(sorted({index for vector in terms for index in vector.indices}))
    random = np.random.default_rng(2)
    payloads = [
        seal_payload(ChunkPayload("d", "v1", 0, name, chunk.page, chunk.start, chunk.end, chunk.text), make_text_key())
        for name, chunk in chunks
    ]
    for number, (vector, original) in enumerate(zip(many.vectors, many.originals, strict=True)):
        document, chunk_id = divmod(number, many.chunks)
        indices = np.array(terms[original].indices)
        changed = random.integers(7, size=len(indices)) == 0
        indices[changed] = random.choice(vocabulary, changed.sum())
        indices, kept = np.unique(indices, return_index=True)
        values = np.array(terms[original].values)[kept]
        payload = replace(
            payloads[original],
            document_id=name_document(document),
            chunk_id=chunk_id,
            embedded=str(uuid.UUID(int=number)),
        )
        yield models.PointStruct(
            id=number,
            vector={
                DENSE: vector.tolist(),
                BM25: models.SparseVector(indices=indices.tolist(), values=values.tolist()),
            },
            payload=dump_payload(get_tenant(document), payload),
        )


def set_quantization(server: QdrantServer, quantization: Quantization) -> float:
    """Change the collection as docs/operations.md says, and return the seconds until its graphs are built."""
    layout = CollectionLayout(quantization=quantization)
    client = QdrantClient(url=server.url, timeout=CALL_S, check_compatibility=False)
    began = time.monotonic()
    client.update_collection(
        COLLECTION,
        vectors_config={DENSE: models.VectorParamsDiff(on_disk=bool(layout.vectors_on_disk))},
        quantization_config=layout.make_quantization() or models.Disabled.DISABLED,
    )
    green = 0
    while green < SETTLED_POLLS:
        time.sleep(POLL_S)
        found = client.get_collection(COLLECTION)
        green = green + 1 if found.status is models.CollectionStatus.GREEN else 0
    print(f"{quantization}: {found.indexed_vectors_count} indexed, {found.segments_count} segments", flush=True)
    client.close()
    return time.monotonic() - began - SETTLED_POLLS * POLL_S


async def measure(
    server: QdrantServer, quantization: Quantization, many: Many, asked: Sequence[Asked], scopes: Sequence["Scope"]
) -> list[str]:
    """Return the rows of a quantization: for each scope p50 and p95 of a search and of its dense leg, and recall."""
    layout = CollectionLayout(quantization=quantization)
    index = ServerIndex(server.url, COLLECTION, many.vectors.shape[1], api_key=None, timeout_s=CALL_S, layout=layout)
    rows = []
    for scope in scopes:
        ids = None if scope.documents is None else [name_document(number) for number in scope.documents]
        both: list[float] = []
        dense: list[float] = []
        found = 0
        for number, question in enumerate([*asked[:WARM_UP], *asked], start=-len(asked[:WARM_UP])):
            query = IndexQuery(question.dense.tolist(), question.sparse, LIMIT, ids)
            began = time.perf_counter()
            await index.search(scope.tenant, query)
            between = time.perf_counter()
            hits = await index.search(scope.tenant, replace(query, sparse=SparseVector([], [])))
            ended = time.perf_counter()
            if number >= 0:
                both.append((between - began) * 1000)
                dense.append((ended - between) * 1000)
                best = scope.exact[number]
                found += len({int(hit.point_id) for hit in hits.dense[:RECALL_AT]} & set(best.tolist()))
        recall = found / sum(map(len, scope.exact))
        cells = [f"{np.percentile(times, share):.1f}" for times in (both, dense) for share in (50, 95)]
        rows.append(f"| {quantization} | {scope.name} | {len(scope.points):,} | {' | '.join(cells)} | {recall:.3f} |")
        print(rows[-1], flush=True)
    await index.close()
    return rows


@dataclass(frozen=True)
class Scope:
    """What is searched, and for each question the numbers of the points that are nearest there, of all."""

    name: str
    tenant: str
    documents: Sequence[int] | None
    points: NDArray[np.int64]
    exact: Sequence[NDArray[np.int64]]


def make_scopes(many: Many, asked: Sequence[Asked]) -> list[Scope]:
    """Return the whole of both tenants, and 1, 100 and 10,000 documents of the large one, or as many as there are."""
    large, small = many.list_documents(LARGE), many.list_documents(SMALL)
    random = np.random.default_rng(3)
    chosen: list[tuple[str, str, Sequence[int] | None, NDArray[np.int64]]] = [
        ("a tenant of nine tenths", LARGE, None, many.select(large)),
        ("a tenant of one tenth", SMALL, None, many.select(small)),
    ]
    for count in (1, 100, 10_000):
        picked: list[int] = sorted(random.choice(large, min(count, len(large)), replace=False).tolist())
        name = f"{len(picked):,} document{'s' * (count > 1)} of the large tenant"
        chosen.append((name, LARGE, picked, many.select(picked)))
    questions = np.stack([question.dense for question in asked])
    scopes = []
    for name, tenant, documents, points in chosen:
        similar = questions @ many.vectors[points].T
        count = min(RECALL_AT, len(points))
        best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        scopes.append(Scope(name, tenant, documents, points, [points[row] for row in best]))
    return scopes


async def prepare(arguments: argparse.Namespace) -> tuple[Originals, list[Asked]]:
    """Return the originals and real questions."""
    model = await asyncio.to_thread(DenseEmbedder, "all-MiniLM-L6-v2", threads=2)
    embedder, bm25 = KeptVectors(model, arguments.cache / "vectors.sqlite"), Bm25Encoder()
    sets = [load_set(name, arguments.data, whole=True) for name in SETS]
    originals = await read_originals(
        [document for one in sets for document in one.documents], embedder, arguments.originals
    )
    texts = [question.text for one in sets for question in one.questions]
    step = max(1, len(texts) // arguments.questions)
    asked = [
        Asked(await embedder.embed_query(text), bm25.encode_query(text))
        for text in texts[::step][: arguments.questions]
    ]
    embedder.close()
    model.close()
    return originals, asked


def main(arguments: argparse.Namespace, folder: Path) -> None:
    """Measure, and print the tables."""
    originals, asked = asyncio.run(prepare(arguments))
    print(
        f"{len(originals.documents)} originals of {len(originals.vectors)} chunks; {len(asked)} questions", flush=True
    )
    many = make_many(originals, arguments.points, arguments.passages)
    scopes = make_scopes(many, asked)
    rows: list[str] = []
    sizes: list[str] = []
    with run_qdrant_server(arguments.server, folder) as server:
        asyncio.run(_make_collection(server, many.vectors.shape[1]))
        began = time.monotonic()
        write_points(server, many, originals)
        print(f"{len(many.vectors):,} points written in {time.monotonic() - began:.0f} s", flush=True)
        for quantization in arguments.quantization:
            seconds = set_quantization(server, quantization)
            rows += asyncio.run(measure(server, quantization, many, asked, scopes))
            own, files = server.measure_memory()
            sizes.append(f"| {quantization} | {seconds:.0f} | {own:.2f} | {files:.2f} | {server.measure_disk():.2f} |")
            print(sizes[-1], flush=True)
    print(f"\n{describe_machine()}; {len(many.vectors):,} points, {len(asked)} questions, limit {LIMIT} a leg\n")
    print("| quantization | searched | points | both legs p50 ms | p95 | dense leg p50 ms | p95 | recall@10 |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    print("\n".join(rows))
    print("\n| quantization | graph built in s | memory of its own, GB | files in memory, GB | on the disk, GB |")
    print("|---|--:|--:|--:|--:|")
    print("\n".join(sizes))


async def _make_collection(server: QdrantServer, dimension: int) -> None:
    index = await asyncio.to_thread(
        ServerIndex, server.url, COLLECTION, dimension, api_key=None, timeout_s=CALL_S, layout=CollectionLayout()
    )
    await index.prepare()
    await index.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="a Qdrant binary")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True, help="a folder for embeddings")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--passages", type=int, default=50, help="of each document")
    parser.add_argument("--originals", type=int, default=3000, help="real chunks that all vectors are made of")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--quantization", nargs="+", default=["none", "int8", "binary"])
    with tempfile.TemporaryDirectory() as name:
        main(parser.parse_args(), Path(name))
