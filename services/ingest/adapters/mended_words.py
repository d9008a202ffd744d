"""Mends the words that PDFium glues or tears, by where their characters stand.

It takes a page of a few narrow columns for one that is printed from top to bottom: then what stands below is glued on,
as `349` and `397` to `349397`, and what stands beside torn off. And it forgets the space between two cells of a table
where that has been printed on its own.
"""

import re
from collections.abc import Callable, Sequence
from ctypes import byref, c_void_p, cast
from itertools import pairwise
from typing import Any

import pypdfium2.raw as pdfium

from services.ingest.adapters.word_boxes import Rectangle, bind, find_places
from services.ingest.domain.pages import Layout
from services.ingest.domain.right_to_left import RIGHT_TO_LEFT

APART = 1.0
"""Sizes of a character that are free between two of no one word; letters that are set wide have less."""
TOO_WIDE = 1.3
"""Heights of a word that it is wide for each of its characters, where it may be two: capitals have 1.0."""
TOO_HIGH = 2.0
"""The same for one that is printed from top to bottom."""
TOUCHING = 0.1
"""Sizes of a character that are free at most between two of the same word."""
A_SPACE = 0.4
"""The same, between two words; beyond is another column."""
LEVEL = 0.05
"""Sizes of a character by which two of the same print and row differ at most: a raised figure does by more."""
SHORT = 4
"""Characters of a line that may be a part of a word."""
MANY = 0.25
"""Share of a page's lines that are so short."""

_WORD = re.compile("[^\\s\ufffe]{2,}")
_TEAR = re.compile("(?<=[^\\s\ufffe])\r\n(?=\\S)")
_get_box = bind(pdfium.FPDFText_GetLooseCharBox)

FindBox = Callable[[int], Rectangle | None]


def join_torn(text_page: Any, raw: str, places: Sequence[int] | None) -> tuple[str, Sequence[int] | None]:
    """Return the text without line ends in the midst of a row, and the places of that.

    Parameters:
        places: the number of each character of the text among PDFium's, -1 for none; None where that is its own place.
    """
    if not _may_be_torn(raw):
        return raw, places
    numbers = find_places(text_page, raw) if places is None else places
    find_box = _make_find_box(text_page, numbers)
    changes = [
        (tear.start(), tear.end(), joint)
        for tear in _TEAR.finditer(raw)
        if (joint := _find_joint(raw, find_box, tear.start() - 1, tear.end())) is not None
    ]
    return _change(raw, numbers, changes) if changes else (raw, places)


def part_glued(
    text_page: Any, raw: str, text: str, places: Sequence[int] | None, layout: Layout
) -> tuple[str, Sequence[int] | None]:
    """Return the text with a space or a line's end where what stands apart is one word, and the places of that.

    Parameters:
        text: the same, cleaned.
        layout: of that; a page without words that are too wide or too high is not looked at closely.
    """
    if not _may_be_glued(text, layout):
        return raw, places
    numbers = find_places(text_page, raw) if places is None else places
    find_box = _make_find_box(text_page, numbers)
    cuts: list[tuple[int, int, str]] = []
    for word in _WORD.finditer(raw):
        boxes = ((at, find_box(at)) for at in range(*word.span()))  # not all at once: it may be a whole page
        for (_, before), (at, after) in pairwise(boxes):
            if before and after and not RIGHT_TO_LEFT.search(raw, at - 1, at + 1) and _are_apart(before, after):
                cuts.append((at, at, " " if _are_beside(before, after) else "\n"))
    return _change(raw, numbers, cuts) if cuts else (raw, places)


def _may_be_torn(raw: str) -> bool:
    """Whether many lines are as short as parts of words."""
    lines = raw.split("\r\n")
    return sum(0 < len(line) <= SHORT for line in lines) >= MANY * len(lines) and len(lines) > 1


def _may_be_glued(text: str, layout: Layout) -> bool:
    return any(
        end - start > 1
        and (
            right - left > TOO_WIDE * (end - start) * (bottom - top)
            or bottom - top > TOO_HIGH * (end - start) * (right - left)
        )
        and any(map(str.isalnum, text[start:end]))  # dashes are always so
        for start, end, (left, top, right, bottom) in layout.words
    )


def _make_find_box(text_page: Any, places: Sequence[int]) -> FindBox:
    page, rectangle = cast(text_page.raw, c_void_p), pdfium.FS_RECTF()
    box = byref(rectangle)

    def find(at: int) -> Rectangle | None:
        if places[at] < 0 or not _get_box(page, places[at], box):
            return None
        return rectangle.left, rectangle.bottom, rectangle.right, rectangle.top

    return find


def _find_joint(raw: str, find_box: FindBox, before: int, after: int) -> str | None:
    """What is between two characters of the same row; None where they are not, or not near."""
    first, second = find_box(before), find_box(after)
    if not first or not second or RIGHT_TO_LEFT.search(raw[before] + raw[after]):
        return None
    size, gap = _measure(first, second), second[0] - first[2]
    if max(abs(first[1] - second[1]), abs(first[3] - second[3])) > LEVEL * size or gap < -TOUCHING * size:
        return None
    if gap < TOUCHING * size:
        return ""
    return " " if gap < A_SPACE * size else None


def _measure(first: Rectangle, second: Rectangle) -> float:
    """The size of the larger one of two characters."""
    return max(max(right - left, top - bottom) for left, bottom, right, top in (first, second))


def _are_apart(first: Rectangle, second: Rectangle) -> bool:
    free = max(second[0] - first[2], first[0] - second[2], second[1] - first[3], first[1] - second[3])
    return free > APART * _measure(first, second)


def _are_beside(first: Rectangle, second: Rectangle) -> bool:
    return min(first[3], second[3]) > max(first[1], second[1])


def _change(raw: str, places: Sequence[int], changes: Sequence[tuple[int, int, str]]) -> tuple[str, Sequence[int]]:
    """The text with others in place of some of its parts, and the places; -1 for what is not PDFium's."""
    parts: list[str] = []
    found: list[int] = []
    done = 0
    for start, end, other in changes:
        parts += raw[done:start], other
        found += [*places[done:start], *(-1 for _ in other)]
        done = end
    return "".join([*parts, raw[done:]]), [*found, *places[done:]]
