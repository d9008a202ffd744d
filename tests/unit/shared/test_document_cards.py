"""The terms of cards: periods however they are written, and words in one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.document_cards.periods import find_periods, find_years
from shared.document_cards.words import (
    find_codes,
    find_files,
    join_words,
    list_words,
    make_term,
    name_file,
    quote_words,
    split_pieces,
)
from shared.embedding.segments import part_passage

YEARS = st.integers(1970, 2069)
QUARTERS = st.integers(1, 4)
ORDINALS = ("first", "second", "third", "fourth")


@given(YEARS)
def test_a_year_is_the_same_however_it_is_written(year: int) -> None:
    """In a question, as a fiscal year of four digits or two, in the name of a file, as a day."""
    short = f"{year % 100:02}"
    for text in (
        f"in {year}?",
        f"FY{year}",
        f"FY {year}'s",
        f"fiscal year {year}",
        f"ACME_{year}_10K",
        f"{year}-05-20",
    ):
        assert list(find_periods(text)) == [str(year)], text
    for text in (f"FY{short}", f"FY'{short}", f"fiscal {short}", f"ADBE 10-K FY{short}"):
        assert find_periods(text)[str(year)].fiscal, text


@given(YEARS, QUARTERS)
def test_a_quarter_is_the_same_however_it_is_written(year: int, quarter: int) -> None:
    """With its year before or behind it, in words, glued together, and with two digits."""
    short, ordinal = f"{year % 100:02}", ORDINALS[quarter - 1]
    texts = (
        f"Q{quarter} of FY{year}",
        f"Q{quarter} {year}",
        f"Q{quarter}{year}",
        f"Q{quarter}'{year}",
        f"{quarter}Q{short}",
        f"{quarter}Q {year}",
        f"FY{year}Q{quarter}",
        f"FY{short}Q{quarter}",
        f"ACME_{year}Q{quarter}_10Q",
        f"the {ordinal} quarter of fiscal {year}",
        f"{ordinal.title()}-Quarter {year} Results",
    )
    for text in texts:
        found = find_periods(text)
        assert found.keys() == {str(year), f"q{quarter}", f"{year}q{quarter}"}, text
        assert found[f"{year}q{quarter}"].fiscal


def test_a_quarter_belongs_to_the_year_beside_it() -> None:
    """And not to the other one of a comparison; the halves of a year are told, too."""
    found = find_periods("between FY 2023 and Q2 of FY2024")
    assert found.keys() == {"2023", "2024", "q2", "2024q2"}
    assert find_periods("H1 2021 and the second half of 2021").keys() == {"2021", "h1", "2021h1", "h2", "2021h2"}
    assert find_periods("Prospectus 2026/27").keys() == {"2026", "2027"}
    for ordinal in ("firſt", "fırst", "FİRST", "1ſt"):  # old prints, and Turkish ones
        assert find_periods(f"the {ordinal} quarter of 2020").keys() == {"2020", "q1", "2020q1"}


@pytest.mark.parametrize(
    "text",
    [
        "$2,018",
        "$2018",
        "12018",
        "20181",
        "2018.5",
        "19,500",
        "10-Q",
        "Q5 plan",
        "IQ 2",
        "2018 %",
        "H3",
        "FY 2 stores",
        "",
    ],
)
def test_other_figures_are_no_periods(text: str) -> None:
    """Amounts, shares, forms, and parts that no year has."""
    assert find_periods(text) == {}


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    """Whatever it is, every term is a word without spaces, and quick years are among all."""
    periods = find_periods(text)
    assert set(find_years(text)) <= periods.keys()
    words = list_words(text)
    terms = [*periods, *find_codes(text), *quote_words(words), *(word.term for word in words if word.term)]
    terms += [joined for joined, _ in join_words(words, text, most=3)]
    assert all(term.isalnum() for term in terms)


@given(st.from_regex(r"[A-Za-z]{4,12}", fullmatch=True))
def test_a_word_is_the_same_with_other_letters_and_a_possessive(word: str) -> None:
    """Capitals and the person's s make no difference."""
    assert make_term(word.upper()) == make_term(word.lower()) == make_term(f"{word}'s") == make_term(f"{word}’s")


def test_words_in_one_form() -> None:
    """Plurals, accents, ampersands; small words and figures name nothing."""
    words = ["Handbooks", "Nestlé", "AT&T", "3M", "Business", "the", "2018", "Inc", "x", "a" * 33]
    terms = ["handbook", "nestle", "att", "3m", "business", "", "", "", "", ""]
    assert [make_term(word) for word in words] == terms
    assert [word.raw for word in list_words("iPhone sales of AMD and Apple") if word.marked] == ["iPhone", "AMD"]


def test_what_stands_for_several_words() -> None:
    """Names in one word, codes with hyphens, parts of a word, quoted titles."""
    text = "Does Foot Locker's 10-K and the COVID-19 well-being handbook"
    joined = [term for term, _ in join_words(list_words(text), text, most=2)]
    assert "footlocker" in joined
    assert list(find_codes(text)) == ["10k", "covid19"]
    assert split_pieces("PepsiCo2022") == ["pepsi"]
    assert "franchisehandbook" in quote_words(list_words("the franchise and the handbook"))


@pytest.mark.parametrize(
    ("filename", "question"),
    [
        ("report.pdf", "What does report.pdf say?"),
        ("2019.pdf", "costs in 2019.PDF?"),
        ("Annual Report.pdf", 'fuel in "annual report.pdf"'),
        ("contract_final_FINAL(2).PDF", "fuel (see drafts/contract_final_FINAL(2).pdf)"),
        ("U\u0308ber uns.pdf", "Was steht in Über uns.pdf?"),
        ("الميزانية.pdf", "fuel in الميزانية.pdf"),
        ("契約書.pdf", "契約書.pdfの金額"),
        ("a.pdf.pdf", "what is in a.pdf.pdf"),
        ("INV_2021_08.pdf", "Who wrote INV_2021_08?"),
        ("minutes-2021-03-11.pdf", "the minutes 2021-03-11"),
        ("chapter2.pdf", "fuel in Chapter 2"),
    ],
)
def test_a_file_is_called_by_its_whole_name(filename: str, question: str) -> None:
    """With `.pdf`, or as words with letters and digits, however they are parted."""
    assert name_file(filename) in [*find_files(question, marked=True), *find_files(question, marked=False)]


def test_words_alone_are_no_name_of_a_file() -> None:
    """Nor figures: every question would have the whole name of some file, as `report`, `fuel` or `2019`."""
    assert not [*find_files("What does the report say of fuel in 2019, as a pdf?", marked=True)]
    found = set(find_files("What does the report say of fuel in 2019, as a pdf?", marked=False))
    assert not found & {"/report", "/fuel", "/2019"}
    assert name_file(".pdf") == name_file("_.pdf") == ""


def test_scripts_without_spaces_are_parted() -> None:
    """A title is not one long word."""
    assert "年度" in [word.term for word in list_words(part_passage("年度报告"))]
