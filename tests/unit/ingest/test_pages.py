"""A span of a page's text has boxes: on the page, around all of its words, one for each line and column."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.pages import Box, Layout, WordBox, boxes_of_span
from services.ingest.domain.text import WORD
from tests.unit.ingest.printed_pages import printed_pages


def lies_in(inner: Box, outer: Box) -> bool:
    return (
        outer.left <= inner.left
        and outer.top <= inner.top
        and inner.right <= outer.right
        and inner.bottom <= outer.bottom
    )


@given(printed_pages(), st.integers(0, 300), st.integers(1, 300))
def test_the_boxes_of_a_span_lie_on_the_page_and_cover_its_words(
    page: tuple[str, Layout], start: int, length: int
) -> None:
    """All words that the span touches, also those that it has only a part of; a span without words has none."""
    _, layout = page
    end = start + length

    boxes = boxes_of_span(layout, start, end)

    touched = [word.box for word in layout.words if word.start < end and start < word.end]
    assert all(any(lies_in(word, box) for box in boxes) for word in touched)
    assert len(boxes) <= len(touched)
    assert all(lies_in(box, Box(0, 0, layout.width, layout.height)) for box in boxes)


def print_words(*lines: list[float]) -> Layout:
    """Words of four letters, 20 points wide and 10 high: each line has the places at which its words begin."""
    words: list[WordBox] = []
    for number, line in enumerate(lines):
        for left in line:
            start = 5 * len(words)
            words.append(WordBox(start, start + 4, Box(left, 12 * number, left + 20, 12 * number + 10)))
    return Layout(600, 800, words)


def test_the_words_of_a_line_are_one_box() -> None:
    """Those of another line, and those of another column of the same one, are another."""
    layout = print_words([0, 25, 50, 200, 225], [0, 25])

    assert boxes_of_span(layout, 0, 14) == [Box(0, 0, 70, 10)]
    assert boxes_of_span(layout, 0, 34) == [Box(0, 0, 70, 10), Box(200, 0, 245, 10), Box(0, 12, 45, 22)]


def test_a_span_within_a_word_has_the_words_box() -> None:
    """And a word that is parted at the end of its line has two."""
    layout = Layout(600, 800, [WordBox(0, 9, Box(500, 0, 520, 10)), WordBox(0, 9, Box(0, 12, 30, 22))])

    assert boxes_of_span(layout, 4, 5) == [word.box for word in layout.words]
    assert boxes_of_span(layout, 9, 12) == []
    assert boxes_of_span(layout, 4, 4) == []


@given(printed_pages())
def test_each_word_alone_has_its_boxes(page: tuple[str, Layout]) -> None:
    """A span that ends where a word begins has nothing of it."""
    text, layout = page
    spans = [match.span() for match in WORD.finditer(text)]

    for (start, _), (following, _) in pairwise(spans):
        own = [word.box for word in layout.words if word.start == start]
        assert len(boxes_of_span(layout, start, following)) <= len(own)
