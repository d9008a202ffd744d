"""Cards of documents: what each may be called by."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.card import FREQUENT_NAME_WEIGHT, MAX_TERMS, NAME_WEIGHT, WORD_WEIGHT, make_card
from services.ingest.domain.pages import Page
from services.ingest.domain.title import read_filename


def read(filename: str, title: str = "", *texts: str) -> dict[str, float]:
    pages = [Page(number, text) for number, text in enumerate(texts, 1)]
    return make_card(filename, title or read_filename(filename), pages)


def test_a_file_that_says_whose_it_is_and_of_when() -> None:
    """Company, year, quarter and form are names, also where the text never writes them as the file does."""
    card = read("BESTBUY_2024Q2_10Q.pdf", "", "FORM 10-Q\nBEST BUY CO., INC.")

    for term in ("bestbuy", "2024", "q2", "2024q2", "10q"):
        assert card[term] == NAME_WEIGHT, term


def test_a_word_that_the_text_writes_small_is_no_name() -> None:
    """The handbook is one of many; an address writes a name in small letters and takes nothing from it."""
    text = "People of Brimsund read this handbook. Ask Brimsund at brimsund.com. All of Brimsund follow the handbook."
    card = read("brimsund-handbook.pdf", "Brimsund Handbook", text)

    assert card["brimsund"] == NAME_WEIGHT
    assert card["handbook"] == WORD_WEIGHT
    assert card["=brimsundhandbook"] > WORD_WEIGHT


def test_names_of_several_words() -> None:
    """Found in one word, too, or by first letters; one word of several is less than a name."""
    text = "At Foot Locker we know. Foot Locker grows. With Foot Locker and Foot Locker."
    card = read("Foot Locker.pdf", "", text)

    assert card["+footlocker"] == NAME_WEIGHT
    assert 0.6 < card["foot"] == card["locker"] < NAME_WEIGHT
    assert card["~fl"] > 0


def test_names_and_years_of_the_text() -> None:
    """Of a file whose name says nothing: who and when is often in the text, and a day on the first page."""
    text = "The year ended May 31, 2019. " + "Sales of Nike rose in 2019 and those of Nike in 2018. " * 6
    card = read("scan0001.pdf", "Annual report", text)

    assert card["@nike"] == FREQUENT_NAME_WEIGHT
    assert card["2019"] >= 0.5
    assert "may" not in card


def test_a_sentence_is_no_title() -> None:
    """Its words name nothing; that it was taken for a title is no fault of the card's."""
    title = "The Panthers defense gave up just 308 points, ranking sixth in the league, while also leading everybody"
    title += " in takeaways and sacks this season"
    assert not {"panther", "defense", "league"} & read("1.pdf", title, title).keys()


@given(st.text(max_size=80), st.text(max_size=120), st.lists(st.text(max_size=400), max_size=3))
def test_any_document_has_a_card(filename: str, title: str, texts: list[str]) -> None:
    """Small, of words without spaces, with weights of 0 to 1."""
    card = read(filename, title, *texts)

    assert len(card) <= MAX_TERMS
    assert all(term and not any(map(str.isspace, term)) and 0 < weight <= 1 for term, weight in card.items())


def test_pages_may_be_none() -> None:
    """A document without any page text is never published, but its card could be made."""
    pages: list[Page] = []
    assert make_card("a_2020.pdf", "a", pages)["2020"] == 1
