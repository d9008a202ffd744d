"""VectorIndex on Qdrant Edge: the Rust engine inside this process, with its write-ahead log on disk.

One process per folder. The binding holds the GIL while it works, so calls are kept short (64 points a batch) and run
in one thread of their own. `optimize()` is never called: it blocks every Python thread, and below 100,000 points a
plain scan takes milliseconds.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import qdrant_edge as edge

from shared.disk import check_free_space
from shared.errors import DependencyUnavailable, IndexRejected, ServiceError
from shared.vector_index.payload import (
    DOCUMENT,
    EMBEDDED,
    KEYWORD_FIELDS,
    TENANT,
    VERSION_FIELDS,
    VERSION_KEY,
    dump_payload,
    load_payload,
    load_version,
)
from shared.vector_index.port import (
    BM25,
    DENSE,
    Hit,
    IndexPoint,
    IndexQuery,
    LegHits,
    StoredVersion,
    order_hits,
    version_key,
)

T = TypeVar("T")

BATCH_POINTS = 64
SCROLL_POINTS = 256
_PERMANENT = frozenset({"Vector dimension error", "Not existing vector name error", "Validation failed"})
"""How the engine's messages begin when it refuses a call as such."""
_INCOMPATIBLE = "config is incompatible"


class EdgeIndex:
    """A VectorIndex in a folder. `prepare` raises DependencyUnavailable when another process has the folder.

    Parameters:
        dimension: length of the dense vectors; None: as in the folder, which must be there.
        min_free_bytes: points are written only while that much of the disk is free. The engine maps its files into
            memory; on a full disk the kernel would end the whole process.
    """

    def __init__(self, folder: Path, dimension: int | None, *, min_free_bytes: int = 0) -> None:
        self._min_free_bytes = min_free_bytes
        self._folder = folder
        self._dimension = dimension
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qdrant-edge")
        self._shard: edge.EdgeShard | None = None

    async def prepare(self) -> None:
        """Open the folder, or make it."""
        await self._run(self._open)

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Write points in small batches, so that searches get their turn between them. Raises DiskFull."""
        for first in range(0, len(points), BATCH_POINTS):
            batch = [
                edge.Point(
                    id=point.point_id,
                    vector={
                        DENSE: point.dense,
                        BM25: edge.SparseVector(indices=point.sparse.indices, values=point.sparse.values),
                    },
                    payload=dump_payload(tenant, point.payload),
                )
                for point in points[first : first + BATCH_POINTS]
            ]
            await self._run(lambda: check_free_space(self._folder, self._min_free_bytes))
            await self._update(edge.UpdateOperation.upsert_points(batch))
        await self._run(lambda: self._get_shard().flush())

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run both legs as one batch."""
        condition = _make_filter(tenant, query)
        sparse = edge.SparseVector(indices=query.sparse.indices, values=query.sparse.values)
        legs: list[tuple[edge.NamedVector, str]] = [(query.dense, DENSE), (sparse, BM25)]
        requests = [
            edge.QueryRequest(
                limit=query.limit,
                query=edge.Query.Nearest(vector, using=name),
                filter=condition,
                with_payload=True,
            )
            for vector, name in legs
        ]
        dense, bm25 = await self._run(lambda: self._get_shard().query_batch(edge.QueryBatchRequest(queries=requests)))
        return LegHits(dense=_read_hits(dense), bm25=_read_hits(bm25))

    async def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        """Return the vectors of those of these names that points have; a short call for each that brings new ones."""
        found: dict[str, list[float]] = {}
        while wanted := [name for name in embedded if name not in found]:
            request = edge.ScrollRequest(
                limit=len(wanted),
                filter=edge.Filter(must=[_match(TENANT, tenant), _match_any(EMBEDDED, wanted)]),
                with_payload=[EMBEDDED],
                with_vector=[DENSE],
            )
            points, _ = await self._scroll(request)
            if not points:
                break
            # Many points may have the same name: what is left out now comes when these are no longer asked for.
            found |= {(point.payload or {})[EMBEDDED]: _read_dense(point) for point in points}
        return found

    async def count(self, tenant: str, document_id: str | None = None) -> int:
        """Return how many points a tenant or one of its documents has."""
        condition = _make_document_filter(tenant, document_id)
        return await self._run(lambda: self._get_shard().count(edge.CountRequest(filter=condition, exact=True)))

    async def delete_document(self, tenant: str, document_id: str, *, except_version: str | None = None) -> None:
        """Remove a document's points; with `except_version` only those of other versions."""
        condition = _make_document_filter(tenant, document_id, except_version)
        await self._update(edge.UpdateOperation.delete_points_by_filter(condition))

    async def delete_version(self, tenant: str, document_id: str, version: str) -> None:
        """Remove the points of one version of a document."""
        condition = edge.Filter(must=[_match(TENANT, tenant), _match(VERSION_KEY, version_key(document_id, version))])
        await self._update(edge.UpdateOperation.delete_points_by_filter(condition))

    async def list_versions(self) -> AsyncGenerator[Collection[StoredVersion], None]:
        """Yield which versions of which documents have points, a short call at a time."""
        offset: str | None = None
        while True:
            request = edge.ScrollRequest(offset=offset, limit=SCROLL_POINTS, with_payload=VERSION_FIELDS)
            points, offset = await self._scroll(request)
            yield {load_version(point.payload or {}) for point in points}
            if offset is None:
                return

    async def _scroll(self, request: edge.ScrollRequest) -> tuple[list[edge.Record], Any]:
        return await self._run(lambda: self._get_shard().scroll(request))

    async def check(self) -> None:
        """Raise DependencyUnavailable when the folder is not open."""
        self._get_shard()

    async def close(self) -> None:
        """Flush to disk and let go of the folder."""
        if self._shard is not None:
            await self._run(self._shard.close)
            self._shard = None
        await asyncio.to_thread(self._thread.shutdown)

    def _open(self) -> None:
        if self._dimension is None:
            self._shard = edge.EdgeShard.load(str(self._folder))
            return
        config = edge.EdgeConfig(
            vectors={DENSE: edge.EdgeVectorParams(size=self._dimension, distance=edge.Distance.Cosine)},
            sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        )
        if (self._folder / "edge_config.json").exists() or (self._folder / "segments").exists():
            self._shard = self._load(config)
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._shard = edge.EdgeShard.create(str(self._folder), config)
        # Also where the folder was there: whoever made it may have been killed before this. What is there stays.
        tenant_index = edge.KeywordIndexParams(is_tenant=True)
        self._shard.update(edge.UpdateOperation.create_field_index(TENANT, tenant_index))
        for field in KEYWORD_FIELDS:
            self._shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))
        self._shard.update(edge.UpdateOperation.create_field_index(EMBEDDED, edge.PayloadSchemaType.Uuid))

    def _load(self, config: edge.EdgeConfig) -> edge.EdgeShard:
        try:
            return edge.EdgeShard.load(str(self._folder), config)
        except Exception as error:
            if _INCOMPATIBLE not in str(error):
                raise
            raise IndexRejected(
                f"The vectors in {self._folder} do not have {self._dimension} numbers: they are of another embedding"
                " model. Set PAGEWIRE_EMBEDDING_MODEL to that model, or move the data folder away and add the documents"
                " again."
            ) from error

    def _get_shard(self) -> edge.EdgeShard:
        if self._shard is None:
            raise DependencyUnavailable("The vector index is not open; try again in a few seconds.", retry_after=5)
        return self._shard

    async def _update(self, operation: edge.UpdateOperation) -> None:
        await self._run(lambda: self._get_shard().update(operation))

    async def _run(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, call)
        except ServiceError:
            raise
        except Exception as error:  # the binding raises bare exceptions, told apart by how their message begins
            kind = str(error).partition(":")[0]
            if kind in _PERMANENT:
                raise IndexRejected(f"The vector index refuses the call ({kind}).") from error
            raise DependencyUnavailable("The vector index failed; try again.", retry_after=5) from error


def _match(field: str, value: str) -> edge.FieldCondition:
    return edge.FieldCondition(key=field, match=edge.MatchValue(value=value))


def _match_any(field: str, values: Collection[str]) -> edge.FieldCondition:
    return edge.FieldCondition(key=field, match=edge.MatchAny(any=list(values)))


def _make_filter(tenant: str, query: IndexQuery) -> edge.Filter:
    must: list[edge.ConditionType] = [_match(TENANT, tenant)]
    if query.document_ids is not None:
        must.append(_match_any(DOCUMENT, query.document_ids))
    must_not: list[edge.ConditionType] = []
    if query.excluded_versions:
        must_not.append(_match_any(VERSION_KEY, [version_key(*pair) for pair in query.excluded_versions]))
    if query.excluded_documents:
        must_not.append(_match_any(DOCUMENT, query.excluded_documents))
    return edge.Filter(must=must, must_not=must_not)


def _make_document_filter(tenant: str, document_id: str | None, except_version: str | None = None) -> edge.Filter:
    must: list[edge.ConditionType] = [_match(TENANT, tenant)]
    must_not: list[edge.ConditionType] = []
    if document_id is not None:
        must.append(_match(DOCUMENT, document_id))
        if except_version is not None:
            must_not.append(_match(VERSION_KEY, version_key(document_id, except_version)))
    return edge.Filter(must=must, must_not=must_not)


def _read_dense(point: edge.Record) -> list[float]:
    vectors = point.vector
    assert isinstance(vectors, dict)  # noqa: S101 - all of ours have names
    return cast("list[float]", vectors[DENSE])


def _read_hits(points: Sequence[edge.ScoredPoint]) -> list[Hit]:
    hits = [Hit(str(point.id), float(point.score), load_payload(point.payload or {})) for point in points]
    return order_hits(hits)
