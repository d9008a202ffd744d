"""VectorIndex on a Qdrant server or cluster, by its async client."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TypeVar, cast

import httpx
import structlog
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from shared.errors import DependencyUnavailable, DiskFull, IndexRejected, ServiceError
from shared.settings import IndexSettings
from shared.vector_index.collection_layout import CollectionLayout, read_layout
from shared.vector_index.parts import parse_length
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
    IndexUpkeep,
    LegHits,
    StoredVersion,
    order_hits,
    version_key,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH_POINTS = 64
SCROLL_POINTS = 1000
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=2.0)
"""Kept open for seconds, fewer than the five after which the server closes them: a search that goes out at that moment
would fail. By itself the client keeps none to a server on this machine, and for as long as the server to others."""
IDF_BY_TENANT_SINCE = (1, 19)
"""The first version of the server that counts in how many of a tenant's own texts a word is. Older ones count those of
all tenants: rankings of one depend, a little, on the texts of others."""
_PERMANENT = frozenset({400, 413, 422})
"""Statuses of calls that are wrong as such. 401, 403 and 404 are not among them: a key that was changed or a collection
that was lost is everybody's trouble and will be mended; no document should fail for it."""
_PAYLOAD_INDEXES: Mapping[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
    TENANT: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    **dict.fromkeys(KEYWORD_FIELDS, models.PayloadSchemaType.KEYWORD),
    EMBEDDED: models.PayloadSchemaType.UUID,
}
_NO_SPACE = b"No space left on device"
"""What a server whose disk is full says, with the status 500, when it is to write. It goes on answering searches."""
_FAULTS = (ApiException, QdrantException, httpx.HTTPError, OSError)
"""No answer, none in time (which is an OSError), or one that the client finds wrong."""
_OTHER_ANSWERS = (JSONDecodeError, UnicodeDecodeError, RecursionError, AssertionError)
"""What the client raises where something else answers under the address. It asserts that there is a result."""


class ServerIndex:
    """A VectorIndex in one collection that all tenants share.

    Parameters:
        url: of the server, e.g. http://qdrant:6333.
        dimension: length of the dense vectors.
        timeout_s: limit of each call as a whole, in seconds, however its answer comes in.
        layout: what the collection is made with, and how it is searched.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        dimension: int,
        *,
        api_key: str | None,
        timeout_s: int,
        layout: CollectionLayout = CollectionLayout(),  # noqa: B008 - it is frozen
    ) -> None:
        self._collection = collection
        self.dimension = dimension
        self._layout = layout
        self._timeout_s = timeout_s
        self._counts_by_tenant = False
        # The version check would open a connection while settings are still being wired.
        self._client = AsyncQdrantClient(
            url=url,
            api_key=api_key,
            timeout=timeout_s,
            check_compatibility=False,
            limits=_CONNECTIONS,
            # Sealed texts hardly become smaller, and to unpack them took half a millisecond of each search.
            headers={"Accept-Encoding": "identity"},
        )

    async def prepare(self) -> None:
        """Make the collection and its payload indexes where they are missing; several services may do so at once."""
        version = (await self._call(self._client.info())).version
        self._counts_by_tenant = _is_since(version, IDF_BY_TENANT_SINCE)
        log.info("qdrant_found", version=version, idf="tenant" if self._counts_by_tenant else "collection")
        if not await self._call(self._client.collection_exists(self._collection)):
            await self._create_collection()
        found = await self._call(self._client.get_collection(self._collection))
        config = found.config
        self._check_vectors(config.params)
        if differences := self._layout.find_differences(config):
            # Searches work all the same; docs/operations.md says how each is changed.
            log.warning("collection_differs", collection=self._collection, found=differences)
        # Also where the collection was there: whoever made it may have been killed before this. What is there is not
        # asked for again: that is a write, which a server whose disk is full refuses, and searches need none.
        for field, schema in _PAYLOAD_INDEXES.items():
            if field not in found.payload_schema:
                await self._call(
                    self._client.create_payload_index(self._collection, field, field_schema=schema, wait=True)
                )

    async def find_parts(self) -> dict[str, int]:
        """Return the length of the vectors of this collection and of those beside it for other lengths, by name.

        Raises IndexRejected where one of them is not ours.
        """
        listed = (await self._call(self._client.get_collections())).collections
        names = [one.name for one in listed if parse_length(self._collection, one.name) is not None]
        if await self._call(self._client.collection_exists(self._collection)):
            names.append(self._collection)
        lengths = {}
        for name in names:
            config = (await self._call(self._client.get_collection(name))).config
            length = _read_length(config.params)
            if length is None:
                raise IndexRejected(
                    f"The collection {name!r} is not one of ours. Set PAGEWIRE_COLLECTION to a new name."
                )
            lengths[name] = length
        return lengths

    def _check_vectors(self, parameters: models.CollectionParams) -> None:
        if _read_length(parameters) != self.dimension:
            raise IndexRejected(
                f"The collection {self._collection!r} is not one for vectors of {self.dimension} numbers: it was made"
                " for another embedding model. Set PAGEWIRE_COLLECTION to a new name, or PAGEWIRE_EMBEDDING_MODEL to"
                " that model."
            )

    async def _create_collection(self) -> None:
        layout = self._layout
        dense = models.VectorParams(
            size=self.dimension, distance=models.Distance.COSINE, on_disk=layout.vectors_on_disk
        )
        sparse = models.SparseVectorParams(modifier=models.Modifier.IDF)
        try:
            await self._call(
                self._client.create_collection(
                    self._collection,
                    vectors_config={DENSE: dense},
                    sparse_vectors_config={BM25: sparse},
                    on_disk_payload=layout.on_disk_payload,
                    quantization_config=layout.make_quantization(),
                    shard_number=layout.shards,
                    replication_factor=layout.replicas,
                    write_consistency_factor=layout.write_consistency,
                )
            )
        except ServiceError:
            # Somebody else made it between our question and our call; anything else is a fault.
            if not await self._call(self._client.collection_exists(self._collection)):
                raise

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Writes points and waits until they are in the server's write-ahead log and visible."""
        for first in range(0, len(points), BATCH_POINTS):
            batch = [
                models.PointStruct(
                    id=point.point_id,
                    vector={
                        DENSE: point.dense,
                        BM25: models.SparseVector(indices=point.sparse.indices, values=point.sparse.values),
                    },
                    payload=dump_payload(tenant, point.payload),
                )
                for point in points[first : first + BATCH_POINTS]
            ]
            await self._call(self._client.upsert(self._collection, batch, wait=True))

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run the legs in one request."""
        condition = _make_filter(tenant, query)
        sparse = models.SparseVector(indices=query.sparse.indices, values=query.sparse.values)
        legs: list[tuple[list[float] | models.SparseVector, str, models.SearchParams | None]] = [
            (sparse, BM25, self._make_bm25_params(tenant))
        ]
        if query.dense is not None:
            legs.insert(0, (query.dense, DENSE, self._layout.make_search_params()))
        requests = [
            models.QueryRequest(
                query=models.NearestQuery(nearest=vector),
                using=name,
                filter=condition,
                params=params,
                limit=query.limit,
                with_payload=True,
            )
            for vector, name, params in legs
        ]
        # The generated call, because the client's own one copies every vector and filter, number by number.
        batch = models.QueryRequestBatch(searches=requests)
        call = self._client.http.search_api.query_batch_points(self._collection, query_request_batch=batch)
        found = (await self._call(call)).result
        with _reading_answer():
            hits = {leg[1]: _read_hits(batch.points) for leg, batch in zip(legs, found or [], strict=True)}
        return LegHits(dense=hits.get(DENSE, []), bm25=hits[BM25])

    def _make_bm25_params(self, tenant: str) -> models.SearchParams | None:
        if not self._counts_by_tenant:
            return None
        own = models.Filter(must=[_match(TENANT, tenant)])
        return models.SearchParams(idf=models.IdfCorpusParams(corpus=own))

    async def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        """Return the vectors of those of these names that points have; a request for each time that brings new ones."""
        found: dict[str, list[float]] = {}
        while wanted := [name for name in embedded if name not in found]:
            points, _ = await self._call(
                self._client.scroll(
                    self._collection,
                    scroll_filter=models.Filter(must=[_match(TENANT, tenant), _match_any(EMBEDDED, wanted)]),
                    limit=len(wanted),
                    with_payload=[EMBEDDED],
                    with_vectors=[DENSE],
                )
            )
            with _reading_answer():
                read = {(point.payload or {})[EMBEDDED]: _read_dense(point) for point in points}
            if read.keys().isdisjoint(wanted):
                break
            # Many points may have the same name: what is left out now comes when these are no longer asked for.
            found |= read
        return found

    async def count(self, tenant: str, document_id: str | None = None) -> int:
        """Return how many points a tenant or one of its documents has."""
        condition = _make_document_filter(tenant, document_id)
        result = await self._call(self._client.count(self._collection, count_filter=condition, exact=True))
        return result.count

    async def delete_document(
        self, tenant: str, document_id: str, *, except_version: str | None = None, up_to_edition: int | None = None
    ) -> None:
        """Remove a document's points; only those of other versions, or of no later edition, where these are given."""
        condition = _make_document_filter(tenant, document_id, except_version, up_to_edition)
        selector = models.FilterSelector(filter=condition)
        await self._call(self._client.delete(self._collection, selector, wait=True))

    async def delete_version(self, tenant: str, document_id: str, version: str) -> None:
        """Remove the points of one version of a document."""
        condition = models.Filter(must=[_match(TENANT, tenant), _match(VERSION_KEY, version_key(document_id, version))])
        selector = models.FilterSelector(filter=condition)
        await self._call(self._client.delete(self._collection, selector, wait=True))

    async def list_versions(self) -> AsyncGenerator[Collection[StoredVersion], None]:
        """Yield which versions of which documents have points, a page of the collection at a time."""
        offset = None
        while True:
            points, offset = await self._call(
                self._client.scroll(
                    self._collection,
                    offset=offset,
                    limit=SCROLL_POINTS,
                    with_payload=VERSION_FIELDS,
                    with_vectors=False,
                )
            )
            yield {load_version(point.payload or {}) for point in points}
            if offset is None:
                return

    async def compact(self) -> bool:
        """Return False: the server drops what was deleted by itself, as its own settings say."""
        return False

    async def find_left_parts(self) -> Sequence[IndexUpkeep]:
        """Return nothing: this is one part."""
        return ()

    async def check(self) -> None:
        """Raise DependencyUnavailable when the server does not answer or has no collection yet."""
        if not await self._call(self._client.collection_exists(self._collection)):
            raise _make_unavailable()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def remove(self) -> None:
        """Remove the collection."""
        await self._call(self._client.delete_collection(self._collection))

    async def is_gone(self) -> bool:
        """Return whether there is no such collection."""
        return not await self._call(self._client.collection_exists(self._collection))

    async def _call(self, awaitable: Awaitable[T]) -> T:
        try:
            # The client's own limit is for the time between two pieces of an answer.
            async with asyncio.timeout(self._timeout_s):
                return await awaitable
        except UnexpectedResponse as error:
            if error.status_code in _PERMANENT:
                raise IndexRejected(f"The vector index refuses the call (status {error.status_code}).") from error
            if _NO_SPACE in error.content:
                raise DiskFull("The disk of the vector index is full. Free some space there.") from error
            raise _make_unavailable() from error
        except (*_FAULTS, *_OTHER_ANSWERS) as error:
            raise _make_unavailable() from error


async def connect_server_index(settings: IndexSettings, dimension: int) -> ServerIndex:
    """Return the index in the collection of the settings, made. Raises ValueError when no server is configured."""
    index = await make_server_index(settings, dimension)
    await index.prepare()
    return index


async def make_server_index(settings: IndexSettings, dimension: int) -> ServerIndex:
    """Return the index in the collection of the settings, as it is. Raises as `connect_server_index` does."""
    if settings.qdrant_url is None:
        raise ValueError("PAGEWIRE_QDRANT_URL is not set: without it only the standalone system can run.")
    # In a thread: the client reads its own version from disk.
    return await asyncio.to_thread(
        ServerIndex,
        settings.qdrant_url,
        settings.collection,
        dimension,
        api_key=settings.qdrant_api_key,
        timeout_s=settings.qdrant_timeout_s,
        layout=read_layout(settings),
    )


def _read_length(parameters: models.CollectionParams) -> int | None:
    """Return the length of the vectors of a collection of ours; None of any other one."""
    dense = parameters.vectors.get(DENSE) if isinstance(parameters.vectors, dict) else None
    return None if dense is None or BM25 not in (parameters.sparse_vectors or {}) else dense.size


def _is_since(version: str, since: tuple[int, int]) -> bool:
    """Whether a version is this one or later; what cannot be read is none."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= since


def _make_unavailable() -> DependencyUnavailable:
    return DependencyUnavailable("The vector index does not answer now; try again.", retry_after=5)


@contextmanager
def _reading_answer() -> Iterator[None]:
    """Raise DependencyUnavailable where an answer lacks what was asked for: something else than Qdrant gave it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _make_unavailable() from error


def _match(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _match_any(field: str, values: Collection[str]) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))


def _make_filter(tenant: str, query: IndexQuery) -> models.Filter:
    must: list[models.Condition] = [_match(TENANT, tenant)]
    if query.document_ids is not None:
        must.append(_match_any(DOCUMENT, query.document_ids))
    must_not: list[models.Condition] = []
    if query.excluded_versions:
        must_not.append(_match_any(VERSION_KEY, [version_key(*pair) for pair in query.excluded_versions]))
    if query.excluded_documents:
        must_not.append(_match_any(DOCUMENT, query.excluded_documents))
    return models.Filter(must=must, must_not=must_not)


def _make_document_filter(
    tenant: str, document_id: str | None, except_version: str | None = None, up_to_edition: int | None = None
) -> models.Filter:
    must: list[models.Condition] = [_match(TENANT, tenant)]
    must_not: list[models.Condition] = []
    if document_id is not None:
        must.append(_match(DOCUMENT, document_id))
        if except_version is not None:
            must_not.append(_match(VERSION_KEY, version_key(document_id, except_version)))
        if up_to_edition is not None:
            # So that points without an edition, which are older, are among them.
            must_not.append(models.FieldCondition(key=EDITION, range=models.Range(gt=up_to_edition)))
    return models.Filter(must=must, must_not=must_not)


def _read_dense(point: models.Record) -> list[float]:
    vectors = point.vector
    if not isinstance(vectors, dict):
        raise TypeError("all vectors of ours have names")
    return cast("list[float]", vectors[DENSE])


def _read_hits(points: Sequence[models.ScoredPoint]) -> list[Hit]:
    hits = [Hit(str(point.id), float(point.score), load_payload(point.payload or {})) for point in points]
    return order_hits(hits)
