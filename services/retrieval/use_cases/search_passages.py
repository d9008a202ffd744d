"""Answers a search: embed the question, run both legs, drop what is not published, fuse, rerank."""

import asyncio
import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import structlog

from services.retrieval.domain.best_sentence import find_best_sentence
from services.retrieval.domain.comparable_vectors import find_others, join_models, leave_out_others
from services.retrieval.domain.documents_first import lift_named, merge_legs
from services.retrieval.domain.fusion import Candidate, FusionWeights, fuse_hits
from services.retrieval.domain.glossary import NO_GLOSSARY, PHRASE_WEIGHT, Glossary, add_terms, list_phrases
from services.retrieval.domain.named_documents import choose_clear, judge_documents
from services.retrieval.domain.question_names import find_names
from services.retrieval.domain.question_text import clean_question
from services.retrieval.domain.whole_passages import join_passages
from services.retrieval.ports import QueryEmbedder, Reranker
from services.retrieval.use_cases.former_model import FormerModel
from services.retrieval.use_cases.search_permits import SearchPermits
from shared.contracts.search import (
    GlossaryTerm,
    Passage,
    RerankerState,
    SearchRequest,
    SearchResponse,
    SearchTimings,
    Span,
    StageScores,
)
from shared.embedding.port import SparseEncoder
from shared.errors import DependencyUnavailable
from shared.languages import tell_language
from shared.registry.port import DocumentRegistry
from shared.tasks import end_tasks
from shared.vector_index.port import Hit, IndexQuery, LegHits, SparseVector, VectorIndex
from shared.vector_index.sealing import SealedTextError, open_payload

log = structlog.get_logger(__name__)

SETTLE_S = 10.0
"""How long a search may be repeated; two rounds take milliseconds."""

_UNSETTLED = "Documents change faster than they can be searched now; try again in a few seconds."


@dataclass(frozen=True)
class SearchOptions:
    """How many hits each leg gives (`candidates`), and how many of the fused ones are reranked (None: its depth).

    A search that finds something unpublished is repeated for at most `settle_s` seconds. Without `joined` chunks are
    returned as they were found, which is what evals count. With `documents_first` the passages of documents that a
    question names come before others. What `glossary` says for a question's terms is searched for besides.
    """

    candidates: int
    rerank_count: int | None
    fusion: FusionWeights
    settle_s: float = SETTLE_S
    joined: bool = True
    documents_first: bool = True
    glossary: Glossary = NO_GLOSSARY


@dataclass(frozen=True)
class SearchDependencies:
    """What a search works with."""

    embedder: QueryEmbedder
    bm25: SparseEncoder
    index: VectorIndex
    registry: DocumentRegistry
    reranker: Reranker
    options: SearchOptions
    identity: str = ""
    """Of the code and the embedding model; another one finds other passages."""
    model_id: str = ""
    """Of the embedding model: only vectors that it has made are compared with a question's; empty: all are."""
    permits: SearchPermits = field(default_factory=SearchPermits)
    former: FormerModel | None = None
    """By which documents are found that are not made anew since a change of the model."""

    def make_fingerprint(self, reranker: RerankerState) -> str:
        """Return the same for searches that would find the same in the same documents; empty where nobody can say."""
        if not self.identity:
            return ""
        models = f"{self.model_id}\n{self.former.model_id}" if self.former else self.model_id
        parts = f"{self.identity}\n{models}\n{self.options}\n{reranker.status}\n{reranker.model}"
        return hashlib.sha256(parts.encode()).hexdigest()


async def search_passages(request: SearchRequest, deps: SearchDependencies) -> SearchResponse:
    """Return the best passages, best first. Raises DependencyUnavailable when they cannot be found now."""
    with deps.permits.hold():
        return await _search_passages(request, deps)


async def _search_passages(request: SearchRequest, deps: SearchDependencies) -> SearchResponse:
    started = time.perf_counter()
    # In threads: a question of 4,000 characters takes some ten milliseconds to read, and as long to encode.
    question, terms = await asyncio.to_thread(_read_question, request.query, deps.options.glossary)
    request = request.model_copy(update={"query": question})
    phrases = list_phrases(terms)
    # The registry answers while the model computes.
    looking = asyncio.create_task(_look_up(request, deps))
    encoding = asyncio.create_task(asyncio.to_thread(_encode_question, question, phrases, deps.bm25))
    try:
        dense, former = await _embed_by_all(question, phrases, deps)
        embedded = time.perf_counter()
        named, revision = await looking
        sparse, searched_for = await encoding
    finally:
        await end_tasks(looking, encoding)
    limit = max(deps.options.candidates, request.top_k)
    query = IndexQuery(dense, searched_for, limit, request.filter.document_ids)
    try:
        async with asyncio.timeout(deps.options.settle_s):
            found = await _search_published(request.tenant, query, former, choose_clear(named), revision, deps)
    except TimeoutError:
        raise DependencyUnavailable(_UNSETTLED, code="search_unsettled", retry_after=5) from None
    comparable, told = _make_comparable(found, dense, former, deps)
    fused = fuse_hits(lift_named(comparable, named), deps.options.fusion, limit, told=told)
    candidates = _open_texts(fused, found.text_keys)
    searched = time.perf_counter()
    reranker = deps.reranker.state
    rerank_ms: float | None = None
    if reranker.status == "on":
        ranked = await _rerank(request, candidates, terms, deps)
        rerank_ms = _milliseconds(searched, time.perf_counter())
    else:
        ranked = (_make_passage(candidate, None) for candidate in candidates)
    if deps.options.joined:
        passages = await asyncio.to_thread(_finish_passages, ranked, request, sparse, deps.bm25)
    else:
        passages = list(islice(ranked, request.top_k))
    timings = SearchTimings(
        embed=_milliseconds(started, embedded),
        search=_milliseconds(embedded, searched),
        rerank=rerank_ms,
        total=_milliseconds(started, time.perf_counter()),
    )
    return SearchResponse(
        passages=passages,
        timings_ms=timings,
        reranker=reranker,
        fingerprint=deps.make_fingerprint(reranker),
        terms=terms,
    )


def _read_question(query: str, glossary: Glossary) -> tuple[str, list[GlossaryTerm]]:
    """The question as pages are read, and what the glossary knows of it."""
    question = clean_question(query)
    return question, glossary.find_terms(question)


def _encode_question(question: str, phrases: Sequence[str], bm25: SparseEncoder) -> tuple[SparseVector, SparseVector]:
    """The question's terms, and with them those of what documents may say in its place."""
    sparse = bm25.encode_query(question)
    return sparse, add_terms(sparse, bm25.encode_query("\n".join(phrases))) if phrases else sparse


async def _look_up(request: SearchRequest, deps: SearchDependencies) -> tuple[dict[str, float], str | None]:
    """Which documents the question names, and the tenant's revision before the index is searched."""
    named = await _find_named(request, deps)
    return named, (await deps.registry.look_at_versions(request.tenant, [])).revision


async def _embed_by_all(
    question: str, phrases: Sequence[str], deps: SearchDependencies
) -> tuple[list[float], list[float] | None]:
    """The question's vectors by our model and, where there is one, by that of before."""
    if deps.former is None:
        return await _embed_question(question, phrases, deps.embedder), None
    own, former = await asyncio.gather(
        _embed_question(question, phrases, deps.embedder), _embed_question(question, phrases, deps.former.embedder)
    )
    return own, former


async def _embed_question(question: str, phrases: Sequence[str], embedder: QueryEmbedder) -> list[float]:
    """A question's vector, drawn towards that of what documents may say in its place; of unit length."""
    if not phrases:
        alone: list[float] = (await embedder.embed_query(question)).tolist()
        return alone
    own, said = await asyncio.gather(embedder.embed_query(question), embedder.embed_query("; ".join(phrases)))
    mixed: list[float] = (own + PHRASE_WEIGHT * said).tolist()
    length = math.hypot(*mixed)
    return [value / length for value in mixed]


async def _find_named(request: SearchRequest, deps: SearchDependencies) -> dict[str, float]:
    """How surely the question names which documents; none where there is no choice."""
    wanted = request.filter.document_ids
    if not deps.options.documents_first or (wanted is not None and len(set(wanted)) < 2):
        return {}
    names = await asyncio.to_thread(find_names, request.query)
    named = judge_documents(names, await deps.registry.find_cards(request.tenant, names.terms))
    allowed = named.keys() if wanted is None else named.keys() & set(wanted)
    return {document_id: sureness for document_id, sureness in named.items() if document_id in allowed}


async def _search_index(tenant: str, query: IndexQuery, clear: Sequence[str], deps: SearchDependencies) -> LegHits:
    """Hits everywhere, and as many within the documents that are clearly named: among 10,000 others none of theirs may
    be among the nearest."""
    if not clear:
        return await deps.index.search(tenant, query)
    everywhere, within = await asyncio.gather(
        deps.index.search(tenant, query), deps.index.search(tenant, replace(query, document_ids=clear))
    )
    return merge_legs(everywhere, within)


async def _search_models(
    tenant: str, query: IndexQuery, former: list[float] | None, clear: Sequence[str], deps: SearchDependencies
) -> tuple[LegHits, Sequence[Hit]]:
    """Hits of both legs, and by the vector of the model of before.

    By that one first: a document that is made anew is published with all its new points before it loses those of
    before. So one of both searches finds it; who looked for the new ones first could miss it in both.
    """
    if former is None:
        return await _search_index(tenant, query, clear, deps), ()
    asked = replace(query, dense=former, sparse=SparseVector([], []), of_length=True)
    by_former = await _search_index(tenant, asked, clear, deps)
    return await _search_index(tenant, query, clear, deps), by_former.dense


@dataclass(frozen=True)
class _Found:
    """Hits of published versions alone, those by the model of before apart, and the keys of texts by documents."""

    legs: LegHits
    former: Sequence[Hit]
    text_keys: Mapping[str, str]


async def _search_published(
    tenant: str,
    query: IndexQuery,
    former: list[float] | None,
    clear: Sequence[str],
    revision: str | None,
    deps: SearchDependencies,
) -> _Found:
    """Hits of published versions only, as many as there are, and the keys of their texts by documents.

    The registry decides, in the moment of the search: a document that was deleted a millisecond ago is gone, and of
    two versions of one exactly one is seen. Their points go later. Until then, when one of them takes a place, it is
    excluded, and with it all that is deleted and waits for its purge; then the search is repeated. What was excluded
    before is judged anew each time: it may have been published meanwhile, and its predecessor be the stale one now.

    Nor is a version shown in part. One that is published between the search and the look at the registry may have been
    half written when it was found, so a version counts as whole only where it was published before the search began:
    nothing was published since `revision`, or an earlier look has seen it. Where many documents arrive that is one
    search more, not one for each publication.
    """
    excluded: set[tuple[str, str]] = set()
    whole: set[tuple[str, str]] = set()
    while True:
        legs, by_former = await _search_models(tenant, query, former, clear, deps)
        found = {(hit.payload.document_id, hit.payload.version) for hit in [*legs.dense, *legs.bm25, *by_former]}
        ids = {document_id for document_id, _ in found | excluded}
        seen = await deps.registry.look_at_versions(tenant, sorted(ids))
        active = set(seen.versions.items())
        stale, revived = found - active, excluded & active
        settled = seen.revision == revision or found <= whole
        if settled and not stale and not revived:
            return _Found(legs, by_former, seen.text_keys)
        whole |= active
        revision = seen.revision
        deleted = set(await deps.registry.find_deleted(tenant))
        excluded = {pair for pair in (excluded | stale) - revived if pair[0] not in deleted}
        query = replace(query, excluded_versions=excluded, excluded_documents=deleted)


def _make_comparable(
    found: _Found, dense: list[float], former: list[float] | None, deps: SearchDependencies
) -> tuple[LegHits, LegHits]:
    """The hits to fuse, and the same with the scores to tell, so that no vectors of two models are compared."""
    if not deps.model_id:
        return found.legs, found.legs
    models = [deps.model_id] if deps.former is None else [deps.model_id, deps.former.model_id]
    others = find_others(found.legs, *models)
    if others:
        log.warning("vectors_of_another_model", hits=len(others), model_id=deps.model_id)
    if deps.former is None or former is None:
        return leave_out_others(found.legs, others)
    scale = deps.former.make_scale(dense, former)
    return join_models(found.legs, found.former, deps.former.model_id, deps.model_id, scale)


def _open_texts(candidates: Iterable[Candidate], text_keys: Mapping[str, str]) -> Iterator[Candidate]:
    """The candidates with their texts, opened one by one as they are asked for. What cannot be opened is left out."""
    unreadable: set[str] = set()
    for candidate in candidates:
        document_id = candidate.payload.document_id
        try:
            payload = open_payload(candidate.payload, text_keys.get(document_id))
        except SealedTextError:
            if document_id not in unreadable:
                log.error("sealed_text_unreadable", document_id=document_id)  # noqa: TRY400
            unreadable.add(document_id)
        else:
            yield replace(candidate, payload=payload)


async def _rerank(
    request: SearchRequest, candidates: Iterator[Candidate], terms: Sequence[GlossaryTerm], deps: SearchDependencies
) -> Iterator[Passage]:
    """The first candidates in the reranker's order, then the rest as they were."""
    head = list(islice(candidates, max(deps.options.rerank_count or deps.reranker.depth, request.top_k)))
    scores = await deps.reranker.score(request.query, head, terms)
    pairs = sorted(zip(head, scores, strict=True), key=lambda pair: (-pair[1], -pair[0].fused, pair[0].point_id))
    return chain((_make_passage(*pair) for pair in pairs), (_make_passage(candidate, None) for candidate in candidates))


def _finish_passages(
    ranked: Iterable[Passage], request: SearchRequest, query: SparseVector, bm25: SparseEncoder
) -> list[Passage]:
    """The best passages as a reader should see them: whole, each once, with their best sentences."""
    language = tell_language(request.query)

    def encode(sentences: Sequence[str]) -> Sequence[SparseVector]:
        return bm25.encode_passages(sentences, [language] * len(sentences))

    finished = []
    for passage in join_passages(ranked, request.top_k):
        best = find_best_sentence(query.indices, passage.text, encode)
        span = best and Span(start=best[0], end=best[1])
        finished.append(passage.model_copy(update={"best_sentence": span}))
    return finished


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
        table_head=payload.table_head,
        ocr_confidence=payload.ocr_confidence,
        score=candidate.fused if rerank is None else rerank,
        scores=scores,
    )


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1000, 2)
