"""Passages come apart into sentences, rows and items that know what they stand under, and lose nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.lines import Kind
from services.gateway.domain.sentences import split_sentences
from services.gateway.domain.units import MAX_UNIT_CHARS, split_units

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
    return [unit.text for unit in split_units(text) if unit.kind is kind]


def test_wrapped_lines_are_joined_and_rows_stay_apart() -> None:
    """A sentence over two visual lines is one unit, a row is one unit each."""
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
    row = next(unit for unit in split_units(PRICES) if unit.text.startswith("Large"))
    assert row.header == "Plan Monthly fee Reply within Calls"
    assert row.heading == "2. Pricing and support"


def test_facts_without_a_header_have_none() -> None:
    """The first fact of a two-column table is not the title of the others."""
    units = split_units("Company\nFounded 1991 in Jena\nHead Dr. Ada Wessling\nStaff 163\nMotto Light and truth")
    assert next(unit.text for unit in units if unit.kind is Kind.ROW) == "Founded 1991 in Jena"
    assert {unit.header for unit in units} == {""}
    assert units[0].kind is Kind.HEADING


def test_the_title_after_a_table_ends_it() -> None:
    """The rows below a second title do not get the first table's header."""
    text = (
        "Code Meaning Remedy\nE1 Lamp off Call\nE2 Full Delete\nE3 Hot Wait\nPhone numbers\nDesk 555 0101\nLab 555 0102"
    )
    units = {unit.text: unit for unit in split_units("Errors are shown as codes.\n" + text)}
    assert units["E2 Full Delete"].header == "Code Meaning Remedy"
    assert units["Desk 555 0101"].header == ""
    assert units["Desk 555 0101"].heading == "Phone numbers"


def test_a_title_between_two_tables_is_found() -> None:
    """Also where the rows above are facts and no sentence stands between them."""
    text = "The park\nOpen 20 March\nHead Ada Wessling\nPrices per night\nPitch Low season High season Guests\n"
    units = {unit.text: unit for unit in split_units(text + "Tent £16 £29 6\nVan £21 £38 6\nCabin £64 £99 4")}
    assert units["Van £21 £38 6"].heading == "Prices per night"
    assert units["Van £21 £38 6"].header == "Pitch Low season High season Guests"
    assert units["Head Ada Wessling"].kind is Kind.ROW


def test_items_stand_under_their_introduction() -> None:
    """A bullet over two lines is one unit."""
    text = (
        "Rules\nEveryone keeps to these rules:\n• Clean your hands at the door and once more after leaving the\n"
        "bay.\n• No flowers.\n1. Sign in."
    )
    items = [unit for unit in split_units(text) if unit.kind is Kind.ITEM]
    assert [item.text for item in items] == [
        "• Clean your hands at the door and once more after leaving the bay.",
        "• No flowers.",
        "1. Sign in.",
    ]
    assert {item.lead for item in items} == {"Everyone keeps to these rules:"}


def test_answers_know_their_question() -> None:
    """As in a list of frequently asked questions."""
    units = split_units("Questions\nCan it swim?\nNo. Water is bad for it.\nCan it fly?\nYes.")
    assert [(unit.text, unit.lead) for unit in units if unit.kind is Kind.SENTENCE] == [
        ("No.", "Can it swim?"),
        ("Water is bad for it.", "Can it swim?"),
        ("Yes.", "Can it fly?"),
    ]


def test_context_carries_over_to_the_next_passage() -> None:
    """A chunk may end between a question and its answer."""
    before = split_units("Questions\nCan it swim?")[-1]
    assert split_units("No, never.", before=before)[0].lead == "Can it swim?"


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
    """The units in a row are the text, but for white space; none is empty or overlong."""
    units = split_units(text)
    assert "".join("".join(unit.text.split()) for unit in units) == "".join(text.split())
    assert all(0 < len(unit.text) <= MAX_UNIT_CHARS for unit in units)


@pytest.mark.parametrize("text", ["a" * 200_000, "1. " * 70_000, "x\n" * 100_000, "A. " * 70_000, "(" * 200_000])
def test_long_odd_text_takes_no_time(text: str) -> None:
    """No pattern backtracks."""
    started = time.perf_counter()
    split_units(text)
    assert time.perf_counter() - started < 5
