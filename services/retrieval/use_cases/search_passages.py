"""Answers a search: embed the question, run both legs, drop what is not published, fuse, rerank."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.retrieval.domain.fusion import Candidate, FusionWeights, fuse_hits
from services.retrieval.ports import QueryEmbedder, Reranker
from shared.contracts.search import Passage, SearchRequest, SearchResponse, SearchTimings, StageScores
from shared.embedding.sparse import Bm25Encoder
from shared.registry.registry import DocumentRegistry
from shared.vector_index.port import Hit, IndexQuery, LegHits, VectorIndex

MAX_SEARCHES = 4
"""How often a search is repeated because unpublished points took places; each time they are excluded by name."""


@dataclass(frozen=True)
class SearchOptions:
    """How many hits each leg gives (`candidates`) and how many of the fused ones are reranked."""

    candidates: int
    rerank_count: int
    fusion: FusionWeights


@dataclass(frozen=True)
class SearchDependencies:
    """What a search works with."""

    embedder: QueryEmbedder
    bm25: Bm25Encoder
    index: VectorIndex
    registry: DocumentRegistry
    reranker: Reranker
    options: SearchOptions


async def search_passages(request: SearchRequest, deps: SearchDependencies) -> SearchResponse:
    """The best passages, best first. Raises DependencyUnavailable when the index or the registry does not answer."""
    started = time.perf_counter()
    dense = (await deps.embedder.embed_query(request.query)).tolist()
    sparse = deps.bm25.encode_query(request.query)
    embedded = time.perf_counter()
    limit = max(deps.options.candidates, request.top_k)
    query = IndexQuery(dense, sparse, limit, request.filter.document_ids)
    legs = await _search_published(request.tenant, query, deps)
    candidates = fuse_hits(legs, deps.options.fusion)
    searched = time.perf_counter()
    reranker = deps.reranker.state
    rerank_ms: float | None = None
    if reranker.status == "on":
        passages = await _rerank(request, candidates, deps)
        rerank_ms = _milliseconds(searched, time.perf_counter())
    else:
        passages = [_make_passage(candidate, None) for candidate in candidates]
    timings = SearchTimings(
        embed=_milliseconds(started, embedded),
        search=_milliseconds(embedded, searched),
        rerank=rerank_ms,
        total=_milliseconds(started, time.perf_counter()),
    )
    return SearchResponse(passages=passages[: request.top_k], timings_ms=timings, reranker=reranker)


async def _search_published(tenant: str, query: IndexQuery, deps: SearchDependencies) -> LegHits:
    """Hits of published versions only.

    The registry decides, in the moment of the search: a document that was deleted a millisecond ago is gone, and of
    two versions of one exactly one is seen. Their points go later; until then they are excluded by name and the
    search is repeated, so that they cannot crowd out others. What was excluded before is judged anew each time: it may
    have been published meanwhile, and its predecessor be the one that is stale now.
    """
    excluded: set[tuple[str, str]] = set()
    for _ in range(MAX_SEARCHES):
        legs = await deps.index.search(tenant, query)
        known = excluded | {(hit.payload.document_id, hit.payload.version) for hit in [*legs.dense, *legs.bm25]}
        active = await deps.registry.get_active_versions(tenant, sorted({document_id for document_id, _ in known}))
        stale = {pair for pair in known if active.get(pair[0]) != pair[1]}
        if stale == excluded:
            return legs
        excluded = stale
        query = IndexQuery(query.dense, query.sparse, query.limit, query.document_ids, sorted(excluded))
    return LegHits(dense=_drop(legs.dense, excluded), bm25=_drop(legs.bm25, excluded))


def _drop(hits: Sequence[Hit], excluded: set[tuple[str, str]]) -> list[Hit]:
    return [hit for hit in hits if (hit.payload.document_id, hit.payload.version) not in excluded]


async def _rerank(request: SearchRequest, candidates: Sequence[Candidate], deps: SearchDependencies) -> list[Passage]:
    """The first candidates in the cross-encoder's order, then the rest as they were."""
    count = max(deps.options.rerank_count, request.top_k)
    head, tail = candidates[:count], candidates[count:]
    scores = await deps.reranker.score(request.query, [candidate.payload.text for candidate in head])
    pairs = sorted(zip(head, scores, strict=True), key=lambda pair: (-pair[1], -pair[0].fused, pair[0].point_id))
    return [*(_make_passage(*pair) for pair in pairs), *(_make_passage(candidate, None) for candidate in tail)]


def _make_passage(candidate: Candidate, rerank: float | None) -> Passage:
    payload = candidate.payload
    scores = StageScores(dense=candidate.dense, bm25=candidate.bm25, fused=candidate.fused, rerank=rerank)
    return Passage(
        document_id=payload.document_id,
        chunk_id=payload.chunk_id,
        title=payload.title,
        page=payload.page,
        start=payload.start,
        end=payload.end,
        text=payload.text,
        score=candidate.fused if rerank is None else rerank,
        scores=scores,
    )


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1000, 2)
