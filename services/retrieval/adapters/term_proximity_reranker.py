"""Reranker without a model: words that stand together. For where a cross-encoder's weights cannot be had."""

import asyncio
from collections.abc import Sequence

from services.retrieval.domain.fusion import Candidate
from services.retrieval.domain.term_proximity import rescore
from services.retrieval.ports import TermReader
from shared.contracts.search import OFFLINE_RERANKER, RerankerState


class TermProximityReranker:
    """Always there: it needs no weights."""

    state = RerankerState(status="on", model=OFFLINE_RERANKER)

    def __init__(self, reader: TermReader) -> None:
        self._reader = reader

    async def score(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """One score per candidate, in standard deviations of their fused scores."""
        return await asyncio.to_thread(self._score, query, candidates)

    def close(self) -> None:
        """Nothing to end."""

    def _score(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        texts = [self._reader.list_terms(candidate.payload.text) for candidate in candidates]
        return rescore(self._reader.list_terms(query), texts, [candidate.fused for candidate in candidates])
