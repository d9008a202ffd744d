"""Reciprocal rank fusion: the published formula, with weights, and a stable order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.fusion import FusionWeights, fuse_hits
from shared.vector_index.port import ChunkPayload, Hit, LegHits


def make_hits(ids: list[str]) -> list[Hit]:
    payload = ChunkPayload("doc", "v", 0, "T", 1, 0, 1, "x")
    return [Hit(point_id, 1.0 / rank, payload) for rank, point_id in enumerate(ids, start=1)]


def test_scores_are_the_published_sum() -> None:
    """Cormack et al. 2009: the sum of 1 / (60 + rank) over the legs."""
    fused = fuse_hits(LegHits(make_hits(["a", "b"]), make_hits(["b", "c"])), FusionWeights())

    assert {candidate.point_id: candidate.fused for candidate in fused} == {
        "b": pytest.approx(1 / 62 + 1 / 61),
        "a": pytest.approx(1 / 61),
        "c": pytest.approx(1 / 62),
    }
    assert [candidate.point_id for candidate in fused] == ["b", "a", "c"]


def test_each_leg_keeps_its_score_and_absence() -> None:
    """A passage that only one leg found has no score in the other."""
    fused = fuse_hits(LegHits(make_hits(["a"]), make_hits(["b"])), FusionWeights())

    assert [(c.point_id, c.dense, c.bm25) for c in fused] == [("a", 1.0, None), ("b", None, 1.0)]


def test_weights_decide_between_legs() -> None:
    """With all the trust in one leg its order wins."""
    legs = LegHits(make_hits(["a", "b", "c"]), make_hits(["c", "b", "a"]))

    assert [c.point_id for c in fuse_hits(legs, FusionWeights(dense=1, bm25=0))] == ["a", "b", "c"]
    assert [c.point_id for c in fuse_hits(legs, FusionWeights(dense=0, bm25=1))] == ["c", "b", "a"]


IDS = st.lists(st.sampled_from("abcdefghij"), unique=True)


@given(IDS, IDS, st.integers(1, 100))
def test_fusion_finds_everything_once_in_falling_order(dense: list[str], bm25: list[str], k: int) -> None:
    """The union of the legs, without duplicates, best first, whatever the ranks are."""
    fused = fuse_hits(LegHits(make_hits(dense), make_hits(bm25)), FusionWeights(k=k))

    ids = [candidate.point_id for candidate in fused]
    scores = [candidate.fused for candidate in fused]
    assert sorted(ids) == sorted(set(dense) | set(bm25))
    assert scores == sorted(scores, reverse=True)
