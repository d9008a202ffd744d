"""The sentence of a passage that is marked for a reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.best_sentence import find_best_sentence
from shared.embedding.sparse import Bm25Encoder

ENCODER = Bm25Encoder()
TEXT = (
    "The crane lifts nine tonnes, as Dr. Smith said. It is yellow,\nas many cranes of this builder are."
    " The price of the crane is 9,000 euro. Otters eat fish."
)
TABLE = "\n".join(
    ["Total revenues 5 4", *(f"Revenues of unit {n} {n * 7} {n * 5}" for n in range(30)), "Net income 2 1"]
)


def find(question: str, text: str) -> str | None:
    span = find_best_sentence(ENCODER.encode_query(question).indices, text, ENCODER.encode_passages)
    return span and text[slice(*span)]


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("What is the price of the crane?", "The price of the crane is 9,000 euro."),
        ("What do otters eat?", "Otters eat fish."),
        ("Which of the builder's cranes are yellow?", "It is yellow,\nas many cranes of this builder are."),
        ("What did Dr. Smith say about lifting?", "The crane lifts nine tonnes, as Dr. Smith said."),
        ("How old are zebras?", None),
    ],
)
def test_it_has_most_of_the_question(question: str, sentence: str | None) -> None:
    """By rare words rather than by those that every sentence has, whatever their endings; none where there is none."""
    assert find(question, TEXT) == sentence


def test_of_a_table_it_is_a_row() -> None:
    """Nothing ends a sentence there."""
    assert find("What was the net income?", TABLE) == "Net income 2 1"


def test_a_passage_of_one_sentence_needs_no_mark() -> None:
    """All of it is the best."""
    assert find("What do otters eat?", "Otters eat fish.") is None


@given(st.text(max_size=300), st.text(st.sampled_from("Ab1 .?:\n•-€crane"), max_size=900))
def test_it_is_a_part_of_the_text(question: str, text: str) -> None:
    """Whatever either holds, and it has no white space around it."""
    sentence = find(question, text)
    assert sentence is None or (sentence and sentence == sentence.strip() and sentence in text)
