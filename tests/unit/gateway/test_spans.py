"""Passages come apart into sentences, rows and items that know what they stand under, and lose nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.extractive.lines import Kind
from services.gateway.extractive.spans import MAX_SPAN_CHARS, split_spans
from shared.sentences import split_sentences

PRICES = """2. Pricing and support
We offer three plans. All of them include the device, an introduction for your staff and access to our
portal.
Plan Monthly fee Reply within Calls
Small €10 2 days 100
Medium €25 8 hours 500
Large €90 1 hour, 24/7 Unlimited
Contacts
Routine questions go to help@example.org.
"""


def texts_of(text: str, kind: Kind) -> list[str]:
    return [span.text for span in split_spans(text) if span.kind is kind]


def test_wrapped_lines_are_joined_and_rows_stay_apart() -> None:
    """A sentence over two visual lines is one span, a row is one span each."""
    assert texts_of(PRICES, Kind.SENTENCE) == [
        "We offer three plans.",
        "All of them include the device, an introduction for your staff and access to our portal.",
        "Routine questions go to help@example.org.",
    ]
    assert texts_of(PRICES, Kind.ROW) == [
        "Small €10 2 days 100",
        "Medium €25 8 hours 500",
        "Large €90 1 hour, 24/7 Unlimited",
    ]


def test_a_row_knows_its_header_and_section() -> None:
    """Without them a row answers nothing."""
    row = next(span for span in split_spans(PRICES) if span.text.startswith("Large"))
    assert row.header == "Plan Monthly fee Reply within Calls"
    assert row.heading == "2. Pricing and support"


def test_facts_without_a_header_have_none() -> None:
    """The first fact of a two-column table is not the title of the others."""
    spans = split_spans("Company\nFounded 1991 in Jena\nHead Dr. Ada Wessling\nStaff 163\nMotto Light and truth")
    assert next(span.text for span in spans if span.kind is Kind.ROW) == "Founded 1991 in Jena"
    assert {span.header for span in spans} == {""}
    assert spans[0].kind is Kind.HEADING


def test_a_table_may_begin_below_the_rows_of_another() -> None:
    """Passages are joined from neighbours, and a head amid rows is no answer, but what names their cells."""
    facts = "Beds 64\nTheatres 5\nDirector Eva Lindholm\nOur wards\n"
    wards = "Spine Henrik Solberg 2\nHand Polona Jereb 2\nRadiology Luca Benedetti 0\n"
    headers = {span.text: (span.kind, span.header) for span in split_spans(f"{facts}Ward Lead Floor\n{wards}")}
    assert headers["Ward Lead Floor"][0] is Kind.HEADING
    assert headers["Radiology Luca Benedetti 0"] == (Kind.ROW, "Ward Lead Floor")
    assert headers["Theatres 5"] == (Kind.ROW, "")


def test_items_stand_under_their_introduction() -> None:
    """A bullet over two lines is one span."""
    text = (
        "Rules\nEveryone keeps to these rules:\n• Clean your hands at the door and once more after leaving the\n"
        "bay.\n• No flowers.\n1. Sign in."
    )
    items = [span for span in split_spans(text) if span.kind is Kind.ITEM]
    assert [item.text for item in items] == [
        "• Clean your hands at the door and once more after leaving the bay.",
        "• No flowers.",
        "1. Sign in.",
    ]
    assert {item.lead for item in items} == {"Everyone keeps to these rules:"}


def test_answers_know_their_question() -> None:
    """As in a list of frequently asked questions."""
    spans = split_spans("Questions\nCan it swim?\nNo. Water is bad for it.\nCan it fly?\nYes.")
    assert [(span.text, span.lead) for span in spans if span.kind is Kind.SENTENCE] == [
        ("No.", "Can it swim?"),
        ("Water is bad for it.", "Can it swim?"),
        ("Yes.", "Can it fly?"),
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith met Mr. J. R. Doe in St. Ives. They left.", 2),
        ("It costs 4.50 today. Tomorrow 5.", 2),
        ("Is it open? Yes! Come in.", 3),
        ("He said “no.” Then he left.", 2),
        ("See e.g. Figure 2. It is blue.", 2),
        ("no stop at all", 1),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, count: int) -> None:
    """Abbreviations and decimals end none."""
    assert len(split_sentences(text)) == count


@given(st.text(max_size=400) | st.text(st.sampled_from("Ab1 .?:\n•-€"), max_size=200))
def test_nothing_is_lost_or_invented(text: str) -> None:
    """The spans in a row are the text, but for white space; none is empty or overlong."""
    spans = split_spans(text)
    assert "".join("".join(span.text.split()) for span in spans) == "".join(text.split())
    assert all(0 < len(span.text) <= MAX_SPAN_CHARS for span in spans)


def test_items_of_a_plain_list_are_not_joined_in_pairs() -> None:
    """They are all alike, labels and values are not."""
    box = "In the box\nCarrying case\nTwo batteries\nHex key\nTripod head\nPower cord\nSpare cap"
    assert texts_of(box, Kind.ROW) == box.splitlines()[1:]


def test_a_row_whose_last_cell_asks_is_a_row() -> None:
    """It holds facts; a question in a list of questions holds none."""
    rows = "Departments\n2 Water Dr Ada Quist 29 What do rivers carry?\n4 Floods Dr Bo Lind 31 When will it come?"
    assert texts_of(rows, Kind.ROW) == rows.splitlines()[1:]


@pytest.mark.parametrize("header", ["Solo Team Business Enterprise", "Measure 2023 2024 2025"])
def test_names_and_years_head_columns(header: str) -> None:
    """Also without a word above the labels."""
    table = f"Plans\n{header}\nPrice per user €12 €29 €54 €90\nUsers 1 25 200 900\nSign-on – – Yes Yes\nCalls 1 2 3 4"
    assert {span.header for span in split_spans(table) if span.kind is Kind.ROW} == {header}
