"""The same, written in another way, is the same to the lexical leg; what only looks like it stays apart."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.embedding.sparse import Bm25Encoder
from shared.written_forms import join_thousands, list_codes, list_forms, list_spellings, write_figure

BM25 = Bm25Encoder()


def weigh(question: str, passage: str) -> float:
    """The score without inverse document frequencies."""
    query = BM25.encode_query(question)
    asked = dict(zip(query.indices, query.values, strict=True))
    (vector,) = BM25.encode_passages([passage])
    return sum(asked.get(term, 0.0) * weight for term, weight in zip(vector.indices, vector.values, strict=True))


@pytest.mark.parametrize("asked", ["AX1234", "AX-1234", "AX 1234", "AX/1234", "ax-1234"])
@pytest.mark.parametrize("written", ["AX1234", "AX-1234", "AX 1234", "AX/1234", "AX_1234"])
def test_a_code_is_found_in_whatever_form_it_stands(asked: str, written: str) -> None:
    """And another one of the same kind is not taken for it."""
    others = f"{written[:-1]}7"

    assert weigh(f"How heavy is {asked}?", f"The pump {written}.") > weigh(
        f"How heavy is {asked}?", f"The pump {others}."
    )


@pytest.mark.parametrize("question", ["ISO9001", "COVID-19", "10K", "QB-307-b", "KD20-118"])
def test_parts_of_a_code_are_in_one_word_and_apart(question: str) -> None:
    ((joined, parts),) = list_codes(question)

    assert joined == "".join(parts) == re.sub(r"\W", "", question)


@pytest.mark.parametrize("text", ["state-of-the-art", "2018", "3.5", "1,034", "12/03/2024", "", "x" * 40 + "1"])
def test_words_and_figures_are_no_codes(text: str) -> None:
    """Nor is what is too long for one."""
    assert not list(list_codes(text))


@pytest.mark.parametrize("figure", ["1034", "1,034", "1.034", "1'034", "1’034", "1,034.00", "1.034,00"])
def test_a_figure_is_the_same_in_every_notation(figure: str) -> None:
    assert write_figure(figure) == "1034"


@pytest.mark.parametrize(
    "text", ["2018", "0.125", "3.5", "12.03.2024", "1,2345", "1,034,56", "v1.234", "10:30", "1 034", "100,20"]
)
def test_what_is_no_thousand_stays(text: str) -> None:
    assert join_thousands(text) == text


@given(st.text(st.sampled_from("0123456789,.'’ ax-"), max_size=40))
def test_joining_thousands_drops_nothing_but_signs_between_digits(text: str) -> None:
    joined = join_thousands(text)

    assert re.sub(r"[,.'’]", "", joined) == re.sub(r"[,.'’]", "", text)
    assert join_thousands(joined) == joined


@pytest.mark.parametrize(("one", "other"), [("Müller", "Mueller"), ("Größe", "Groesse"), ("Århus", "Aarhus")])
def test_two_letters_stand_for_one(one: str, other: str) -> None:
    """Both ways, and `ue` is none where German has no ü: Bauer, neue, Quelle."""
    assert weigh(one, f"Herr {other}") > 0
    assert weigh(other, f"Herr {one}") > 0
    assert not list(list_spellings("Bauer, neue Quelle"))


@pytest.mark.parametrize("asked", ["1034", "1,034", "1.034,00", "1'034"])
@pytest.mark.parametrize("written", ["1034", "1,034", "1,034.00", "1.034", "1'034"])
def test_a_figure_is_found_in_whatever_notation_it_stands(asked: str, written: str) -> None:
    """And not one that shares some of its digits."""
    assert weigh(f"Who paid {asked}?", f"He paid {written}.") > weigh(f"Who paid {asked}?", "He paid 2,034, or 1,035.")
    assert set(BM25.list_terms(asked)) == set(BM25.list_terms(written))


def test_a_figure_of_a_passage_of_before_is_found() -> None:
    """By its parts, with less weight."""
    before = BM25._english.embed_document("He paid 1,034.")

    assert set(BM25.encode_query("1,034").indices) > set(BM25.encode_query("1034").indices)
    assert len(set(BM25.encode_query("1,034").indices) & set(before.indices)) == 2


def test_a_part_of_a_german_compound_is_looked_for() -> None:
    """In texts in its language alone."""
    query = BM25.encode_query("Welche Kündigungsfrist gilt für die Wohnung?")
    german, english = BM25.encode_passages(["eine Frist von drei Monaten", "Frist"], ["de", "en"])

    assert set(query.indices) & set(german.indices)
    assert not set(query.indices) & set(english.indices)


@given(st.text(max_size=80))
def test_any_question_has_forms(question: str) -> None:
    """Each a word or more, and no term twice."""
    assert all(form.strip() and 0 < weight <= 1 for form, weight in list_forms(question))
    assert len(set(BM25.encode_query(question).indices)) == len(BM25.encode_query(question).indices)


def test_the_words_of_a_question_stay_what_they_are() -> None:
    """Forms come besides, and an English question without a code or a figure of a thousand has none."""
    assert not list(list_forms("How many people work for the company in May?"))
    assert set(BM25.encode_query("AX 1234").indices) > set(BM25.encode_query("AX").indices)
