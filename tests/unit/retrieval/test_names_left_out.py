"""Which words of a question are names of the one document that it is asked of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.names_left_out import MAX_WORDS, leave_out_names, list_terms_of_names
from shared.document_cards.words import list_name_words
from shared.registry.cards import Card, find_matches

CARDS: dict[str, Card] = {
    "nike-2018": {"nike": 1, "@converse": 0.5, "2018": 1, "10k": 1, "report": 0.2, "revenue": 0.7},
    "adobe-2018": {"adobe": 1, "2018": 1, "10k": 1, "report": 0.2},
    "boeing-2022": {"boeing": 1, "2022": 1, "10k": 1, "report": 0.2},
}


def leave_out(question: str, document_id: str = "nike-2018", cards: dict[str, Card] = CARDS) -> str:
    words = list_name_words(question)
    return leave_out_names(question, words, document_id, find_matches(cards, list_terms_of_names(words)))


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("What is Nike's revenue in FY2018?", "What is revenue in FY2018?"),
        ("Did NIKE sell Converse shoes?", "Did sell shoes?"),
        ("What did Nike pay to Adobe?", "What did pay to Adobe?"),
        ("Nike: which risks are new?", ": which risks are new?"),
    ],
)
def test_the_document_s_own_names_are_left_out(question: str, left: str) -> None:
    """Of its title and of its text; its periods stay, and what others are called by."""
    assert leave_out(question) == left


@pytest.mark.parametrize(
    "question",
    [
        "What is the revenue of the report?",  # not written as a name
        "Report the costs of 2018.",  # on all cards
        "What did Boeing build?",  # another one's
        "Nike?",
        "Who is Nike in 2018?",  # nothing but names and years
        "",
    ],
)
def test_what_names_nothing_stays_as_it_is(question: str) -> None:
    """To the letter: then nothing else is embedded."""
    assert leave_out(question) == question


def test_a_name_tells_nothing_apart_where_there_is_one_document() -> None:
    """Nor where it has no card, as documents of before."""
    question = "What does Nike sell?"
    assert leave_out(question, cards={"nike-2018": CARDS["nike-2018"]}) == question
    assert leave_out(question, "unknown") == question


@given(
    st.text(max_size=200) | st.lists(st.sampled_from(["Nike", "what", "Nike's", "(Converse)", " ", "ẞ"])).map(" ".join)
)
def test_only_words_are_taken_away(question: str) -> None:
    """Whatever is asked, what is left stands in the question in this order, and is not empty unless it was."""
    left = leave_out(question)
    letters = iter(question)
    assert left == question or all(letter in letters for letter in "".join(left.split()))
    assert bool(left.strip()) == bool(question.strip())


def test_a_long_question_is_not_asked_for_in_whole() -> None:
    """Redis serves nobody else meanwhile."""
    words = list_name_words(" ".join(f"Name{n}x" for n in range(1000)))
    assert len(list_terms_of_names(words)) == 2 * MAX_WORDS
