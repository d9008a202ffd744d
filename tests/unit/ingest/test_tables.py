"""Tables of figures are found by where their words stand, with the heads of their columns; prose is none."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given

from services.ingest.domain.pages import Layout
from services.ingest.domain.tables import MAX_HEAD_LINES, find_tables
from tests.unit.ingest.printed_pages import print_lines, printed_pages

STATEMENT = [
    "CONSOLIDATED STATEMENTS OF INCOME",
    "(In millions, except per share data)",
    "                                        Years Ended December 31,",
    "                                   2021        2020       2019",
    "Revenue:",
    "  Subscription                 $ 16,388    $ 14,573   $ 11,626",
    "  Product                           532         555        507",
    "Total revenue                    16,920      15,128     12,133",
    "Cost of sales, with what is",
    "  due to affiliates             (2,165)           —    (1,722)",
    "Net margin                        87.2%      100.0%       85.8%",
]


def print_page(lines: Sequence[str]) -> tuple[str, Layout]:
    return print_lines([(60.0 + 12 * number, line) for number, line in enumerate(lines) if line])


def describe(lines: Sequence[str]) -> list[tuple[list[str], str, str]]:
    """Head, first and last line of each table."""
    text, layout = print_page(lines)
    found = []
    for table in find_tables(text, layout):
        body = text[table.body : table.end].split("\n")
        found.append(([text[start:end] for start, end in table.head], body[0], body[-1]))
    return found


def test_a_statement_has_its_caption_unit_and_years_as_head() -> None:
    """What stands above the first row and says what its columns are; a heading of rows is not of it."""
    assert describe(STATEMENT) == [
        (
            [
                "CONSOLIDATED STATEMENTS OF INCOME",
                "(In millions, except per share data)",
                "Years Ended December 31,",
                "2021 2020 2019",
            ],
            "Subscription $ 16,388 $ 14,573 $ 11,626",
            "Net margin 87.2% 100.0% 85.8%",
        )
    ]


def test_years_beside_a_label_are_a_head_too() -> None:
    """`(Millions) 2018 2017` has figures at its end as a row has, but all of them are years."""
    lines = ["(Millions)                2018    2017", "Net income               5,363   4,869", "Taxes   300   245"]
    lines[2] = "Taxes                      300     245"

    assert describe(lines) == [(["(Millions) 2018 2017"], "Net income 5,363 4,869", "Taxes 300 245")]


def test_prose_with_figures_is_no_table() -> None:
    """Figures in a sentence stand as near to their words as any other, also where they end a line."""
    lines = [
        "Sales were $2.2 billion in 2015, $4.2 billion in 2016 and 4.1 in 2017",
        "and grew in all segments by 55, 43 and 12 percent, compared with 14 and 12",
        "in the year before, when there were 5 segments, not 4. See notes 7 and 8",
    ]

    assert describe(lines) == []


def test_a_line_of_text_parts_two_tables() -> None:
    """What reaches below the figures belongs to no table; without a head of its own, the second has the first's."""
    rows = ["Cash                        10      20", "Debt                        30      40"]
    text = "This line is long enough to reach the columns of the figures, and ends."
    head = "                          2021    2020"

    assert describe([head, *rows, text, *rows]) == [
        (["2021 2020"], "Cash 10 20", "Debt 30 40"),
        (["2021 2020"], "Cash 10 20", "Debt 30 40"),
    ]


def test_new_years_begin_a_new_table() -> None:
    """Two tables that follow each other directly have each its own head."""
    rows = ["Cash                        10      20", "Debt                        30      40"]
    heads = ["                          2021    2020", "                          2019    2018"]

    found = describe([heads[0], *rows, heads[1], *rows])

    assert [head for head, _, _ in found] == [["2021 2020"], ["2019 2018"]]


def test_a_page_without_boxes_has_no_tables() -> None:
    """As one that only pypdf could read."""
    text, _ = print_page(STATEMENT)

    assert find_tables(text, Layout(0, 0)) == []


@given(printed_pages())
def test_tables_are_parts_of_the_text_in_order(page: tuple[str, Layout]) -> None:
    """Whatever stands wherever: tables do not overlap, and their spans are whole lines of the text."""
    text, layout = page

    tables = find_tables(text, layout)

    for table in tables:
        assert 0 <= table.start <= table.body < table.end <= len(text)
        assert len(table.head) <= MAX_HEAD_LINES
        for start, end in [(table.start, table.end), (table.body, table.end), *table.head]:
            assert start < end
            assert text[start - 1 : start] in ("", "\n")
            assert text[end : end + 1] in ("", "\n")
    assert all(left.end < right.start for left, right in pairwise(tables))
