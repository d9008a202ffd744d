"""Answers a question: check it, find passages, let a language model answer, check its citations."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, assert_never

import structlog

from services.gateway.answers.citations import CitationFilter
from services.gateway.answers.evidence import EvidenceCheck, complete_citations, summarise
from services.gateway.answers.kept_answers import AnswerKeeping, KeptPlace, ReplayedAnswer
from services.gateway.answers.prices import NO_PRICES, PriceList
from services.gateway.answers.prompt import build_prompt
from services.gateway.answers.question_context import NO_CONTEXT, QuestionContext
from services.gateway.answers.standalone_question import make_standalone_question
from services.gateway.answers.unsupported_citations import remove_unsupported
from services.gateway.answers.usage import make_usage
from services.gateway.growing_text import GrowingText
from services.gateway.ports import Answering, Completion, LanguageModel, PassageSearch, TextDelta
from shared.contracts.documents import DocumentStatus
from shared.contracts.questions import (
    NOT_FOUND_ANSWER,
    Citation,
    FinishReason,
    QueryRequest,
    QueryTimings,
    Source,
)
from shared.contracts.runs import Delta, Finished, PassagesFound
from shared.contracts.search import Passage, SearchFilter, SearchRequest, SearchResponse, SearchTimings
from shared.errors import InvalidRequest, LanguageModelError, NotReady, UnprocessableRequest
from shared.invisible_text import strip_invisible
from shared.registry.port import DocumentRegistry
from shared.trace_context import read_trace_id

log = structlog.get_logger(__name__)

REWRITE_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class AnswerDependencies:
    """What the answering works with.

    Attributes:
        models: by the provider's name.
        default_provider: who answers where the question names none.
        chain: what answers instead where several are configured for that; `default_provider` is its first.
    """

    registry: DocumentRegistry
    search: PassageSearch
    models: Mapping[str, LanguageModel]
    default_provider: str
    chain: LanguageModel | None = None
    remove_unsupported: bool = False
    """Whether citations that their passage does not support are removed where a question does not say."""
    prices: PriceList = NO_PRICES
    keeping: AnswerKeeping | None = None
    """What keeps answers; None: nothing does."""
    rewrite_timeout_s: float = REWRITE_TIMEOUT_S
    """Seconds that a model may take to make a follow-up a question that stands by itself."""
    max_prompt_tokens: int | None = None
    """Of what a model is asked, as we estimate them; None: any number."""

    def find_model(self, provider: str | None) -> LanguageModel | None:
        """Return what a question asks that names this provider, or none; None when there is none of that name."""
        if not provider and self.chain is not None:
            return self.chain
        return self.models.get(provider or self.default_provider)


async def prepare_answer(
    tenant: str, request: QueryRequest, deps: AnswerDependencies, context: QuestionContext = NO_CONTEXT
) -> "Answer":
    """Check what can be checked before a run begins, so that it fails with a status and not in a stream.

    Raises UnprocessableRequest (nothing to see in the question, unknown provider), NotFound (unknown document),
    NotReady (not searchable yet) and InvalidRequest (nothing was uploaded).
    """
    if not strip_invisible(request.question).strip():
        problem = "It has no visible character"
        details = {"problems": [{"field": "question", "problem": problem}]}
        raise UnprocessableRequest(f"question: {problem}.", details=details)
    model = deps.find_model(request.provider)
    if model is None:
        names = sorted(deps.models)
        message = f"There is no provider {request.provider!r}; configured are: {', '.join(names)}."
        raise UnprocessableRequest(message, code="unknown_provider", details={"providers": names})
    if request.document_ids is not None:
        await _check_documents(tenant, request.document_ids, deps.registry)
    else:
        await _check_any_ready(tenant, deps.registry)
    remove = request.unsupported_citations == "remove" or (
        request.unsupported_citations is None and deps.remove_unsupported
    )
    return Answer(
        tenant,
        request,
        model,
        deps.search,
        context,
        remove_unsupported=remove,
        prices=deps.prices,
        rewrite_timeout_s=deps.rewrite_timeout_s,
        max_prompt_tokens=deps.max_prompt_tokens,
    )


async def begin_answer(
    tenant: str, request: QueryRequest, deps: AnswerDependencies, context: QuestionContext = NO_CONTEXT
) -> "Answer | ReplayedAnswer":
    """Return the answer that was kept for a question, or one that is to be written. Raise as `prepare_answer` does."""
    answer = await prepare_answer(tenant, request, deps, context)
    if deps.keeping is None:
        return answer
    place = await deps.keeping.look_up(
        tenant, request, context, answer.model, remove_unsupported=answer.remove_unsupported
    )
    if isinstance(place, ReplayedAnswer):
        return place
    answer.place = place
    return answer


async def _check_any_ready(tenant: str, registry: DocumentRegistry) -> None:
    total, ready = await registry.count(tenant)
    if total == 0:
        raise InvalidRequest("There is no document yet. Upload a PDF with POST /documents first.", code="no_documents")
    if ready == 0:
        message = "No document is ready yet. GET /documents shows how far they are."
        raise NotReady(message, code="documents_not_ready", retry_after=2)


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


class Answer:
    """One question on its way to its answer.

    Parameters:
        model: what answers, where there are passages to answer from.
        context: what the question refers to. Searched, and looked up in the passages, is the question that stands by
            itself; a language model is asked the one that was asked, and reads what it refers to.
        remove_unsupported: whether citations that their passage does not support are removed.
        rewrite_timeout_s, max_prompt_tokens: as in AnswerDependencies.

    Attributes:
        place: where it is kept for whoever asks the same, if it is to be.
    """

    place: KeptPlace | None = None

    def __init__(
        self,
        tenant: str,
        request: QueryRequest,
        model: LanguageModel,
        search: PassageSearch,
        context: QuestionContext = NO_CONTEXT,
        *,
        remove_unsupported: bool = False,
        prices: PriceList = NO_PRICES,
        rewrite_timeout_s: float = REWRITE_TIMEOUT_S,
        max_prompt_tokens: int | None = None,
    ) -> None:
        self._request = request
        self._context = context
        self._tenant = tenant
        self.model = model
        self._search = search
        self._prices = prices
        self._rewrite_timeout_s = rewrite_timeout_s
        self._max_prompt_tokens = max_prompt_tokens
        self._standalone: str | None = None
        self._rewrite_ms: float | None = None
        self._rewriting: Completion | None = None
        self._started = time.perf_counter()
        self._first_token_ms: float | None = None
        self._search_timings: SearchTimings | None = None
        self._passages: Sequence[Passage] = ()
        self.remove_unsupported = remove_unsupported
        self._citations = CitationFilter(0)
        self._sent = GrowingText()
        self._checked: list[Citation] = []
        self._completion = Completion("stop", model.provider, model.model)

    async def produce(self) -> AsyncGenerator[PassagesFound | Delta | Finished, None]:
        """Yield the events of the run, the last of which is Finished. Raise PagewireError when it cannot come.

        Closing this generator closes the connection to the provider.
        """
        await self._make_standalone()
        found = await self._find_passages()
        self._search_timings = found.timings_ms
        prompt = build_prompt(
            self._request.question,
            found.passages,
            self._context,
            standalone=self._standalone,
            terms=found.terms,
            max_tokens=self._max_prompt_tokens,
        )
        passages = self._passages = prompt.passages
        yield PassagesFound(passages=_make_sources(passages, set(), ()))
        self._citations = CitationFilter(len(passages))
        if not passages:
            self._first_token_ms = self._elapsed_ms()
            yield Delta(NOT_FOUND_ANSWER)
            yield self.finish()
            return
        empty = True
        evidence = EvidenceCheck(prompt.question, passages)
        stream = self.model.stream(prompt)
        if self.remove_unsupported:
            stream = remove_unsupported(stream, evidence, len(passages))
        fingerprint = found.fingerprint
        del found, prompt  # an answer takes long, and needs of them only what is noted
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                match piece:
                    case TextDelta(text=text):
                        if self._first_token_ms is None:
                            self._first_token_ms = self._elapsed_ms()
                        if checked := self._citations.feed(text):
                            empty = empty and not checked.strip()
                            self._sent.write(checked)
                            yield Delta(checked)
                    case Completion():
                        self._completion = piece
                    case Answering():
                        self._completion = Completion("stop", piece.provider, piece.model)
                    case _:
                        assert_never(piece)
        if rest := self._citations.finish():
            empty = empty and not rest.strip()
            self._sent.write(rest)
            yield Delta(rest)
        if empty:
            raise self._make_empty_error()
        if self._citations.cited:
            # In a thread: it takes milliseconds, and much more for an odd answer.
            self._checked = await asyncio.to_thread(evidence.check_answer, self._sent.read(), self._citations.places)
        end = self.finish()
        if self.place is not None:
            await self.place.keep(self._sent.read(), fingerprint, end)
        yield end

    def finish(self, finish_reason: FinishReason | None = None) -> Finished:
        """Return the end of the run: sources, usage and timings up to now; only a whole answer's citations are checked.

        Parameters:
            finish_reason: why it ends here; None: as the model said.
        """
        usage = make_usage(self._completion, self._rewriting, self._prices)
        searched = self._search_timings
        timings = QueryTimings(
            rewrite=self._rewrite_ms,
            retrieval=searched.total if searched else None,
            embed=searched.embed if searched else None,
            search=searched.search if searched else None,
            rerank=searched.rerank if searched else None,
            first_token=self._first_token_ms,
            total=self._elapsed_ms(),
        )
        finish = finish_reason or self._completion.finish_reason
        log.info("question_answered", provider=usage.provider, total_ms=timings.total, finish_reason=finish)
        citations = complete_citations(self._checked, self._citations.places)
        return Finished(
            sources=_make_sources(self._passages, self._citations.cited, citations),
            citations=citations,
            finish_reason=finish,
            standalone_question=self._standalone,
            usage=usage,
            timings_ms=timings,
            trace_id=read_trace_id(),
        )

    async def _make_standalone(self) -> None:
        """Make of a follow-up what can be searched for."""
        if not self._context.history:
            return
        asked = self._request.question
        standalone = await make_standalone_question(
            asked,
            self._context,
            self.model,
            timeout_s=self._rewrite_timeout_s,
            max_tokens=self._max_prompt_tokens,
        )
        self._standalone = standalone.text if standalone.text != asked else None
        self._rewriting = standalone.spent
        self._rewrite_ms = self._elapsed_ms()

    async def _find_passages(self) -> SearchResponse:
        search = SearchRequest(
            tenant=self._tenant,
            query=self._standalone or self._request.question,
            top_k=self._request.top_k,
            filter=SearchFilter(document_ids=self._request.document_ids),
        )
        return await self._search.search(search)

    def _elapsed_ms(self) -> float:
        """Return milliseconds since the question arrived."""
        return round((time.perf_counter() - self._started) * 1000, 2)

    def _make_empty_error(self) -> LanguageModelError:
        """Return the error for an answer without any text, which must not pass for one."""
        provider = self._completion.provider
        whose = f"The language model ({provider})"
        match self._completion.finish_reason:
            case "length":
                # Models that think can spend all of it on thinking.
                message = (
                    f"{whose} used up its output tokens before it wrote anything; raise PAGEWIRE_LLM_MAX_OUTPUT_TOKENS."
                )
            case "filtered":
                message = f"{whose} refuses to answer this; ask in another way."
            case _:
                message = f"{whose} wrote nothing; ask again."
        return LanguageModelError(message, code="llm_empty", details={"provider": provider})


def _make_sources(passages: Sequence[Passage], cited: set[int], citations: Sequence[Citation]) -> list[Source]:
    return [
        Source(
            n=n,
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            title=passage.title,
            page=passage.page,
            text=passage.text,
            table_head=passage.table_head,
            best_sentence=passage.best_sentence,
            ocr=passage.ocr_confidence is not None,
            ocr_confidence=passage.ocr_confidence,
            score=round(passage.score, 4),
            cited=n in cited,
            supported=summarise(citations, n) if n in cited else None,
        )
        for n, passage in enumerate(passages, start=1)
    ]
