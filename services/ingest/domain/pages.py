"""Pages as a PDF prints them: their text, where each word stands, and the boxes of any part of the text."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Span = tuple[int, int]
"""The first character of a part of a page's text, and the one behind its last."""

SAME_LINE = 0.5
"""Share of the lower box's height in which two boxes have to meet to be of one line."""
WORD_GAP = 2.0
"""Heights of a box that the next word of its line may be away; beyond is another column, and a box of its own."""


class Box(NamedTuple):
    """A rectangle on a page, in points from the top left corner of the page as it is shown; `bottom` is below `top`."""

    left: float
    top: float
    right: float
    bottom: float


class WordBox(NamedTuple):
    """Where a word of the page's text stands. One that is parted at a line's end has two, with the same span.

    All words of a note or a form field have its box: PDFs do not say more.
    """

    start: int
    end: int
    box: Box


@dataclass(frozen=True)
class Recognition:
    """Which text of a page was read from pictures of it by text recognition (OCR), and how sure that is.

    Attributes:
        start: the first character that was.
        end: the one behind the last.
        confidence: the mean of its words, 0 to 1.
    """

    start: int
    end: int
    confidence: float


@dataclass(frozen=True)
class Table:
    """A table in a page's text: `text[start:end]` is all of it from its head, or its first row, to its last row.

    Attributes:
        body: the first character of its first row.
        head: the lines of its caption and of its columns' heads, in the order of the text. A table that goes on below
            a line of text has the head above that line, too.
    """

    start: int
    body: int
    end: int
    head: Sequence[Span] = ()


@dataclass(frozen=True)
class Page:
    """A page's number, counted from 1, its cleaned text, and what of it is more than running text.

    Attributes:
        headings: the lines that look like headings.
        tables: in the order of the text.
        running: the lines that are repeated on pages near this one: its running heads and feet.
        recognition: None where all of the text is the PDF's own.
    """

    number: int
    text: str
    headings: Sequence[Span] = ()
    recognition: Recognition | None = None
    tables: Sequence[Table] = ()
    running: Sequence[Span] = ()


@dataclass(frozen=True)
class Layout:
    """Width and height of a page in points as it is shown, and the boxes of its words in the order of its text.

    Words that are printed outside of the page have none, nor have those of a page that only pypdf could read.
    """

    width: float
    height: float
    words: Sequence[WordBox] = ()


def boxes_of_span(layout: Layout, start: int, end: int) -> list[Box]:
    """Return the boxes of all words that a part of the page's text touches, those of one line as one box."""
    boxes: list[Box] = []
    for box in _find_boxes(layout.words, start, end):
        if boxes and _holds(boxes[-1], box):  # the words of a note have one box
            continue
        if boxes and _continues(boxes[-1], box):
            boxes[-1] = unite((boxes[-1], box))
        else:
            boxes.append(box)
    return boxes


def unite(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all of them."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))


def _find_boxes(words: Sequence[WordBox], start: int, end: int) -> Iterator[Box]:
    for index in range(bisect_right(words, start, key=lambda word: word.end), len(words)):
        if words[index].start >= end or start >= end:
            return
        yield words[index].box


def _holds(outer: Box, box: Box) -> bool:
    return outer.left <= box.left and box.right <= outer.right and outer.top <= box.top and box.bottom <= outer.bottom


def _continues(line: Box, box: Box) -> bool:
    """Whether a box stands right of a line, on it and near."""
    height = min(line.bottom - line.top, box.bottom - box.top)
    if min(line.bottom, box.bottom) - max(line.top, box.top) < SAME_LINE * height:
        return False
    return -height <= box.left - line.right <= WORD_GAP * height
