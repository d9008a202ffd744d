"""What vectors of another model say is not believed, whatever it is."""

from collections.abc import Sequence

import pytest

from services.retrieval.domain.comparable_vectors import find_others, join_models, leave_out_others, make_scale
from services.retrieval.domain.fusion import FusionWeights, fuse_hits
from shared.vector_index.port import ChunkPayload, Hit, LegHits
from shared.version_names import is_embedded_by, name_version

OURS, OTHER = "0123abcd", "ffffffff"
LIMIT = 4


def make_hit(name: str, score: float, model_id: str) -> Hit:
    version = name_version("a" * 64, f"5.8.{model_id}", 1)
    return Hit(name, score, ChunkPayload(name, version, 0, "T", 1, 0, 1, "x"))


def fuse(legs: LegHits) -> dict[str, tuple[float | None, float]]:
    comparable, told = leave_out_others(legs, find_others(legs, OURS))
    fused = fuse_hits(comparable, FusionWeights(), LIMIT, told=told)
    return {one.point_id: (one.dense, one.fused) for one in fused}


def list_ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.point_id for hit in hits]


def test_a_version_names_the_model_of_its_vectors() -> None:
    version = name_version("a" * 64, f"5.8.{OURS}", 3)

    assert is_embedded_by(version, OURS)
    assert not is_embedded_by(version, OTHER)
    assert not is_embedded_by("of-an-older-release", OURS)
    assert not is_embedded_by("", OURS)


def test_with_one_model_nothing_changes() -> None:
    legs = LegHits([make_hit("a", 0.5, OURS), make_hit("b", 0.4, OURS)], [make_hit("c", 3.0, OURS)])

    assert leave_out_others(legs, find_others(legs, OURS)) == (legs, legs)


def test_a_passage_without_a_vector_counts_as_the_least_near() -> None:
    """One of another length is in no dense leg, and its words say as much as those of the others."""
    legs = LegHits(
        [make_hit("a", 0.5, OURS), make_hit("b", 0.4, OURS)], [make_hit("b", 3.0, OURS), make_hit("c", 3.0, OTHER)]
    )

    found = fuse(legs)

    assert found["c"] == (None, found["b"][1])


def test_a_cosine_to_another_models_vector_moves_nothing() -> None:
    """However high it is; the passage is found by its words, and not at all without them."""
    ours = [make_hit("a", 0.5, OURS), make_hit("b", 0.3, OURS)]
    words = [make_hit("c", 3.0, OTHER), make_hit("b", 2.0, OURS)]
    high = fuse(LegHits([make_hit("c", 0.99, OTHER), make_hit("d", 0.98, OTHER), *ours], words))
    low = fuse(LegHits([*ours, make_hit("d", 0.01, OTHER), make_hit("c", -0.9, OTHER)], words))

    assert high == low
    assert set(high) == {"a", "b", "c"}
    assert high["c"][0] is None


def test_where_all_are_of_another_model_words_alone_decide() -> None:
    legs = LegHits(
        [make_hit("a", 0.9, OTHER), make_hit("b", 0.1, OTHER)], [make_hit("b", 3.0, OTHER), make_hit("c", 1.0, OTHER)]
    )
    comparable, told = leave_out_others(legs, find_others(legs, OURS))

    assert told.dense == []
    assert list_ids(comparable.dense) == ["b", "c"]
    assert list(fuse(legs)) == ["b", "c"]


def test_cosines_of_two_models_are_as_high_as_they_stand_out_among_unrelated_ones() -> None:
    """One model finds any two texts near to each other, the other one none."""
    scale = make_scale(former=[0.70, 0.72, 0.74], own=[0.0, 0.1, 0.2])

    assert [scale(cosine) for cosine in (0.72, 0.74, 0.86)] == pytest.approx([0.1, 0.2, 0.8])
    assert make_scale(former=[0.7, 0.7], own=[0.1, 0.1])(0.9) == pytest.approx(0.1)


def test_each_passage_is_compared_by_the_model_that_has_embedded_it() -> None:
    """And by no other, however near that would find it; what a third one has embedded counts as the least near."""
    legs = LegHits(
        [make_hit("old", 0.99, OTHER), make_hit("a", 0.5, OURS), make_hit("third", 0.4, "77777777")],
        [make_hit("third", 2.0, "77777777"), make_hit("words", 1.0, OTHER)],
    )
    former = [make_hit("a", 0.95, OURS), make_hit("old", 0.9, OTHER), make_hit("far", 0.6, OTHER)]

    fused, told = join_models(legs, former, OTHER, OURS, lambda cosine: cosine - 0.3)

    scores = {hit.point_id: hit.score for hit in fused.dense}
    assert scores == pytest.approx({"old": 0.6, "a": 0.5, "far": 0.3, "third": 0.3, "words": 0.3})
    assert list_ids(fused.dense)[:3] == ["old", "a", "far"]
    assert {hit.point_id: hit.score for hit in told.dense} == {"a": 0.5, "old": 0.9, "far": 0.6}
    assert fused.bm25 == told.bm25 == legs.bm25
    assert find_others(legs, OURS, OTHER) == {"third"}
