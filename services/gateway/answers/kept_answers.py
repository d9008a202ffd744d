"""Gives an answer again that was given to just this question, while nothing has changed that it rests on.

Why it cannot be stale:

- What searches see changes only by scripts of the registry, each of which gives the tenant a new revision and drops
  what is kept, in one step. An answer is found only together with the revision that it is kept under.
- The revision is read before the search begins, and an answer is kept only if it is still the same when it is written,
  again in one step with the writing. Revisions never come again, so nothing has changed in between: every look of the
  search at the registry, in whatever process, has seen this one state. A new version's points are all written before
  it is published, an old one's are removed after it is not seen any more.
- How the search works (its settings, its code, whether it reranks) is the retrieval's to say. Each search says it with
  its result, and before an answer is given again the retrieval is asked whether it still is so.
- All else is in the key.

docs/decisions/0017 has the races one by one.
"""

import hashlib
import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.gateway.answers.question_context import QuestionContext
from services.gateway.ports import AnswerCache, KeptAnswer, LanguageModel, PassageSearch
from shared.contracts.questions import (
    NOT_FOUND_ANSWER,
    Citation,
    FinishReason,
    QueryRequest,
    QueryTimings,
    Source,
    Usage,
)
from shared.contracts.runs import Delta, Finished, PassagesFound
from shared.trace_context import read_trace_id

log = structlog.get_logger(__name__)

_PIECE_CHARS: Final = 200
"""Of a kept answer at once: it need not be slow, and no event should be as long as an answer can be."""


@dataclass(frozen=True)
class AnswerKeeping:
    """What it takes to keep answers.

    Attributes:
        identity: of everything in this process that makes answers what they are: code, with the prompt; providers.
    """

    cache: AnswerCache
    search: PassageSearch
    identity: str

    async def look_up(
        self,
        tenant: str,
        request: QueryRequest,
        context: QuestionContext,
        model: LanguageModel,
        *,
        remove_unsupported: bool,
    ) -> "KeptPlace | ReplayedAnswer | None":
        """Return the answer that was kept for a question, or the place where it can be; None where it is not to be.

        A question with turns before it is one of a conversation, and is not asked again.

        Parameters:
            model: what is to answer.
            remove_unsupported: whether it does without citations that their passage does not support.
        """
        started = time.perf_counter()
        if not request.cache or context.history:
            return None
        key = make_key(request, context.instructions, model, remove_unsupported, self.identity)
        found = await self.cache.find(tenant, key)
        if found.revision is None:
            return None
        kept = found.answer
        if kept is not None and kept.search == await self.search.read_fingerprint():
            return ReplayedAnswer(kept, started)
        return KeptPlace(self.cache, tenant, key, found.revision, model.provider)


def make_key(
    request: QueryRequest, instructions: str, model: LanguageModel, remove_unsupported: bool, identity: str
) -> str:
    """Return the name of everything that an answer depends on beside the tenant, the documents and the search."""
    document_ids = None if request.document_ids is None else sorted(set(request.document_ids))
    parts = [
        identity,
        request.question,
        request.top_k,
        document_ids,
        instructions,
        model.provider,
        model.model,
        remove_unsupported,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class KeptPlace:
    """Where the answer to a question can be kept.

    Attributes:
        revision: as it was before the search began.
        provider: who was asked first.
    """

    cache: AnswerCache
    tenant: str
    key: str
    revision: str
    provider: str

    async def keep(self, text: str, fingerprint: str | None, end: Finished) -> None:
        """Keep an answer that has come to its end, if it is one to give again.

        That is: a whole one, of the provider that was asked first and not of one that stood in for it, which found
        something. Whoever reads that nothing was found asks again.

        Parameters:
            fingerprint: of the search that found its passages.
        """
        if end.finish_reason != "stop" or end.usage.provider != self.provider or not fingerprint:
            return
        if text.strip() == NOT_FOUND_ANSWER:
            return
        answer = KeptAnswer(
            text=text,
            sources=end.sources,
            citations=end.citations,
            provider=end.usage.provider,
            model=end.usage.model,
            search=fingerprint,
        )
        await self.cache.keep(self.tenant, self.key, self.revision, answer)


class ReplayedAnswer:
    """An answer given again: the events of a run like any other, with what was kept.

    Parameters:
        started: when the question arrived, by `time.perf_counter`.
    """

    def __init__(self, kept: KeptAnswer, started: float) -> None:
        self._kept = kept
        self._started = started
        self._first_token_ms: float | None = None
        self._sent_chars = 0

    async def produce(self) -> AsyncGenerator[PassagesFound | Delta | Finished, None]:
        """Yield the events of the run, the last of which is Finished."""
        text = self._kept.text
        yield PassagesFound(passages=_list_sources(self._kept.sources, frozenset()))
        self._first_token_ms = self._elapsed_ms()
        for start in range(0, len(text), _PIECE_CHARS):
            piece = text[start : start + _PIECE_CHARS]
            self._sent_chars += len(piece)
            yield Delta(piece)
        yield self.finish()

    def finish(self, finish_reason: FinishReason | None = None) -> Finished:
        """Return the end of the run as it is now. Nothing was searched and no model was asked, and so it is told."""
        kept = self._kept
        usage = Usage(provider=kept.provider, model=kept.model, input_tokens=0, output_tokens=0, cost=0)
        timings = QueryTimings(first_token=self._first_token_ms, total=self._elapsed_ms())
        sources, citations = kept.sources, kept.citations
        if self._sent_chars < len(kept.text):
            # As of any answer that was stopped: what a claim looked like to its end is not told of a part of it.
            sent = [citation for citation in citations if citation.end <= self._sent_chars]
            citations = [Citation(n=citation.n, start=citation.start, end=citation.end) for citation in sent]
            sources = _list_sources(sources, {citation.n for citation in citations})
        finish = finish_reason or "stop"
        log.info("question_answered", provider=kept.provider, total_ms=timings.total, finish_reason=finish, cached=True)
        return Finished(
            sources=sources,
            citations=citations,
            finish_reason=finish,
            usage=usage,
            timings_ms=timings,
            cached=True,
            trace_id=read_trace_id(),
        )

    def _elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 2)


def _list_sources(sources: Sequence[Source], cited: frozenset[int] | set[int]) -> list[Source]:
    """Return the sources as they are told while only some of them are cited, and nothing was checked."""
    return [
        source.model_copy(update={"cited": source.n in cited, "supported": "unknown" if source.n in cited else None})
        for source in sources
    ]
