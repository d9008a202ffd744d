"""Reranker without a model: words that stand together. For where a cross-encoder's weights cannot be had."""

import asyncio
from collections.abc import Sequence

from services.retrieval.domain.fusion import Candidate
from services.retrieval.domain.glossary import NO_GLOSSARY, Glossary
from services.retrieval.domain.term_proximity import rescore, standardise
from services.retrieval.ports import TermReader
from shared.contracts.search import OFFLINE_RERANKER, RerankerState
from shared.languages import tell_language


class TermProximityReranker:
    """Always there: it needs no weights.

    Parameters:
        reader: of the terms of questions and passages.
        fused_by_ranks: whether the fused scores are those of ranks, which are no standard deviations.
        glossary: what passages say where questions have other words.
    """

    state = RerankerState(status="on", model=OFFLINE_RERANKER)

    def __init__(self, reader: TermReader, *, fused_by_ranks: bool = False, glossary: Glossary = NO_GLOSSARY) -> None:
        self._reader = reader
        self._fused_by_ranks = fused_by_ranks
        self._glossary = glossary

    async def score(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """One score per candidate, in standard deviations of their fused scores."""
        return await asyncio.to_thread(self._score, query, candidates)

    def close(self) -> None:
        """Nothing to end."""

    def _score(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        language = tell_language(query)
        texts = [self._reader.list_terms(candidate.payload.text, language) for candidate in candidates]
        fused = [candidate.fused for candidate in candidates]
        if self._fused_by_ranks:
            fused = standardise(fused)
        entries = [
            [self._reader.list_terms(phrase, language) for phrase in phrases]
            for phrases in self._glossary.find_entries(query)
        ]
        return rescore(self._reader.list_terms(query, language), texts, fused, entries)
