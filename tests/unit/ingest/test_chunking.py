"""Chunks are verbatim spans of their pages, fit the model's window, and leave nothing out."""

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
    make_header,
)
from services.ingest.domain.headings import find_headings
from services.ingest.domain.pages import Page, Recognition
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


@given(st.lists(TEXTS | PROSE, max_size=4))
def test_every_chunk_is_a_verbatim_span_that_fits(texts: list[str]) -> None:
    """`text` is exactly `page[start:end]`, on its own page, and with header and marks within the window."""
    pages = [Page(number, text, find_headings(text)) for number, text in enumerate(texts, start=1)]

    chunks = chunk_pages(pages, count_words_and_letters, WINDOW)

    assert [chunk.chunk_id for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.text == pages[chunk.page - 1].text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert count_words_and_letters([chunk.text])[0] <= WINDOW - HEADER_TOKENS - SPECIAL_TOKENS


@given(st.lists(TEXTS | PROSE, max_size=4))
def test_no_character_is_left_out(texts: list[str]) -> None:
    """Every printed character of every page is in some chunk."""
    pages = [Page(number, text, find_headings(text)) for number, text in enumerate(texts, start=1)]

    chunks = chunk_pages(pages, count_words_and_letters, WINDOW)

    for page in pages:
        covered = bytearray(len(page.text))
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
