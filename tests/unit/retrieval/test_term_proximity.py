"""Passages in which the question's words stand together come before those in which they are scattered."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.domain.fusion import Candidate
from services.retrieval.domain.term_proximity import WINDOW_TERMS, measure_phrases, measure_proximity, rescore
from shared.embedding.sparse import Bm25Encoder
from shared.vector_index.port import ChunkPayload

ENCODER = Bm25Encoder()
FILLER = " ".join(f"filler{chr(97 + n)}" for n in range(WINDOW_TERMS))
TERMS = st.lists(st.integers(0, 12), max_size=60)


def read(*texts: str) -> list[list[int]]:
    return [ENCODER.list_terms(text) for text in texts]


def test_terms_stand_in_order_without_stop_words_and_endings() -> None:
    """As the lexical leg knows them; figures stay whole, and scripts without spaces are parted."""
    (question,), (text,) = read("the lifting of cranes"), read("A crane lifts 1,250.5 tonnes")

    assert [ENCODER.encode_query(word).indices[:1] for word in ("lift", "crane")] == [[term] for term in question]
    assert text[:2] == question[::-1]
    assert len(text) == 4
    assert len(ENCODER.list_terms("起重机")) > 1
    assert len(set(ENCODER.list_terms("3.5 3.7 5.3 2,022 2,023 35"))) == 6


def test_words_side_by_side_win_over_the_same_words_apart() -> None:
    """All else being equal, and whatever the order in which they come."""
    (question,) = read("net income")
    scattered, near, together = read(
        f"income {FILLER} net", f"net gains in most years and income {FILLER}", f"net income {FILLER}"
    )
    for texts in ([scattered, near, together], [together, scattered, near]):
        scores = dict(zip(map(tuple, texts), rescore(question, texts, [1.0] * 3), strict=True))
        assert scores[tuple(together)] > scores[tuple(near)] > scores[tuple(scattered)]


def test_what_texts_say_in_place_of_a_question_lifts_them() -> None:
    """By that phrase of each entry of which most stands side by side; a phrase of one word is there or not."""
    (question,) = read("capex to sales")
    capex, sales = read("purchases of property and equipment", "additions", "of the"), read("net revenue")
    texts = read("Purchases of property", "additions to property and equipment", "net revenue", "equipment", "")

    assert measure_phrases([capex], texts) == [0.5, 1.0, 0.0, 0.0, 0.0]
    assert measure_phrases([capex, sales], texts) == [0.25, 0.5, 0.5, 0.0, 0.0]
    assert measure_phrases([capex, read("of the")], texts) == [0.5, 1.0, 0.0, 0.0, 0.0]
    assert measure_phrases([], texts) == [0.0] * 5
    plain, lifted = rescore(question, texts, [1.0] * 5), rescore(question, texts, [1.0] * 5, [capex, sales])
    assert [after - before for before, after in zip(plain, lifted, strict=True)] == [1.0, 2.0, 2.0, 0.0, 0.0]


def test_a_rare_word_weighs_more() -> None:
    """Of two words the one that few of these texts have says more."""
    (question,) = read("amber crane")
    rare, common, *others = measure_proximity(question, read("amber", "crane", "crane lifts", "crane stops", "crane"))

    assert rare.window > common.window
    assert {other.window for other in others} == {common.window}


def test_what_is_clear_already_stays_so() -> None:
    """Proximity decides between passages that fusion takes for nearly as good, and no others."""
    (question,) = read("net income")
    texts = read("net income", *["other words"] * 9)

    scores = rescore(question, texts, [0.0, 10.0, *[0.0] * 8])
    assert max(range(10), key=scores.__getitem__) == 1


def test_a_little_together_is_worth_little() -> None:
    """One word of a long question is no reason to put a passage before another, also where no other has even that."""
    (question,) = read("How did the gross margin of the company develop, as shown in the balance sheet, by percent?")
    texts = read("other words", "a sheet of paper", *["other words"] * 18)

    scores = rescore(question, texts, [1.0, *[0.0] * 19])
    assert max(range(20), key=scores.__getitem__) == 0


async def test_ranks_are_put_into_deviations_first() -> None:
    """20 hits that both legs agree on differ by hundredths, which proximity would outweigh whatever it found."""
    texts = [f"other words number {n}" for n in range(19)] + ["income is not what this is about, nor is it net"]
    candidates = [
        Candidate(str(n), ChunkPayload("d", "v", n, "T", 1, 0, 1, text), None, None, 2 / (60 + n + 1))
        for n, text in enumerate(texts)
    ]
    scores = await TermProximityReranker(ENCODER, fused_by_ranks=True).score("net income of each year", candidates, [])

    assert max(scores) == scores[0]
    assert scores[0] - scores[18] > 1
    assert scores[19] > scores[18]


@given(TERMS, st.lists(TERMS, max_size=6))
def test_features_are_shares(question: list[int], others: list[list[int]]) -> None:
    """Between 0 and 1; all of it where the text is the question; the best window is the best of all windows."""
    texts = [question[:WINDOW_TERMS], *others]
    found = measure_proximity(question, texts)

    assert all(0 <= proximity.pairs <= 1 for proximity in found)
    if 1 < len(question) <= WINDOW_TERMS:
        assert (found[0].pairs, found[0].window) == pytest.approx((1, 1))
    weights = weigh(question, texts)
    expected = [find_best_window(text, weights) / (sum(weights.values()) or 1) for text in texts]
    assert [proximity.window for proximity in found] == pytest.approx(expected)


def weigh(question: list[int], texts: list[list[int]]) -> dict[int, float]:
    counts = {term: sum(term in text for text in texts) for term in set(question)}
    return {term: math.log(1 + (len(texts) - count + 0.5) / (count + 0.5)) for term, count in counts.items()}


def find_best_window(text: Sequence[int], weights: dict[int, float]) -> float:
    """By looking at each."""
    windows = [set(text[first : first + WINDOW_TERMS]) for first in range(len(text))]
    return max((sum(weight for term, weight in weights.items() if term in window) for window in windows), default=0)
