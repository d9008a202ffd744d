"""The port of the vector index: what both engines do, and the values that cross it.

Every call names a tenant, and each engine applies it inside its query: there is no way to search without one.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

DENSE = "dense"
BM25 = "bm25"


@dataclass(frozen=True)
class SparseVector:
    """Term ids with their weights; both lists have the same length."""

    indices: list[int]
    values: list[float]


@dataclass(frozen=True)
class ChunkPayload:
    """What a point knows besides its vectors. `start` and `end` are characters of the page's text.

    Attributes:
        edition: which making of the document it is of; 0 in old points.
        table_head: the heads of the columns of a table of which the text is a later part, one line; else empty.
        embedded: names the text that was embedded and the model, see `make_embedded_id`; None in old points.
        ocr_confidence: some of `text` was recognized in pictures (OCR), and how surely, 0 to 1; None: none of it was.
        sealed: title, text and table head, which are empty then, for who has the version's key: see `sealing.py`.
    """

    document_id: str
    version: str
    chunk_id: int
    title: str
    page: int
    start: int
    end: int
    text: str
    table_head: str = ""
    embedded: str | None = None
    ocr_confidence: float | None = None
    edition: int = 0
    sealed: str = ""


@dataclass(frozen=True)
class IndexPoint:
    """A chunk ready for the index: id (a UUID), payload, unit-length dense vector and BM25 term weights."""

    point_id: str
    payload: ChunkPayload
    dense: list[float]
    sparse: SparseVector


@dataclass(frozen=True)
class Hit:
    """A point that one leg of a search found, with that leg's score."""

    point_id: str
    score: float
    payload: ChunkPayload


@dataclass(frozen=True)
class IndexQuery:
    """One search: both legs see the same filter.

    Attributes:
        dense: None: only the leg of words is run.
        limit: hits per leg.
        document_ids: search only these; None: all of the tenant's.
        excluded_versions: versions of documents, as (document_id, version), that must not appear.
        excluded_documents: documents of which no version may appear.
        of_length: only what has vectors as long as `dense` is searched, wherever that is; there may be nothing.
    """

    dense: list[float] | None
    sparse: SparseVector
    limit: int
    document_ids: Sequence[str] | None = None
    excluded_versions: Collection[tuple[str, str]] = ()
    excluded_documents: Collection[str] = ()
    of_length: bool = False


@dataclass(frozen=True)
class LegHits:
    """The hits of each leg, best first; equal scores in the order of their point ids."""

    dense: list[Hit]
    bm25: list[Hit]


@dataclass(frozen=True)
class StoredVersion:
    """A version of a document that has points."""

    tenant: str
    document_id: str
    version: str


class IndexUpkeep(Protocol):
    """Looks at the points of all tenants, to find what no record names. Whatever serves people names a tenant.

    Raises as VectorIndex does.
    """

    def list_versions(self) -> AsyncGenerator[Collection[StoredVersion], None]:
        """Yield which versions of which documents have points, some at a time, and some repeatedly."""
        ...

    async def delete_version(self, tenant: str, document_id: str, version: str) -> None:
        """Remove the points of one version of a document."""
        ...


class VectorIndex(Protocol):
    """Stores points and finds them by meaning and by words.

    Raises DependencyUnavailable when it cannot now, DiskFull when it cannot write for want of space, and IndexRejected
    when it will never do what was asked.
    """

    async def prepare(self) -> None:
        """Make the collection and its payload indexes where they are missing.

        Raises IndexRejected when there is one whose vectors have another length.
        """
        ...

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Write points, over those with the same ids; when the call returns they survive a crash."""
        ...

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run both legs."""
        ...

    async def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        """Return the dense vectors of those of these names that points of the tenant have, of whatever document."""
        ...

    async def count(self, tenant: str, document_id: str | None = None) -> int:
        """Return how many points a tenant or one of its documents has."""
        ...

    async def delete_document(
        self, tenant: str, document_id: str, *, except_version: str | None = None, up_to_edition: int | None = None
    ) -> None:
        """Remove a document's points; only those of other versions, or of no later edition, where these are given."""
        ...

    async def compact(self) -> bool:
        """Have the engine drop what was deleted from what it has on the disk; return whether there was something.

        Searches and writes go on meanwhile. Raises DiskFull.
        """
        ...

    async def find_left_parts(self) -> Sequence[IndexUpkeep]:
        """Return the parts that models of before have left; `compact` removes those that have no points any more."""
        ...

    async def check(self) -> None:
        """Raise DependencyUnavailable when the engine does not answer."""
        ...

    async def close(self) -> None:
        """Release the engine."""
        ...


def version_key(document_id: str, version: str) -> str:
    """Return one keyword per version of a document, so that a single condition can exclude any number of them."""
    return f"{document_id}@{version}"


TIE = 5e-6
"""Relative. The engines sum float32 in different orders and differ by up to 5e-7 of a score."""


def order_hits(hits: Sequence[Hit]) -> list[Hit]:
    """Sort best first; hits whose scores differ by no more than engines differ stand in the order of their ids."""
    by_id = {hit.point_id: hit for hit in hits}
    return [by_id[point_id] for point_id in order_scored({hit.point_id: hit.score for hit in hits}, TIE)]


def order_scored(scores: Mapping[str, float], tie: float) -> list[str]:
    """Return the ids, best first; those whose scores differ by no more than `tie`, relative, by their ids."""
    ordered: list[str] = []
    group: list[str] = []
    last = 0.0
    for point_id, score in sorted(scores.items(), key=lambda item: -item[1]):
        if group and last - score > tie * max(1.0, abs(score)):
            ordered += sorted(group)
            group = []
        group.append(point_id)
        last = score
    return ordered + sorted(group)
