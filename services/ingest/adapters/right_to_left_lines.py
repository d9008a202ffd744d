"""Reads from PDFium the lines that are printed from right to left, character by character, and orders them."""

import re
from collections.abc import Iterator, Sequence
from ctypes import byref, c_void_p, cast
from typing import Any

import pypdfium2.raw as pdfium

from services.ingest.adapters.word_boxes import bind, find_places
from services.ingest.domain.right_to_left import RIGHT_TO_LEFT, Glyph, continues, is_mostly_right_to_left, order_line

_LINE = re.compile(r"[^\r\n]+")
_get_box = bind(pdfium.FPDFText_GetLooseCharBox)


def order_text(text_page: Any, raw: str) -> tuple[str, Sequence[int] | None]:
    """Return the text of a page as it is read, and for each of its characters the place in PDFium's; -1 for a space
    that is not there. Nothing but the text when nothing is printed from right to left.
    """
    if raw.isascii() or not RIGHT_TO_LEFT.search(raw):
        return raw, None
    places = find_places(text_page, raw)
    whole_page = is_mostly_right_to_left(raw)
    parts: list[str] = []
    found: list[int] = []
    end = 0
    for start, behind, glyphs in _read_lines(text_page, raw, places):
        line = order_line(glyphs, whole_page) if RIGHT_TO_LEFT.search(raw, start, behind) else None
        if line is None:
            continue
        parts += raw[end:start], *(glyph.char if glyph else " " for glyph in line)
        found += [*places[end:start], *(glyph.place if glyph else -1 for glyph in line)]
        end = behind
    return "".join([*parts, raw[end:]]), [*found, *places[end:]]


def _read_lines(text_page: Any, raw: str, places: Sequence[int]) -> Iterator[tuple[int, int, list[Glyph]]]:
    """The lines as they are printed: where each begins and ends in the text, and its glyphs."""
    start = behind = 0
    line: list[Glyph] = []
    for match in _LINE.finditer(raw):
        glyphs = _read_glyphs(text_page, match, places)
        if line and glyphs and continues(line, glyphs):
            line += glyphs
        else:
            yield start, behind, line
            start, line = match.start(), glyphs
        behind = match.end()
    yield start, behind, line


def _read_glyphs(text_page: Any, line: re.Match[str], places: Sequence[int]) -> list[Glyph]:
    page, rectangle = cast(text_page.raw, c_void_p), pdfium.FS_RECTF()
    box = byref(rectangle)
    glyphs = []
    for at, char in enumerate(line[0], start=line.start()):
        if not char.isspace() and _get_box(page, places[at], box):
            glyphs.append(Glyph(char, rectangle.left, rectangle.bottom, rectangle.right, rectangle.top, places[at]))
    return glyphs
