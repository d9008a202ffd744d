"""Composes letters with accents that are printed over them as characters of their own, as older fonts of TeX do.

PDFium gives them as they are printed: `Schr¨odinger`, `d´efaut`. Where they stand tells them from a quotation mark or
an apostrophe that somebody typed before a letter, as in `l´eau`.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import pypdfium2.raw as pdfium

from services.ingest.adapters.word_boxes import find_places

_COMBINING = {
    "`": "\u0300",
    "\u00b4": "\u0301",
    "\u02c6": "\u0302",
    "\u02dc": "\u0303",
    "\u00af": "\u0304",
    "\u02d8": "\u0306",
    "\u02d9": "\u0307",
    "\u00a8": "\u0308",
    "\u02da": "\u030a",
    "\u02dd": "\u030b",
    "\u02c7": "\u030c",
    "\u00b8": "\u0327",
    "\u02db": "\u0328",
}
"""By the accent that has a place of its own."""
_WITH_DOT = {"\u0131": "i", "\u0237": "j"}
_PAIR = re.compile(f"[{''.join(_COMBINING)}][^\\W\\d_]")


def compose_accents(text_page: Any, raw: str, places: Sequence[int] | None) -> tuple[str, Sequence[int] | None]:
    """Return the text with one character for an accent and the letter below it, and the places of that.

    Parameters:
        places: the number of each character of the text among PDFium's, -1 for none; None where that is its own place.
    """
    pairs = [(match.start(), letter) for match in _PAIR.finditer(raw) if (letter := _compose(match[0]))]
    if not pairs:
        return raw, places
    numbers = find_places(text_page, raw) if places is None else places
    parts: list[str] = []
    found: list[int] = []
    start = 0
    for at, letter in pairs:
        if _is_above(text_page, numbers[at], numbers[at + 1]):
            parts += raw[start:at], letter
            found += [*numbers[start:at], numbers[at + 1]]
            start = at + 2
    return ("".join([*parts, raw[start:]]), [*found, *numbers[start:]]) if start else (raw, places)


def _compose(pair: str) -> str:
    """One character for an accent and a letter; empty where there is none."""
    accent, letter = pair[0], pair[1]
    both = unicodedata.normalize("NFC", _WITH_DOT.get(letter, letter) + _COMBINING[accent])
    return both if len(both) == 1 else ""


def _is_above(text_page: Any, accent: int, letter: int) -> bool:
    """Whether the middle of an accent is neither left nor right of a letter, on the same row."""
    above, below = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    for place, box in ((accent, above), (letter, below)):
        if place < 0 or not pdfium.FPDFText_GetLooseCharBox(text_page, place, box):
            return False
    middle = (above.left + above.right) / 2
    return bool(below.left < middle < below.right and min(above.top, below.top) > max(above.bottom, below.bottom))
