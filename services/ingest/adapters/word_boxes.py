"""Reads from PDFium where the words of a page stand.

Some 600 words a page, and a call to PDFium costs more than what it does: so as few as can be, and no more Python
between them than is needed.
"""

from collections.abc import Callable, Iterator, Sequence
from ctypes import PYFUNCTYPE, byref, c_double, c_int, c_void_p, cast
from typing import Any

import pypdfium2.raw as pdfium

from services.ingest.domain.pages import Box, Layout, Span, WordBox
from services.ingest.domain.stored_parse import MAX_SIDE
from services.ingest.domain.text import WORD, find_raw_words

_BMP = 0xFFFF


def bind(function: Any) -> Any:
    """Return the same function, but ctypes does not check the types of its arguments: a call takes half the time."""
    return PYFUNCTYPE(c_int)(cast(function, c_void_p).value or 0)


_count_rectangles = bind(pdfium.FPDFText_CountRects)
_get_rectangle = bind(pdfium.FPDFText_GetRect)

Rectangle = tuple[float, float, float, float]
"""Left, bottom, right and top in the coordinates of a PDF, in which up is more."""
Turn = Callable[[float, float, float, float], Rectangle]
"""From a rectangle to left, top, right and bottom on the page as it is shown."""


def read_layout(page: Any, text_page: Any, raw: str, text: str, places: Sequence[int] | None = None) -> Layout:
    """Return where the words of a page's cleaned text stand.

    Parameters:
        raw: what PDFium gives as the text of the whole page.
        text: that, cleaned.
        places: where it is in another order, the number of each of its characters among PDFium's, -1 for none.
    """
    width, height = page.get_size()
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        return Layout(0, 0)
    turn = make_turn(page)
    pieces = find_raw_words(raw, text)
    read_rectangle = _make_read_rectangle(text_page)
    if places is not None:
        read_rectangle = _read_by_places(read_rectangle, places)
    elif text_page.count_chars() != len(raw):
        pieces = _find_chars(text_page, raw, pieces)
    spans = [match.span() for match in WORD.finditer(text)]
    words = []
    for number, (first, behind) in pieces:
        left, top, right, bottom = turn(*read_rectangle(first, behind - first))
        if left < 0 or top < 0 or right > width or bottom > height:
            left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
        if left < right and top < bottom:  # neither holds for what is no number
            words.append(WordBox(*spans[number], Box(left, top, right, bottom)))
    return Layout(width, height, words)


def _find_chars(text_page: Any, raw: str, pieces: list[tuple[int, Span]]) -> list[tuple[int, Span]]:
    """The same pieces, counted in PDFium's characters: it leaves some out of the text, and adds others."""
    units = _count_units(raw)

    def find(place: int) -> int:
        return int(pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, units[place]))

    found = [(number, (find(start), find(end - 1) + 1)) for number, (start, end) in pieces]
    return [(number, (first, behind)) for number, (first, behind) in found if 0 <= first < behind]


def find_places(text_page: Any, raw: str) -> Sequence[int]:
    """Return the number of each character of the text among PDFium's, -1 for none."""
    if text_page.count_chars() == len(raw):
        return range(len(raw))
    page, find = text_page.raw, pdfium.FPDFText_GetCharIndexFromTextIndex
    return [find(page, unit) for unit in _count_units(raw)[:-1]]


def _count_units(raw: str) -> list[int]:
    """How many units of UTF-16 are before each character, and before the end."""
    units = [0]
    for char in raw:
        units.append(units[-1] + 1 + (ord(char) > _BMP))
    return units


def _read_by_places(read: Callable[[int, int], Rectangle], places: Sequence[int]) -> Callable[[int, int], Rectangle]:
    """The same, but of characters whose places among PDFium's are these."""

    def read_by_places(first: int, count: int) -> Rectangle:
        found = [read(start, end - start) for start, end in _find_stretches(places[first : first + count])]
        if not found:
            return 0.0, 0.0, 0.0, 0.0
        lefts, bottoms, rights, tops = zip(*found, strict=True)
        return min(lefts), min(bottoms), max(rights), max(tops)

    return read_by_places


def _find_stretches(places: Sequence[int]) -> Iterator[Span]:
    """The stretches of numbers that follow each other, in whatever order, of those that are there."""
    numbers = sorted({place for place in places if place >= 0})
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1] + 1
            start = index


def _make_read_rectangle(text_page: Any) -> Callable[[int, int], Rectangle]:
    """How to get the rectangle around some of PDFium's characters: the first, and how many."""
    page = cast(text_page.raw, c_void_p)
    left, top, right, bottom = c_double(), c_double(), c_double(), c_double()
    corners = byref(left), byref(top), byref(right), byref(bottom)

    def read(first: int, count: int) -> Rectangle:
        rectangles = _count_rectangles(page, first, count)
        if not _get_rectangle(page, 0, *corners):
            return 0.0, 0.0, 0.0, 0.0
        west, south, east, north = left.value, bottom.value, right.value, top.value
        for index in range(1, rectangles):  # in some files each letter is a piece of print of its own
            _get_rectangle(page, index, *corners)
            if left.value < west:
                west = left.value
            if bottom.value < south:
                south = bottom.value
            if right.value > east:
                east = right.value
            if top.value > north:
                north = top.value
        return west, south, east, north

    return read


def make_turn(page: Any) -> Turn:
    """Return how to get from a PDF's coordinates to those of its page as it is shown: it may be turned, or cut out."""
    west, south, east, north = page.get_bbox()
    turns: dict[int, Turn] = {
        0: lambda left, bottom, right, top: (left - west, north - top, right - west, north - bottom),
        90: lambda left, bottom, right, top: (bottom - south, left - west, top - south, right - west),
        180: lambda left, bottom, right, top: (east - right, bottom - south, east - left, top - south),
        270: lambda left, bottom, right, top: (north - top, east - right, north - bottom, east - left),
    }
    return turns[page.get_rotation()]
