"""A shard of Qdrant Edge: the Rust engine on a folder, with its write-ahead log. Everything here blocks.

The binding holds the GIL while it works, for a tenth of a second to flush, for seconds to open 100,000 points or to
close them: hence a process of its own (`edge_process.py`). `optimize()` is never called: below 100,000 points a plain
scan takes milliseconds, and what it rewrites is still in the write-ahead log.

One process per folder.
"""

import pickle
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import qdrant_edge as edge

from shared.errors import DependencyUnavailable, IndexDamaged, IndexRejected, ServiceError
from shared.vector_index.edge_folder import MADE, REBUILD, get_deletion_mark
from shared.vector_index.payload import (
    DOCUMENT,
    EDITION,
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
    SparseVector,
    StoredVersion,
    order_hits,
    version_key,
)

COPY_POINTS = 64
RawPoint = tuple[str, list[float], SparseVector, dict[str, Any]]
"""A point as it is stored, to be written as it is into another shard: id, dense and sparse vector, payload."""

_PERMANENT = frozenset({"Vector dimension error", "Not existing vector name error", "Validation failed"})
"""How the engine's messages begin when it refuses a call as such."""
_INCOMPATIBLE = "config is incompatible"
_NO_DAMAGE = ("WouldBlock", "os error 12)", "os error 13)", "os error 24)", "os error 28)")
"""In messages of a folder that cannot be opened now: another process has it; memory, rights, files or space lack."""


class EdgeShard:
    """A shard that is open. Its methods are called by name from another process: what crosses can be pickled.

    Raises what `explain` makes of the engine's errors.

    Parameters:
        folder: is made where it is missing.
        dimension: length of the dense vectors; None: as in the folder, which must be there.
    """

    def __init__(self, folder: Path, dimension: int | None) -> None:
        self._deletion_mark = get_deletion_mark(folder)
        self._shard = _open(folder, dimension)

    def write(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Write points, over those with the same ids."""
        self._write(
            [(point.point_id, point.dense, point.sparse, dump_payload(tenant, point.payload)) for point in points]
        )

    def copy_out(self, after: str | None) -> tuple[bytes, str | None]:
        """Return some points for `copy_in`, in the order of their ids, and where to go on; None: these are the last."""
        points, next_id = self._shard.scroll(
            edge.ScrollRequest(offset=after, limit=COPY_POINTS, with_payload=True, with_vector=True)
        )
        # Pickled here: who passes them on has no use for them.
        return pickle.dumps([_read_point(point) for point in points]), None if next_id is None else str(next_id)

    def copy_in(self, points: bytes) -> None:
        """Write points of another shard."""
        self._write(pickle.loads(points))  # noqa: S301 - another shard wrote it

    def flush(self) -> None:
        """Return when what was written survives a power cut."""
        self._shard.flush()

    def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run the legs as one batch."""
        condition = _make_filter(tenant, query)
        sparse = edge.SparseVector(indices=query.sparse.indices, values=query.sparse.values)
        # How rare a word is says the tenant's own text: another's must not change the order, nor be told by it.
        own_words = edge.SearchParams(idf=edge.IdfParams(corpus=edge.Filter(must=[_match(TENANT, tenant)])))
        legs: list[tuple[edge.NamedVector, str, edge.SearchParams | None]] = [(sparse, BM25, own_words)]
        if query.dense is not None:
            legs.insert(0, (query.dense, DENSE, None))
        requests = [
            edge.QueryRequest(
                limit=query.limit,
                query=edge.Query.Nearest(vector, using=name),
                filter=condition,
                params=params,
                with_payload=True,
            )
            for vector, name, params in legs
        ]
        *dense, bm25 = self._shard.query_batch(edge.QueryBatchRequest(queries=requests))
        return LegHits(dense=_read_hits(dense[0]) if dense else [], bm25=_read_hits(bm25))

    def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        """Return the vectors of those of these names that points have."""
        found: dict[str, list[float]] = {}
        while wanted := [name for name in embedded if name not in found]:
            request = edge.ScrollRequest(
                limit=len(wanted),
                filter=edge.Filter(must=[_match(TENANT, tenant), _match_any(EMBEDDED, wanted)]),
                with_payload=[EMBEDDED],
                with_vector=[DENSE],
            )
            points, _ = self._shard.scroll(request)
            if not points:
                break
            # Many points may have the same name: what is left out now comes when these are no longer asked for.
            found |= {(point.payload or {})[EMBEDDED]: _read_dense(point) for point in points}
        return found

    def count(self, tenant: str, document_id: str | None) -> int:
        """Return how many points a tenant or one of its documents has."""
        return self._count(_make_document_filter(tenant, document_id))

    def delete_document(
        self, tenant: str, document_id: str, except_version: str | None, up_to_edition: int | None
    ) -> None:
        """Remove a document's points; only those of other versions, or of no later edition, where these are given."""
        self._delete(_make_document_filter(tenant, document_id, except_version, up_to_edition))

    def delete_version(self, tenant: str, document_id: str, version: str) -> None:
        """Remove the points of one version of a document."""
        self._delete(edge.Filter(must=[_match(TENANT, tenant), _match(VERSION_KEY, version_key(document_id, version))]))

    def list_versions(self, after: str | None, limit: int) -> tuple[set[StoredVersion], str | None]:
        """Return the versions of `limit` points in the order of their ids, and where to go on; None: that was all."""
        request = edge.ScrollRequest(offset=after, limit=limit, with_payload=VERSION_FIELDS)
        points, next_id = self._shard.scroll(request)
        return {load_version(point.payload or {}) for point in points}, None if next_id is None else str(next_id)

    def list_payload_indexes(self) -> set[str]:
        """Return the names of the payload's fields that are indexed."""
        return set(self._shard.info().payload_schema)

    def close(self) -> None:
        """Flush to disk and let go of the folder."""
        self._shard.close()

    def _write(self, points: Sequence[RawPoint]) -> None:
        batch = [
            edge.Point(
                id=point_id,
                vector={DENSE: dense, BM25: edge.SparseVector(indices=sparse.indices, values=sparse.values)},
                payload=payload,
            )
            for point_id, dense, sparse, payload in points
        ]
        self._shard.update(edge.UpdateOperation.upsert_points(batch))

    def _count(self, condition: edge.Filter) -> int:
        return self._shard.count(edge.CountRequest(filter=condition, exact=True))

    def _delete(self, condition: edge.Filter) -> None:
        if self._count(condition):
            self._deletion_mark.touch()  # first: whoever is killed in between compacts once in vain
            self._shard.update(edge.UpdateOperation.delete_points_by_filter(condition))


def explain(error: Exception) -> ServiceError:
    """Return our error for one of the binding's, which are bare exceptions, told apart by how their message begins."""
    if isinstance(error, ServiceError):
        return error
    kind = str(error).partition(":")[0]
    if kind in _PERMANENT:
        return IndexRejected(f"The vector index refuses the call ({kind}).")
    return DependencyUnavailable("The vector index failed; try again.", retry_after=5)


def _open(folder: Path, dimension: int | None) -> edge.EdgeShard:
    if dimension is None:
        return _load(folder, dimension, None)
    config = edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )
    if any((folder / name).exists() for name in MADE):
        shard = _load(folder, dimension, config)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        shard = edge.EdgeShard.create(str(folder), config)
    # Also where the folder was there: whoever made it may have been killed before this. What is there stays.
    tenant_index = edge.KeywordIndexParams(is_tenant=True)
    shard.update(edge.UpdateOperation.create_field_index(TENANT, tenant_index))
    for field in KEYWORD_FIELDS:
        shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))
    shard.update(edge.UpdateOperation.create_field_index(EMBEDDED, edge.PayloadSchemaType.Uuid))
    return shard


def _load(folder: Path, dimension: int | None, config: edge.EdgeConfig | None) -> edge.EdgeShard:
    try:
        return edge.EdgeShard.load(str(folder), config)
    except BaseException as error:  # a panic of the engine is no Exception
        message = str(error)
        if any(fault in message for fault in _NO_DAMAGE):
            raise
        if _INCOMPATIBLE in message:
            raise IndexRejected(
                f"The vectors in {folder.parent} do not have {dimension} numbers: they are of another embedding model."
                f" Set PAGEWIRE_EMBEDDING_MODEL to that model. Or {REBUILD}"
            ) from error
        raise IndexDamaged(f"The index in {folder.parent} is damaged and cannot be opened: {REBUILD}") from error


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


def _make_document_filter(
    tenant: str, document_id: str | None, except_version: str | None = None, up_to_edition: int | None = None
) -> edge.Filter:
    must: list[edge.ConditionType] = [_match(TENANT, tenant)]
    must_not: list[edge.ConditionType] = []
    if document_id is not None:
        must.append(_match(DOCUMENT, document_id))
        if except_version is not None:
            must_not.append(_match(VERSION_KEY, version_key(document_id, except_version)))
        if up_to_edition is not None:
            # So that points without an edition, which are older, are among them.
            must_not.append(edge.FieldCondition(key=EDITION, range=edge.RangeFloat(gt=up_to_edition)))
    return edge.Filter(must=must, must_not=must_not)


def _read_point(point: edge.Record) -> RawPoint:
    vectors: Any = point.vector
    sparse = vectors[BM25]
    return str(point.id), _read_dense(point), SparseVector(sparse.indices, sparse.values), point.payload or {}


def _read_dense(point: edge.Record) -> list[float]:
    vectors = point.vector
    assert isinstance(vectors, dict)  # noqa: S101 - all of ours have names
    return cast("list[float]", vectors[DENSE])


def _read_hits(points: Sequence[edge.ScoredPoint]) -> list[Hit]:
    hits = [Hit(str(point.id), float(point.score), load_payload(point.payload or {})) for point in points]
    return order_hits(hits)
