"""Chunks are verbatim spans of their pages, fit the model's window, and leave nothing out."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.chunking import (
    CHARS_PER_TOKEN,
    HEADER_TOKENS,
    SPECIAL_TOKENS,
    TARGET_TOKENS,
    TooManyChunksError,
    chunk_pages,
    make_embedded_text,
    make_header,
)
from services.ingest.domain.headings import find_headings
from services.ingest.domain.pages import Page, Recognition, Table
from services.ingest.domain.text import clean_text


def count_words_and_letters(texts: object) -> list[int]:
    """A tokenizer like WordPiece: long words are cut into several pieces, never fewer than one a word."""
    return [sum(1 + len(word) // 6 for word in text.split()) for text in texts]  # type: ignore[attr-defined]


WINDOW = 256
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=3000).map(clean_text)
PROSE = st.lists(
    st.lists(st.sampled_from(["the", "Battery", "4,200", "€", "lasts", "hours.", "x" * 200]), max_size=60).map(
        " ".join
    ),
    max_size=60,
).map("\n".join)


LINE = re.compile(r"[^\n]+")


@st.composite
def documents(draw: st.DrawFn) -> list[Page]:
    """Pages with headings, tables and running lines anywhere."""
    pages = []
    for number, text in enumerate(draw(st.lists(TEXTS | PROSE, max_size=4)), start=1):
        lines = [match.span() for match in LINE.finditer(text)]
        places = st.lists(st.integers(0, len(lines)), min_size=6, max_size=6).map(sorted)
        tables: list[Table] = []
        for first, body, behind in [draw(places)[place : place + 3] for place in (0, 3)] if lines else []:
            if body < behind and not (tables and lines[first][0] < tables[-1].end):
                head = lines[first:body][:5]
                tables.append(Table(lines[first][0], lines[body][0], lines[behind - 1][1], head))
        running = sorted(draw(st.lists(st.sampled_from(lines), max_size=3, unique=True))) if lines else []
        pages.append(Page(number, text, find_headings(text), tables=tables, running=running))
    return pages


@given(documents(), st.text(max_size=100), st.sampled_from([64, 128, WINDOW]))
def test_every_chunk_is_a_verbatim_span_that_fits(pages: list[Page], title: str, window: int) -> None:
    """`text` is exactly `page[start:end]`, and what is embedded has room in the window with all that is added."""
    chunks = chunk_pages(pages, count_words_and_letters, window)

    assert [chunk.chunk_id for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.text == pages[chunk.page - 1].text[chunk.start : chunk.end]
        assert chunk.searched.strip()
        embedded = make_embedded_text(title, chunk, count_words_and_letters)
        assert count_words_and_letters([embedded])[0] <= window - SPECIAL_TOKENS


@given(documents())
def test_no_character_is_left_out(pages: list[Page]) -> None:
    """Every printed character is in some chunk, apart from running lines that say what one before them has said."""
    chunks = chunk_pages(pages, count_words_and_letters, WINDOW)

    said: set[str] = set()
    for page in pages:
        covered = bytearray(len(page.text))
        for start, end in page.running:
            key = re.sub(r"\d+", "#", page.text[start:end].casefold())
            covered[start:end] = bytes([key in said]) * (end - start)
            said.add(key)
        for chunk in chunks:
            if chunk.page == page.number:
                covered[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
        missed = [char for char, seen in zip(page.text, covered, strict=True) if not seen and not char.isspace()]
        assert missed == []


def test_a_heading_starts_a_chunk_and_names_what_follows() -> None:
    """A section that follows a long one begins a chunk of its own, under its own heading."""
    prose = "\n".join(f"This sentence number {n} is about the weather in spring." for n in range(12))
    text = f"Weather report\n{prose}\nRefund policy\nGoods may be returned within thirty days of delivery."

    chunks = chunk_pages([Page(1, text, find_headings(text))], count_words_and_letters, WINDOW)

    refund = next(chunk for chunk in chunks if "thirty days" in chunk.text)
    assert refund.text.startswith("Refund policy")
    assert refund.section == "Refund policy"
    assert chunks[0].section == "Weather report"


def test_long_pages_overlap_by_a_line_or_two() -> None:
    """The last line of a chunk is repeated in the next one, so a fact at the border is whole somewhere."""
    page = Page(1, "\n".join(f"line {n} tells that part {n} weighs {n} kilograms, all told." for n in range(60)))

    chunks = chunk_pages([page], count_words_and_letters, WINDOW)

    assert len(chunks) > 2
    for left, right in pairwise(chunks):
        assert right.start < left.end
        assert left.text.split("\n")[-1] in right.text
        assert count_words_and_letters([right.text])[0] <= TARGET_TOKENS


def test_a_table_row_stays_whole() -> None:
    """A row is never cut in two: every row of a long table is complete in some chunk."""
    rows = [f"Item {n:03d} price {n * 7} EUR stock {n * 3} shelf {n % 9}" for n in range(120)]

    chunks = chunk_pages([Page(1, "\n".join(rows))], count_words_and_letters, WINDOW)

    assert all(any(row in chunk.text.split("\n") for chunk in chunks) for row in rows)


def make_table_page(number: int, rows: int, *, before: str = "", head: bool = True, name: str = "Item") -> Page:
    """A page with a table that may have a head of two lines."""
    lines = ["Sales by item (in millions)", "2021 2020"] if head else []
    lines += [f"{name} {row:03d} {row * 7 + 1},{row:03d} {row * 3 + 2},{row:03d}" for row in range(rows)]
    text = f"{before}\n" if before else ""
    start = len(text)
    text += "\n".join(lines)
    spans = [match.span() for match in LINE.finditer(text, start)]
    heads = spans[:2] if head else []
    return Page(number, text, find_headings(text), tables=[Table(start, spans[len(heads)][0], len(text), heads)])


def test_each_part_of_a_table_has_its_head() -> None:
    """A row of figures says nothing without its column; the part that begins with the head has it in its text."""
    first, *others = chunk_pages([make_table_page(1, 90)], count_words_and_letters, WINDOW)

    assert first.text.startswith("Sales by item (in millions)\n2021 2020\n")
    assert first.table_head == ""
    assert len(others) > 2
    for chunk in others:
        assert chunk.table_head == "Sales by item (in millions) 2021 2020"
        assert f"\n{chunk.table_head}\n{chunk.text}" in make_embedded_text("Acme", chunk, count_words_and_letters)


def test_a_table_goes_on_on_the_next_page() -> None:
    """Where the page before ends with a table and this one begins with rows; not where text stands between."""
    pages = [make_table_page(1, 8), make_table_page(2, 8, before="(continued)", head=False)]
    other = [make_table_page(1, 8), make_table_page(2, 8, before="One.\nTwo.\nThree.\nFour.", head=False)]
    far = [make_table_page(1, 8), Page(2, "A page of prose."), make_table_page(3, 8, head=False)]

    assert [chunk.table_head for chunk in chunk_pages(pages, count_words_and_letters, WINDOW)] == [
        "",
        "Sales by item (in millions) 2021 2020",
    ]
    for document in (other, far):
        assert not any(chunk.table_head for chunk in chunk_pages(document, count_words_and_letters, WINDOW))


def test_a_table_that_fits_is_not_cut() -> None:
    """The chunk before it ends early instead, and the line that introduces the table goes with it."""
    prose = "\n".join(f"Sentence {n} is about something else." for n in range(16))
    chunks = chunk_pages([make_table_page(1, 12, before=prose)], count_words_and_letters, WINDOW)

    assert len(chunks) == 2
    assert chunks[1].text.count("Item") == 12
    assert chunks[1].text.startswith("Sentence")


def test_a_long_head_loses_its_caption_first() -> None:
    """The heads of the columns are what a row cannot do without."""
    caption = "The following table shows what we have sold in each of the regions in which we do business and " * 3
    text = f"{caption}\n2021 2020\n" + "\n".join(f"Item {row} 1 2" for row in range(90))
    spans = [match.span() for match in LINE.finditer(text)]
    page = Page(1, text, tables=[Table(0, spans[2][0], len(text), spans[:2])])

    assert {chunk.table_head for chunk in chunk_pages([page], count_words_and_letters, WINDOW)[1:]} == {"2021 2020"}


def test_running_lines_are_no_part_of_what_is_searched() -> None:
    """They are no section and begin no chunk; what they say is found in the first of them."""
    pages = []
    for number in range(1, 4):
        body = f"Segment information\nSales of segment {number} grew, for reasons that are told below."
        text = f"Table of Contents\n{body}\nPage {number}\nThis line is read behind the foot."
        running = [(0, 17), (text.index("Page"), text.index("\nThis"))]
        pages.append(Page(number, text, find_headings(text), running=running))

    chunks = chunk_pages(pages, count_words_and_letters, WINDOW)

    assert [chunk.section for chunk in chunks] == ["Segment information"] * 3
    assert chunks[0].searched == chunks[0].text == pages[0].text
    for number in (2, 3):
        chunk, page = chunks[number - 1], pages[number - 1]
        assert chunk.text == page.text.removeprefix("Table of Contents\n")
        assert chunk.searched == chunk.text.replace(f"\nPage {number}", "")


def test_rows_of_dots_are_no_part_of_what_is_searched() -> None:
    """A table of contents is searched by its words; the dots that lead to the pages take no room."""
    lines = [f"{number}.1 Care of battery {number} " + ". " * 60 + f"{10 * number}" for number in range(1, 9)]

    (chunk,) = chunk_pages([Page(1, "\n".join(lines))], count_words_and_letters, WINDOW)

    assert chunk.text == "\n".join(lines)
    assert chunk.searched == "\n".join(f"{n}.1 Care of battery {n} {10 * n}" for n in range(1, 9))


def test_a_page_of_dots_is_cut() -> None:
    """They cost nothing to search, but a passage is bounded all the same."""
    chunks = chunk_pages([Page(1, "." * 1_000_000)], count_words_and_letters, WINDOW)

    assert max(len(chunk.text) for chunk in chunks) <= CHARS_PER_TOKEN * TARGET_TOKENS


def test_words_without_end_are_cut() -> None:
    """A tokenizer that takes a word of any length for one token does not make chunks of any length."""
    page = Page(1, "\n".join(["x" * 2000] * 20 + [" ".join(["y" * 500] * 20)]))

    chunks = chunk_pages([page], lambda texts: [len(text.split()) for text in texts], WINDOW)

    assert max(len(chunk.text) for chunk in chunks) <= (TARGET_TOKENS + 1) * (CHARS_PER_TOKEN + 1)


def test_a_model_with_no_room_is_refused() -> None:
    """A window that the header alone would fill is a configuration error, not an endless loop."""
    with pytest.raises(ValueError, match="leaves no room"):
        chunk_pages([Page(1, "text")], count_words_and_letters, 20)


@given(st.text(max_size=400), st.text(max_size=400))
def test_header_is_bounded(title: str, section: str) -> None:
    """However long title and section are, the header takes its share of the window at most."""
    header = make_header(title, section, count_words_and_letters)

    assert count_words_and_letters([header])[0] <= HEADER_TOKENS
    assert "\n" not in header


def test_too_many_chunks_are_told_before_the_rest_is_cut() -> None:
    """A small file may hold text without end; exactly as many as are allowed are fine."""
    pages = [Page(number, "words " * 30) for number in range(1, 101)]
    measured: list[str] = []

    def count_and_note(texts: Sequence[str]) -> list[int]:
        measured.extend(texts)
        return count_words_and_letters(texts)

    assert len(chunk_pages(pages, count_and_note, WINDOW, max_chunks=100)) == 100
    measured.clear()
    with pytest.raises(TooManyChunksError):
        chunk_pages(pages, count_and_note, WINDOW, max_chunks=10)
    assert len(measured) == 11


def test_a_page_of_megabytes_is_measured_in_small_parts() -> None:
    """The tokenizer takes hundreds of times the memory of what it is given; the result is that of small pages."""
    largest = 0

    def count_and_note(texts: Sequence[str]) -> list[int]:
        nonlocal largest
        largest = max(largest, sum(map(len, texts)))
        return count_words_and_letters(texts)

    endless_line, many_lines = "word " * 200_000, "a line of words\n" * 60_000
    chunks = chunk_pages([Page(1, endless_line), Page(2, many_lines)], count_and_note, WINDOW)

    assert largest < 50_000
    assert sum(chunk.text.count("word") for chunk in chunks if chunk.page == 1) >= 200_000


def test_a_passage_says_whether_it_was_recognized() -> None:
    """Where it holds text from pictures, and with how sure that is."""
    own, read = (
        "\n".join(f"{what} line {n} tells that part {n} weighs {n} kilograms." for n in range(30)) for what in "ab"
    )
    page = Page(1, f"{own}\n\n{read}\n{own}", recognition=Recognition(len(own) + 2, len(own) + 2 + len(read), 0.87))

    chunks = chunk_pages([page, Page(2, own)], count_words_and_letters, WINDOW)

    for chunk in chunks:
        assert chunk.ocr_confidence == (0.87 if "b line" in chunk.text else None)
    assert {chunk.ocr_confidence for chunk in chunks} == {0.87, None}
