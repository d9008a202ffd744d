"""Answers a question: check it, find passages, let a language model answer, check its citations."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import assert_never

import structlog

from services.gateway.answers.citations import CitationFilter
from services.gateway.answers.prompt import build_prompt
from services.gateway.ports import Completion, LanguageModel, PassageSearch, TextDelta
from shared.contracts.documents import DocumentStatus
from shared.contracts.questions import (
    NOT_FOUND_ANSWER,
    PassagesEvent,
    QueryRequest,
    QueryResponse,
    QueryTimings,
    Source,
    SourcesEvent,
    TokenEvent,
    Usage,
)
from shared.contracts.search import Passage, SearchFilter, SearchRequest, SearchResponse
from shared.errors import InvalidRequest, LanguageModelError, NotReady, UnprocessableRequest
from shared.identifiers import make_run_id
from shared.invisible_text import strip_invisible
from shared.registry.registry import DocumentRegistry

log = structlog.get_logger(__name__)

AnswerEvent = PassagesEvent | TokenEvent | SourcesEvent


@dataclass(frozen=True)
class AnswerDependencies:
    """What the answering works with; `models` by the provider's name."""

    registry: DocumentRegistry
    search: PassageSearch
    models: Mapping[str, LanguageModel]
    default_provider: str


@dataclass
class Run:
    """One question on its way to its answer."""

    tenant: str
    request: QueryRequest
    model: LanguageModel
    run_id: str = field(default_factory=make_run_id)
    started: float = field(default_factory=time.perf_counter)
    first_token_ms: float | None = None

    def elapsed_ms(self) -> float:
        """Milliseconds since the question arrived."""
        return round((time.perf_counter() - self.started) * 1000, 2)


async def begin_run(tenant: str, request: QueryRequest, deps: AnswerDependencies) -> Run:
    """Checks what can be checked before an answer begins, so that it fails with a status and not in a stream.

    Raises UnprocessableRequest (nothing to see in the question, unknown provider), NotFound (unknown document),
    NotReady (not searchable yet) and InvalidRequest (nothing was uploaded).
    """
    if not strip_invisible(request.question).strip():
        problem = "It has no visible character"
        details = {"problems": [{"field": "question", "problem": problem}]}
        raise UnprocessableRequest(f"question: {problem}.", details=details)
    provider = request.provider or deps.default_provider
    model = deps.models.get(provider)
    if model is None:
        names = sorted(deps.models)
        message = f"There is no provider {provider!r}; configured are: {', '.join(names)}."
        raise UnprocessableRequest(message, code="unknown_provider", details={"providers": names})
    if request.document_ids is not None:
        await _check_documents(tenant, request.document_ids, deps.registry)
        return Run(tenant, request, model)
    total, ready = await deps.registry.count(tenant)
    if total == 0:
        raise InvalidRequest("There is no document yet. Upload a PDF with POST /documents first.", code="no_documents")
    if ready == 0:
        message = "No document is ready yet. GET /documents shows how far they are."
        raise NotReady(message, code="documents_not_ready", retry_after=2)
    return Run(tenant, request, model)


async def _check_documents(tenant: str, document_ids: Sequence[str], registry: DocumentRegistry) -> None:
    if not document_ids:
        raise UnprocessableRequest("document_ids is empty; leave it out to search all documents.")
    active = await registry.get_active_versions(tenant, document_ids)
    for document_id in document_ids:
        if document_id not in active:
            record = await registry.get(tenant, document_id)  # raises NotFound for an unknown one
            if record.status is DocumentStatus.FAILED:
                message = f"The document {document_id!r} failed; GET /documents/{document_id} says why."
                raise NotReady(message, code="document_failed")
            message = f"The document {document_id!r} is {record.status}; only ready ones can be searched."
            raise NotReady(message, code="document_not_ready", retry_after=2)


async def answer_whole(run: Run, deps: AnswerDependencies) -> QueryResponse:
    """The answer in one piece."""
    found = await _find_passages(run, deps)
    citations = CitationFilter(len(found.passages))
    completion = Completion(finish_reason="stop")
    text = NOT_FOUND_ANSWER
    if found.passages:
        generation = await run.model.generate(build_prompt(run.request.question, found.passages))
        text, completion = generation.text, generation.completion
    answer = (citations.feed(text) + citations.finish()).strip()
    if not answer:
        raise _make_empty_error(run, completion)
    end = _make_end(run, found, citations, completion)
    return QueryResponse(
        answer=answer,
        finish_reason=end.finish_reason,
        sources=end.sources,
        run_id=run.run_id,
        usage=end.usage,
        timings_ms=end.timings_ms,
    )


async def stream_answer(run: Run, deps: AnswerDependencies) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as it comes; the last event is SourcesEvent. Raises PagewireError instead of it when it cannot end.

    Closing this generator closes the connection to the provider.
    """
    found = await _find_passages(run, deps)
    if "passages" in run.request.include:
        yield PassagesEvent(passages=_make_sources(found.passages, set()))
    citations = CitationFilter(len(found.passages))
    completion = Completion(finish_reason="stop")
    if not found.passages:
        run.first_token_ms = run.elapsed_ms()
        yield TokenEvent(token=NOT_FOUND_ANSWER)
    else:
        prompt = build_prompt(run.request.question, found.passages)
        empty = True
        async with aclosing(run.model.stream(prompt)) as pieces:
            async for piece in pieces:
                match piece:
                    case TextDelta(text=text):
                        run.first_token_ms = run.first_token_ms or run.elapsed_ms()
                        if checked := citations.feed(text):
                            empty = empty and not checked.strip()
                            yield TokenEvent(token=checked)
                    case Completion():
                        completion = piece
                    case _:
                        assert_never(piece)
        if rest := citations.finish():
            empty = empty and not rest.strip()
            yield TokenEvent(token=rest)
        if empty:
            raise _make_empty_error(run, completion)
    yield _make_end(run, found, citations, completion)


async def _find_passages(run: Run, deps: AnswerDependencies) -> SearchResponse:
    request = run.request
    search = SearchRequest(
        tenant=run.tenant,
        query=request.question,
        top_k=request.top_k,
        filter=SearchFilter(document_ids=request.document_ids),
    )
    return await deps.search.search(search)


def _make_empty_error(run: Run, completion: Completion) -> LanguageModelError:
    """For an answer without any text, which must not pass for one."""
    whose = f"The language model ({run.model.provider})"
    match completion.finish_reason:
        case "length":
            # Models that think can spend all of it on thinking.
            message = (
                f"{whose} used up its output tokens before it wrote anything; raise PAGEWIRE_LLM_MAX_OUTPUT_TOKENS."
            )
        case "filtered":
            message = f"{whose} refuses to answer this; ask in another way."
        case _:
            message = f"{whose} wrote nothing; ask again."
    return LanguageModelError(message, code="llm_empty", details={"provider": run.model.provider})


def _make_end(run: Run, found: SearchResponse, citations: CitationFilter, completion: Completion) -> SourcesEvent:
    usage = Usage(
        provider=run.model.provider,
        model=run.model.model,
        input_tokens=completion.input_tokens,
        output_tokens=completion.output_tokens,
    )
    timings = QueryTimings(
        retrieval=found.timings_ms.total,
        rerank=found.timings_ms.rerank,
        first_token=run.first_token_ms,
        total=run.elapsed_ms(),
    )
    sources = _make_sources(found.passages, citations.cited)
    finish = completion.finish_reason
    log.info(
        "question_answered", run_id=run.run_id, provider=usage.provider, total_ms=timings.total, finish_reason=finish
    )
    return SourcesEvent(sources=sources, run_id=run.run_id, finish_reason=finish, usage=usage, timings_ms=timings)


def _make_sources(passages: Sequence[Passage], cited: set[int]) -> list[Source]:
    return [
        Source(
            n=n,
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            title=passage.title,
            page=passage.page,
            text=passage.text,
            score=round(passage.score, 4),
            cited=n in cited,
        )
        for n, passage in enumerate(passages, start=1)
    ]
