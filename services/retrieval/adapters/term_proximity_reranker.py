"""Reranker without a model: words that stand together. For where a cross-encoder's weights cannot be had."""

import asyncio
from collections.abc import Sequence

from services.retrieval.domain.fusion import Candidate
from services.retrieval.domain.term_proximity import rescore, standardise
from services.retrieval.ports import TermReader
from shared.contracts.search import OFFLINE_RERANKER, GlossaryTerm, RerankerState
from shared.languages import tell_language


class TermProximityReranker:
    """Always there: it needs no weights.

    Parameters:
        reader: of the terms of questions and passages.
        fused_by_ranks: whether the fused scores are those of ranks, which are no standard deviations.
    """

    state = RerankerState(status="on", model=OFFLINE_RERANKER)
    depth = 50

    def __init__(self, reader: TermReader, *, fused_by_ranks: bool = False) -> None:
        self._reader = reader
        self._fused_by_ranks = fused_by_ranks

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        """One score per candidate, in standard deviations of their fused scores."""
        return await asyncio.to_thread(self._score, query, candidates, terms)

    def wait_for_weights(self, timeout_s: float) -> None:
        """It has none."""

    def close(self) -> None:
        """Nothing to end."""

    def _score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        language = tell_language(query)
        texts = [self._reader.list_terms(candidate.payload.text, language) for candidate in candidates]
        fused = [candidate.fused for candidate in candidates]
        if self._fused_by_ranks:
            fused = standardise(fused)
        entries = [[self._reader.list_terms(phrase, language) for phrase in term.phrases] for term in terms]
        return rescore(self._reader.list_terms(query, language), texts, fused, entries)
