"""Tells from where characters stand whether a hyphen ends a row, where PDFium only guesses it."""

from collections.abc import Sequence
from typing import Any

import pypdfium2.raw as pdfium

from services.ingest.adapters.word_boxes import find_places

_MARK = "\ufffe"
"""What PDFium writes for a hyphen at which it believes a word to go on in what is printed next, in whatever column."""


def end_rows(text_page: Any, raw: str, places: Sequence[int] | None) -> tuple[str, Sequence[int] | None]:
    """Return the text with a hyphen and a line's end where what is printed next stands on the same row, further right.

    Parameters:
        places: the number of each character of the text among PDFium's, -1 for none; None where that is its own place.
    """
    if _MARK not in raw:
        return raw, places
    numbers = find_places(text_page, raw) if places is None else places
    ends = [at for at in range(1, len(raw) - 1) if raw[at] == _MARK and _is_beside(text_page, numbers, at)]
    if not ends:
        return raw, places
    parts: list[str] = []
    found: list[int] = []
    start = 0
    for at in ends:
        parts += raw[start:at], "-\n"
        found += [*numbers[start : at + 1], -1]
        start = at + 1
    return "".join([*parts, raw[start:]]), [*found, *numbers[start:]]


def _is_beside(text_page: Any, places: Sequence[int], at: int) -> bool:
    """Whether the character behind a mark stands right of the one before it, on the same row."""
    before, after = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    for place, box in ((places[at - 1], before), (places[at + 1], after)):
        if not pdfium.FPDFText_GetLooseCharBox(text_page, place, box):
            return False
    return bool(after.left > before.right and min(before.top, after.top) > max(before.bottom, after.bottom))
