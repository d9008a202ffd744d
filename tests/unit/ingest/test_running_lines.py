"""Running heads and feet are found by what recurs at one place of neighbouring pages; nothing else is left out."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.pages import Layout
from services.ingest.domain.running_lines import RunningLineFinder
from services.ingest.domain.tables import find_tables
from tests.unit.ingest.printed_pages import print_lines, printed_pages

Lines = Sequence[tuple[float, str]]


def find(pages: Sequence[Lines]) -> Mapping[int, Sequence[str]]:
    """The texts of the running lines, by page."""
    finder = RunningLineFinder()
    texts = {}
    for number, lines in enumerate(pages, start=1):
        text, layout = print_lines(lines)
        texts[number] = text
        finder.add_page(number, text, layout, find_tables(text, layout))
    return {page: [texts[page][slice(*span)] for span in spans] for page, spans in finder.find().items()}


def make_body(page: int) -> Lines:
    return [(100.0 + 12 * line, f"Page {page} says in line {line} what no other says.") for line in range(50)]


def test_head_and_foot_with_the_pages_number() -> None:
    """The number of the page is the only thing that differs; where it counts from does not matter."""
    pages = [[(30.0, "Annual Report 2021"), *make_body(n), (750.0, f"Acme Ltd      {n + 12}")] for n in range(1, 6)]

    assert find(pages) == {n: ["Annual Report 2021", f"Acme Ltd {n + 12}"] for n in range(1, 6)}


def test_a_foot_that_says_how_many_pages_there_are() -> None:
    """As those of slides do, at the right or at the left of what they are about."""
    right = [[*make_body(n), (750.0, f"A Tutorial      {n} / 40")] for n in range(1, 6)]
    left = [[*make_body(n), (750.0, f"{n} of 40      A Tutorial")] for n in range(1, 6)]
    score = [[*make_body(n), (750.0, f"They won by {n} / 40")] for n in range(1, 6)]

    assert find(right) == {n: [f"A Tutorial {n} / 40"] for n in range(1, 6)}
    assert find(left) == {n: [f"{n} of 40 A Tutorial"] for n in range(1, 6)}
    assert find(score) == {}


def test_facing_pages_have_heads_of_their_own() -> None:
    """Left pages and right ones: each recurs on every other page only."""
    pages = [[(30.0, "The Book" if n % 2 else "A Chapter"), *make_body(n)] for n in range(1, 7)]

    assert find(pages) == {n: ["The Book" if n % 2 else "A Chapter"] for n in range(1, 7)}


@pytest.mark.parametrize("count", [1, 2])
def test_two_pages_prove_nothing(count: int) -> None:
    """A short document keeps all of its lines."""
    assert find([[(30.0, "Handbook"), *make_body(n), (750.0, f"{n}")] for n in range(1, count + 1)]) == {}


def test_headings_that_recur_elsewhere_stay() -> None:
    """The same words at different heights, on pages far from each other, or below another heading."""
    heights = [[(30.0 + 12 * (n % 4), "Income Taxes"), *make_body(n)] for n in range(1, 9)]
    far = [
        [(30.0, "Income Taxes" if n % 4 == 0 else f"Note {n} of many, all else"), *make_body(n)] for n in range(1, 20)
    ]
    below = [[(30.0, f"Statement of {'abcdefgh'[n]}"), (44.0, "Years ended"), *make_body(n)] for n in range(1, 6)]

    assert find(heights) == find(far) == find(below) == {}


def test_what_counts_but_not_with_the_pages_is_no_running_head() -> None:
    """A numbered title on each page, such as an exhibit's, and the last row of a table."""
    titles = [[(30.0, f"EXHIBIT 31.{n}"), *make_body(n)] for n in range(1, 6)]
    steps = [[(30.0, f"Step {n}"), *make_body(n)] for n in range(1, 6)]
    figures = [[*make_body(n), (750.0, f"{n * n} 40 0")] for n in range(1, 6)]

    assert find(titles) == find(steps) == find(figures) == {}


def test_the_heads_of_a_tables_columns_stay() -> None:
    """A price list repeats them at the top of each page, and there they are needed."""
    rows = [
        (60.0 + 12 * line, f"Widget {line:02d}               {line * 7},00      {line * 8},50") for line in range(50)
    ]
    pages = [[(30.0, "Acme price list"), (46.0, "Article                 Retail    Trade"), *rows] for _ in range(5)]

    assert find(pages) == {page: ["Acme price list"] for page in range(1, 6)}


@given(st.lists(printed_pages(), max_size=5))
def test_found_are_whole_lines_of_pages(pages: Sequence[tuple[str, Layout]]) -> None:
    """Whatever stands wherever, and on two pages nothing at all."""
    finder = RunningLineFinder()
    for number, (text, layout) in enumerate(pages, start=1):
        finder.add_page(number, text, layout)

    found = finder.find()

    assert found == {} or len(pages) > 2
    for page, spans in found.items():
        text = pages[page - 1][0]
        assert spans == sorted(set(spans))
        assert all((text[s - 1 : s] in ("", "\n")) and (text[e : e + 1] in ("", "\n")) for s, e in spans)
