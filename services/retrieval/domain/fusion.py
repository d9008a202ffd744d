"""Reciprocal rank fusion, and how the legs' hits become passages.

Fusion runs here and not in the engine, so that both engines give the same order to the last tie, every leg's score
stays visible, and k and the weights are ours (Qdrant's default k is 2, not 60).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.vector_index.port import ChunkPayload, Hit, LegHits


@dataclass(frozen=True)
class FusionWeights:
    """k flattens the ranks' influence (Cormack et al. 2009 use 60); the weights say how far each leg is trusted."""

    k: int = 60
    dense: float = 1.0
    bm25: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """A chunk with its score in each leg that found it and its fused score."""

    point_id: str
    payload: ChunkPayload
    dense: float | None
    bm25: float | None
    fused: float


def fuse_hits(legs: LegHits, weights: FusionWeights) -> list[Candidate]:
    """Sum over the legs of weight / (k + rank), rank from 1; best first, ties in the order of point ids."""
    payloads = {hit.point_id: hit.payload for hit in [*legs.dense, *legs.bm25]}
    dense, bm25 = _index_scores(legs.dense), _index_scores(legs.bm25)
    fused = dict.fromkeys(payloads, 0.0)
    for leg, weight in ((legs.dense, weights.dense), (legs.bm25, weights.bm25)):
        for rank, hit in enumerate(leg, start=1):
            fused[hit.point_id] += weight / (weights.k + rank)
    candidates = [
        Candidate(point_id, payload, dense.get(point_id), bm25.get(point_id), fused[point_id])
        for point_id, payload in payloads.items()
    ]
    return sorted(candidates, key=lambda candidate: (-candidate.fused, candidate.point_id))


def _index_scores(hits: Sequence[Hit]) -> Mapping[str, float]:
    return {hit.point_id: hit.score for hit in hits}
