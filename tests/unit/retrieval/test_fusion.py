"""Fusion: by scores in standard deviations, and by ranks as published; both with weights and a stable order."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.fusion import FusionMethod, FusionWeights, fuse_hits
from shared.vector_index.port import ChunkPayload, Hit, LegHits

LIMIT = 20
RANKS = FusionWeights(method="ranks")
METHODS: Sequence[FusionMethod] = ("scores", "ranks")
PAYLOAD = ChunkPayload("doc", "v", 0, "T", 1, 0, 1, "x")


def make_hits(ids: Sequence[str]) -> list[Hit]:
    return [Hit(point_id, 1.0 / rank, PAYLOAD) for rank, point_id in enumerate(ids, start=1)]


def make_scored(scores: dict[str, float]) -> list[Hit]:
    return [
        Hit(point_id, score, PAYLOAD)
        for point_id, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    ]


def rank(legs: LegHits, weights: FusionWeights, limit: int = LIMIT) -> list[str]:
    return [candidate.point_id for candidate in fuse_hits(legs, weights, limit)]


def test_ranks_are_the_published_sum() -> None:
    """Cormack et al. 2009: the sum of 1 / (60 + rank) over the legs."""
    fused = fuse_hits(LegHits(make_hits(["a", "b"]), make_hits(["b", "c"])), RANKS, LIMIT)

    assert {candidate.point_id: candidate.fused for candidate in fused} == {
        "b": pytest.approx(1 / 62 + 1 / 61),
        "a": pytest.approx(1 / 61),
        "c": pytest.approx(1 / 62),
    }
    assert [candidate.point_id for candidate in fused] == ["b", "a", "c"]


def test_scores_count_in_standard_deviations_of_their_leg() -> None:
    """Cosines lie close together and BM25 scores far apart; neither decides by the size of its numbers."""
    legs = LegHits(
        make_scored({"a": 0.52, "b": 0.51, "c": 0.50, "d": 0.49}), make_scored({"a": 1, "b": 2, "c": 4, "d": 9})
    )
    fused = {one.point_id: one.fused for one in fuse_hits(legs, FusionWeights(dense=0.6, bm25=0.4), LIMIT)}

    dense, bm25 = np.array([0.52, 0.51, 0.50, 0.49]), np.array([1.0, 2, 4, 9])
    expected = 0.6 * (dense - dense.min()) / dense.std() + 0.4 * (bm25 - bm25.min()) / bm25.std()
    assert [fused[point_id] for point_id in "abcd"] == pytest.approx(list(expected))


def test_a_leg_that_is_not_full_has_nothing_for_what_it_lacks() -> None:
    """The one passage with the rare word of the question gains by it: those without have nothing of it."""
    legs = LegHits(make_scored({"a": 0.52, "b": 0.51, "c": 0.5}), make_scored({"c": 7.0}))

    assert rank(legs, FusionWeights(dense=0.4, bm25=0.6)) == ["c", "a", "b"]


def test_a_full_leg_has_no_more_than_its_lowest_for_what_it_lacks() -> None:
    """A passage just behind the cut of a leg is not taken for one without any word of the question."""
    legs = LegHits(make_scored({"a": 0.52, "b": 0.51}), make_scored({"b": 7.0, "c": 6.9}))
    full = {one.point_id: one.fused for one in fuse_hits(legs, FusionWeights(dense=0, bm25=1), limit=2)}

    assert full["a"] == full["c"] == 0
    assert rank(legs, FusionWeights(dense=0, bm25=1), limit=3) == ["b", "c", "a"]


def test_a_leg_in_which_all_are_the_same_says_nothing() -> None:
    """Their differences are those of the engines' arithmetic, however large they look in standard deviations."""
    same = make_scored({"a": 0.5, "b": 0.5 * (1 + 4e-7), "c": 0.5 * (1 - 4e-7)})

    assert rank(LegHits(same, make_scored({"c": 2.0, "b": 1.0})), FusionWeights(dense=1, bm25=0.01)) == ["c", "b", "a"]


@pytest.mark.parametrize("method", METHODS)
def test_each_leg_keeps_its_score_and_absence(method: FusionMethod) -> None:
    """A passage that only one leg found has no score in the other."""
    legs = LegHits(make_hits(["a"]), make_hits(["b"]))
    fused = fuse_hits(legs, FusionWeights(dense=0.6, bm25=0.4, method=method), LIMIT)

    assert [(c.point_id, c.dense, c.bm25) for c in fused] == [("a", 1.0, None), ("b", None, 1.0)]


@pytest.mark.parametrize("method", METHODS)
def test_weights_decide_between_legs(method: FusionMethod) -> None:
    """With all the trust in one leg its order wins."""
    legs = LegHits(make_hits(["a", "b", "c"]), make_hits(["c", "b", "a"]))

    assert rank(legs, FusionWeights(dense=1, bm25=0, method=method)) == ["a", "b", "c"]
    assert rank(legs, FusionWeights(dense=0, bm25=1, method=method)) == ["c", "b", "a"]


IDS = st.lists(st.sampled_from("abcdefghij"), unique=True)
SCORES = st.dictionaries(st.sampled_from("abcdefghij"), st.floats(-1, 30))


@given(IDS, IDS, st.integers(1, 100), st.floats(0, 1))
def test_ranks_agree_with_a_reference(dense: list[str], bm25: list[str], k: int, weight: float) -> None:
    expected: dict[str, float] = {}
    for leg, trust in ((dense, weight), (bm25, 1 - weight)):
        for position, point_id in enumerate(leg):
            expected[point_id] = expected.get(point_id, 0) + trust / (k + position + 1)
    fused = fuse_hits(
        LegHits(make_hits(dense), make_hits(bm25)), FusionWeights(weight, 1 - weight, method="ranks", k=k), LIMIT
    )

    assert {one.point_id: one.fused for one in fused} == pytest.approx(expected)
    assert [one.point_id for one in fused] == sorted(expected, key=lambda one: (-expected[one], one))


@given(SCORES, SCORES, st.floats(0, 1), st.integers(1, 12))
def test_scores_find_everything_once_in_falling_order(
    dense: dict[str, float], bm25: dict[str, float], weight: float, limit: int
) -> None:
    """The union of the legs, without duplicates, best first but for ties, none below 0, whatever the scores are."""
    fused = fuse_hits(LegHits(make_scored(dense), make_scored(bm25)), FusionWeights(weight, 1 - weight), limit)

    values = [candidate.fused for candidate in fused]
    assert sorted(candidate.point_id for candidate in fused) == sorted(set(dense) | set(bm25))
    assert all(later - earlier < 1e-3 for earlier, later in pairwise(values))
    assert all(value >= 0 for value in values)


@given(SCORES, SCORES, st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_scale_of_a_leg_does_not_matter(
    dense: dict[str, float], bm25: dict[str, float], first: float, second: float
) -> None:
    """An embedding model with other cosines, or longer questions with higher BM25 scores, change nothing."""
    scaled = [
        make_scored({point_id: score * factor for point_id, score in leg.items()})
        for leg, factor in ((dense, first), (bm25, second))
    ]
    before = fuse_hits(LegHits(make_scored(dense), make_scored(bm25)), FusionWeights(), LIMIT)
    after = fuse_hits(LegHits(*scaled), FusionWeights(), LIMIT)

    assert {one.point_id: one.fused for one in after} == pytest.approx(
        {one.point_id: one.fused for one in before}, abs=1e-6
    )


@given(SCORES, SCORES, st.floats(0, 1), st.integers(1, 12))
def test_scores_agree_with_a_reference(
    dense: dict[str, float], bm25: dict[str, float], weight: float, limit: int
) -> None:
    """Ten lines of NumPy: whatever the legs found, how many they were asked for, and whether they were full."""
    ids = sorted(set(dense) | set(bm25))
    expected = np.zeros(len(ids))
    for leg, trust in ((dense, weight), (bm25, 1 - weight)):
        floor = min(leg.values()) if len(leg) >= limit else 0.0
        values = np.array([leg.get(point_id, floor) for point_id in ids])
        if len(ids) and values.std() > 1e-5 * np.abs(values).max():
            expected += trust * (values - values.min()) / values.std()
    fused = fuse_hits(LegHits(make_scored(dense), make_scored(bm25)), FusionWeights(weight, 1 - weight), limit)

    by_id = {one.point_id: one.fused for one in fused}
    assert [by_id[point_id] for point_id in ids] == pytest.approx(list(expected), abs=1e-6)
