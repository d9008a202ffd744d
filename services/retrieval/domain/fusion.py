"""How the hits of both legs become one ranking.

Fusion runs here and not in the engine, so that both engines give the same order to the last tie, every leg's score
stays visible, and the weights are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.retrieval.domain.deviations import measure_spread
from shared.vector_index.port import ChunkPayload, Hit, LegHits, order_scored

FusionMethod = Literal["scores", "ranks"]
_EVEN = 1e-5
"""Scores whose standard deviation is less, relative, are all the same: engines differ by up to a tenth of it."""
_TIE = 1e-4
"""Of a standard deviation, which is some tenth of a score: what `port.TIE` is of a leg's score."""


@dataclass(frozen=True)
class FusionWeights:
    """How far each leg is trusted, and by what.

    Attributes:
        method: `scores`: the weighted sum of scores, each leg's in its own standard deviations. `ranks`: the sum of
            weight / (k + rank), reciprocal rank fusion (RRF).
        k: of `ranks` alone; flattens their influence (Cormack et al. 2009 use 60; Qdrant's own default is 2).
    """

    dense: float = 1.0
    bm25: float = 1.0
    method: FusionMethod = "scores"
    k: int = 60


@dataclass(frozen=True)
class Candidate:
    """A chunk with its score in each leg that found it and its fused score."""

    point_id: str
    payload: ChunkPayload
    dense: float | None
    bm25: float | None
    fused: float


def fuse_hits(legs: LegHits, weights: FusionWeights, limit: int, *, told: LegHits | None = None) -> list[Candidate]:
    """Return what either leg found, best first, ties in the order of point ids.

    Parameters:
        limit: hits that each leg was asked for. One that found fewer has found all: what it lacks has nothing of it.
        told: the same hits with the scores that candidates tell, where others are fused.
    """
    told = told or legs
    payloads = {hit.point_id: hit.payload for hit in [*legs.dense, *legs.bm25]}
    fused = dict.fromkeys(payloads, 0.0)
    for leg, weight in ((legs.dense, weights.dense), (legs.bm25, weights.bm25)):
        shares = _share_ranks(leg, weights.k) if weights.method == "ranks" else _share_scores(leg, payloads, limit)
        for point_id, share in shares.items():
            fused[point_id] += weight * share
    dense, bm25 = _index_scores(told.dense), _index_scores(told.bm25)
    return [
        Candidate(point_id, payloads[point_id], dense.get(point_id), bm25.get(point_id), fused[point_id])
        for point_id in order_scored(fused, _TIE if weights.method == "scores" else 0.0)
    ]


def _share_ranks(leg: Sequence[Hit], k: int) -> Mapping[str, float]:
    return {hit.point_id: 1 / (k + rank) for rank, hit in enumerate(leg, start=1)}


def _share_scores(leg: Sequence[Hit], candidates: Mapping[str, ChunkPayload], limit: int) -> Mapping[str, float]:
    """By how many standard deviations of all candidates each one is above the lowest.

    A candidate that the leg lacks has 0 where the leg was not full, else it has no more than the lowest hit, and is
    taken for it. Where all are the same the leg says nothing.
    """
    scores = _index_scores(leg)
    missing = min(scores.values()) if len(leg) >= limit else 0.0
    values = [scores.get(point_id, missing) for point_id in candidates]
    if not values:
        return {}
    _, deviation = measure_spread(values)
    if deviation <= _EVEN * max(abs(value) for value in values):
        return {}
    lowest = min(values)
    return {point_id: (value - lowest) / deviation for point_id, value in zip(candidates, values, strict=True)}


def _index_scores(hits: Sequence[Hit]) -> Mapping[str, float]:
    return {hit.point_id: hit.score for hit in hits}
