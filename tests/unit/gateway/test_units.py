"""Passages come apart into sentences, rows and items that know what they stand under, and lose nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.extractive.lines import Kind
from services.gateway.extractive.sentences import split_sentences
from services.gateway.extractive.units import MAX_UNIT_CHARS, split_units

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
    assert time.perf_counter() - started < 20


def test_labels_are_joined_with_the_values_below_them() -> None:
    """As definition lists and name cards come out of a PDF."""
    facts = "Facts\nFounded\n9 May 2015 in Graz\nTeam\n214 employees\nRevenue\n€38.7 million in 2025\nSeat\nGraz"
    assert texts_of(facts, Kind.ROW) == [
        "Founded 9 May 2015 in Graz",
        "Team 214 employees",
        "Revenue €38.7 million in 2025",
        "Seat Graz",
    ]


def test_items_of_a_plain_list_are_not_joined_in_pairs() -> None:
    """They are all alike, labels and values are not."""
    box = "In the box\nCarrying case\nTwo batteries\nHex key\nTripod head\nPower cord\nSpare cap"
    assert texts_of(box, Kind.ROW) == box.splitlines()[1:]


def test_prose_in_a_narrow_column_is_joined() -> None:
    """Its lines are far from full for the page, but not for the column."""
    column = (
        "Contact\nThe company was started in 2014 by Mikkel\nAagaard and Leonor Quintas after they\nhad mapped a cliff."
    )
    wide = "x" * 110
    assert "by Mikkel Aagaard and Leonor Quintas after they had mapped a cliff." in " ".join(
        unit.text for unit in split_units(column, width=len(wide))
    )


def test_a_line_that_cannot_end_there_goes_on() -> None:
    """After a comma, a preposition or the prefix of a phone number."""
    units = split_units(
        "Formats\nImported as KML or\nGeoJSON.\nHelp: a@b.example, +45\n70 55 01 40\nSeat Leeds", width=100
    )
    assert [unit.text for unit in units[1:]] == [
        "Imported as KML or GeoJSON.",
        "Help: a@b.example, +45 70 55 01 40",
        "Seat Leeds",
    ]


def test_a_row_whose_last_cell_asks_is_a_row() -> None:
    """It holds facts; a question in a list of questions holds none."""
    rows = "Departments\n2 Water Dr Ada Quist 29 What do rivers carry?\n4 Floods Dr Bo Lind 31 When will it come?"
    assert texts_of(rows, Kind.ROW) == rows.splitlines()[1:]


@pytest.mark.parametrize("header", ["Solo Team Business Enterprise", "Measure 2023 2024 2025"])
def test_names_and_years_head_columns(header: str) -> None:
    """Also without a word above the labels."""
    table = f"Plans\n{header}\nPrice per user €12 €29 €54 €90\nUsers 1 25 200 900\nSign-on – – Yes Yes\nCalls 1 2 3 4"
    assert {unit.header for unit in split_units(table) if unit.kind is Kind.ROW} == {header}
