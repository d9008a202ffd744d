"""Columns that a file prints row by row are read one after the other; tables stay as they are."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given

from services.ingest.domain.columns import order_columns
from services.ingest.domain.pages import Layout
from tests.printed_pdfs import ADVANCE, Print, print_pdf
from tests.unit.ingest.printed_pages import printed_pages
from tests.unit.ingest.test_pdf_process import parse

CRANE = (
    "The crane lifts forty tonnes",
    "at ten metres and less when",
    "its arm is longer. Before it",
    "is used somebody looks after",
    "the brakes, the ropes and",
    "the hooks, and writes down",
    "what has been found.",
    "Ropes with broken wires are",
    "replaced by the maker.",
)
BATTERY = (
    "The battery has a charge for",
    "twelve hours of work and is",
    "full again after three. In",
    "winter both take longer, as",
    "the cold slows it down, and",
    "a heater keeps it above the",
    "freezing point over night.",
)
OFFICE = (
    "Parts are sent by the office",
    "in the harbour, which is open",
    "on all days of the week but",
    "closes at noon on Saturdays",
    "and on the day before the",
    "holidays in the summer.",
)


def print_rows(columns: Sequence[Sequence[str]], *, width: int = 200, top: int = 700) -> list[Print]:
    """Row by row, each from left to right."""
    return [
        Print(50 + width * column, top - 12 * row, line)
        for row, lines in enumerate(zip_longest(*columns))
        for column, line in enumerate(lines)
        if line
    ]


async def read(prints: Sequence[Print], folder: Path) -> tuple[str, Layout]:
    parsed = await parse(print_pdf(prints, width=700), folder)
    text, layout = parsed.read_page(1).text, parsed.read_layout(1)
    assert [text[word.start : word.end] for word in layout.words] == text.split()
    return text, layout


@pytest.mark.parametrize("columns", [(CRANE, BATTERY), (BATTERY, CRANE, OFFICE)])
async def test_columns_are_read_one_after_the_other(columns: Sequence[Sequence[str]], tmp_path: Path) -> None:
    """Below what stands over all of them, and with each word's box where it is printed."""
    title = "A manual for the crane of the harbour, its battery and for those who look after both"
    text, layout = await read([Print(50, 730, title), *print_rows(columns)], tmp_path)

    assert text.splitlines() == [title, *(line for column in columns for line in column)]
    last = next(word for word in layout.words if word.start == text.index(columns[-1][-1]))
    assert last.box.left == pytest.approx(50 + 200 * (len(columns) - 1), abs=3)
    assert last.box.bottom == pytest.approx(800 - 700 + 12 * (len(columns[-1]) - 1), abs=4)


async def test_lines_of_three_columns_need_not_stand_beside_each_other(tmp_path: Path) -> None:
    """A gap before a paragraph shifts all that is below it: then two of the columns are lines of any width."""
    columns = (BATTERY * 2, CRANE * 2, OFFICE * 2)
    prints = [
        Print(50 + 200 * column, 700 - 12 * row - 6 * ((row + 2 * column) // 5), line)
        for column, lines in enumerate(columns)
        for row, line in enumerate(lines)
    ]

    text, _ = await read(sorted(prints, key=lambda piece: (-piece.bottom, piece.left)), tmp_path)

    assert text.splitlines() == [line for column in columns for line in column]


async def test_a_column_that_is_printed_first_stays_so(tmp_path: Path) -> None:
    """Nothing is done to files that have them in order."""
    in_order = sorted(print_rows([CRANE, BATTERY]), key=lambda piece: piece.left)

    assert (await read(in_order, tmp_path))[0].splitlines() == [*CRANE, *BATTERY]


TABLES: dict[str, list[Sequence[str]]] = {
    "figures": [
        ("Revenue of the year", "Cost of goods sold", "Income before taxes", "Taxes on income", "Net income", "Shares"),
        ("4,200 3,100 2,050", "1,900 1,400 1,300", "2,300 1,700 750", "700 510 225", "1,600 1,190 525", "10 10 10"),
    ],
    "names": [
        ("Jane Doe and her deputy", "John Smith", "Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra"),
        ("Chair of the whole board", "Chief Executive", "Finances", "Machines", "Compilers", "Algorithms and proofs"),
    ],
    "terms": [
        ("boom", "hook", "jib", "mast", "outrigger", "winch"),
        [
            "the long arm that carries the load",
            "where the load is fastened to",
            "an arm at the end of the boom",
            "what holds the boom upright",
            "a foot that keeps it from tilting",
            "a drum that winds the rope up",
        ],
    ],
}


@pytest.mark.parametrize("name", TABLES)
async def test_the_rows_of_a_table_stay_rows(name: str, tmp_path: Path) -> None:
    """Figures, names and terms with what they mean: each row is a line."""
    text, _ = await read(print_rows(TABLES[name]), tmp_path)

    assert text.splitlines() == [" ".join(row) for row in zip(*TABLES[name], strict=True)]


async def test_cells_of_sentences_are_read_row_by_row(tmp_path: Path) -> None:
    """Each cell as a whole, and beside it the next one: the free space between rows goes right across."""
    rows = [(CRANE[:3], BATTERY[:3]), (CRANE[3:7], BATTERY[3:6]), (OFFICE[:3], CRANE[3:6])]
    prints: list[Print] = []
    for number, row in enumerate(rows):
        prints += print_rows(row, top=700 - 80 * number)

    text, _ = await read(prints, tmp_path)

    assert text.splitlines() == [line for row in rows for cell in row for line in cell]


async def test_words_that_are_parted_at_the_end_of_a_columns_line_are_one_again(tmp_path: Path) -> None:
    """PDFium believes that they go on in the other column. Their boxes are on both lines."""
    crane = [
        "The crane lifts forty ton-",
        "nes at ten metres and less",
        "when its arm is long-",
        "er. Before it is used some-",
        "body looks after the bra-",
        "kes, the ropes and the",
        "hooks, and writes down that.",
    ]

    text, layout = await read_parted(print_rows([crane, BATTERY]), tmp_path)

    assert text.startswith(
        "The crane lifts forty tonnes at ten metres and less\nwhen its arm is longer. Before it is used"
    )
    assert "somebody looks after the brakes, the ropes and the\nhooks" in text
    start = text.index("tonnes")
    first, second = (word.box for word in layout.words if word.start == start)
    assert first.right == pytest.approx(50 + ADVANCE * len(crane[0]), abs=2)
    assert second.left == pytest.approx(50, abs=2)


async def read_parted(prints: Sequence[Print], folder: Path) -> tuple[str, Layout]:
    parsed = await parse(print_pdf(prints, width=700), folder)
    text, layout = parsed.read_page(1).text, parsed.read_layout(1)
    assert list(dict.fromkeys((word.start, word.end) for word in layout.words)) == find_spans(text)
    return text, layout


def find_spans(text: str) -> list[tuple[int, int]]:
    spans, end = [], 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        spans.append((start, end))
    return spans


@given(printed_pages())
def test_whatever_stands_where_no_word_is_lost(page: tuple[str, Layout]) -> None:
    """And each box stays at its word."""
    text, layout = page

    ordered, moved = order_columns(text, layout)

    assert Counter(ordered.split()) == Counter(text.split())
    assert sorted((ordered[word.start : word.end], word.box) for word in moved.words) == sorted(
        (text[word.start : word.end], word.box) for word in layout.words
    )
