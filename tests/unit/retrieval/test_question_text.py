"""Questions as they are searched for."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.text import clean_text
from services.retrieval.domain.question_text import clean_question

PLAIN = "Wie lang ist die Kündigungsfrist in Straße 5?"


@pytest.mark.parametrize(
    "question",
    [
        unicodedata.normalize("NFD", PLAIN),
        PLAIN.replace("gung", "\u00adgung\u00ad"),
        PLAIN.replace(" ", " \u200b"),
        f"\ufeff{PLAIN}\u200e",
        PLAIN.replace("Stra", "Ｓｔｒａ").replace("5?", "５？"),
    ],
)
def test_a_question_is_the_same_however_it_was_copied_or_typed(question: str) -> None:
    """With what nobody sees in it, with accents apart, in wide letters."""
    assert clean_question(question) == PLAIN


@given(st.text(st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc"), max_codepoint=0x3000), max_size=60))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    """And a question that is copied from a page's text is left as it is."""
    assert clean_question(clean_question(text)) == clean_question(text)
    assert clean_question(clean_text(text)) == clean_text(text)
