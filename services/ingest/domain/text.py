"""Cleans the text that comes out of a PDF, which is data from a stranger, and says where its words come from."""

import re
import unicodedata

from services.ingest.domain.pages import Span
from services.ingest.domain.right_to_left import normalize_forms
from shared.invisible_text import strip_invisible

WORD = re.compile(r"\S+")
"""A word of a cleaned text."""
_HYPHEN_AT_LINE_END = re.compile("(?<=(?P<before>.))\ufffe(?:\r\n|[\r\n\f])?(?=(?P<after>.?))")
HYPHENATED_PAGE = 4
"""So many words that are parted at a line's end, and the page was set with hyphenation. In 13 filings and 6 handbooks
without it there was one in five pages, always in a word that has a hyphen of its own (`year-on-year`, `AES-256`)."""
_SPACE = " \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SPACES = re.compile(f"[{_SPACE}]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_SEPARATORS = f"{_SPACE}\n\r\x0b\x0c\x85\u2028\u2029"
_PLAIN_WORD = re.compile(f"[^{_SEPARATORS}]+")
_PARTED_WORD = re.compile(f"(?:[^{_SEPARATORS}\ufffe]+|(?<=[^\n])\ufffe(?:\r\n|[\r\n\f])?|\ufffe)+")
"""What becomes one word of the cleaned text, unless nothing of it can be seen."""
_LEADERS = re.compile(r" ?(?:[.\u00b7\u2024-\u2026] ?){4,}")
_PIECE = re.compile("[^\ufffe]*\ufffe|[^\ufffe]+")


def clean_text(raw: str) -> str:
    """Readable text with `\\n` between lines and no control or invisible characters.

    PDFium marks a hyphen at a line's end, where a word goes on in the next line, with U+FFFE. It stays, unless the
    page parts words by hyphenation: then words in small letters are joined.
    """
    text = strip_invisible(_rejoin_words(raw))
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", normalize_forms(text)))
    return _BLANK_LINES.sub("\n\n", text.replace(" \n", "\n").replace("\n ", "\n")).strip()


def _rejoin_words(text: str) -> str:
    if "\ufffe" not in text:
        return text
    hyphenated = sum(map(_parts_small_letters, _HYPHEN_AT_LINE_END.finditer(text))) >= HYPHENATED_PAGE

    def rejoin(match: re.Match[str]) -> str:
        return "" if hyphenated and _parts_small_letters(match) else "-"

    return _HYPHEN_AT_LINE_END.sub(rejoin, text)


def _parts_small_letters(match: re.Match[str]) -> bool:
    return match["before"].islower() and match["after"].islower()


def leave_out_leaders(text: str) -> str:
    """The text with a space in place of each row of dots, such as those between a heading and its page in a table of
    contents: a model takes every dot for a word."""
    return _LEADERS.sub(" ", text)


def find_raw_words(raw: str, cleaned: str) -> list[tuple[int, Span]]:
    """Return where in the raw text each word of the cleaned one comes from: its number, from 0, and a span, in order.

    A word that is parted by a hyphen comes from a span before and one behind the parting.
    """
    parted = "\ufffe" in raw
    spans = [match.span() for match in (_PARTED_WORD if parted else _PLAIN_WORD).finditer(raw)]
    if len(spans) != len(cleaned.split()):
        spans = [span for span in spans if _is_seen(raw, span)]
    if not parted:
        return list(enumerate(spans))
    return [(number, piece.span()) for number, span in enumerate(spans) for piece in _PIECE.finditer(raw, *span)]


def _is_seen(raw: str, span: Span) -> bool:
    return bool(_HYPHEN_AT_LINE_END.search(raw, *span)) or bool(strip_invisible(raw[slice(*span)]))
