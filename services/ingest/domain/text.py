"""Cleans the text that comes out of a PDF: it is data from a stranger."""

import re
import unicodedata

from shared.invisible_text import strip_invisible

_HYPHEN_AT_LINE_END = re.compile("(?<=(?P<before>.))\ufffe(?:\r\n|[\r\n\f])?(?=(?P<after>.?))")
_HYPHENATED_PAGE = 4
"""So many words that are parted at a line's end, and the page was set with hyphenation. In 13 filings and 6 handbooks
without it there was one in five pages, always in a word that has a hyphen of its own (`year-on-year`, `AES-256`)."""
_SPACES = re.compile("[ \t\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def clean_text(raw: str) -> str:
    """Readable text with `\\n` between lines and no control or invisible characters.

    PDFium marks a hyphen at a line's end, where a word goes on in the next line, with U+FFFE. It stays, unless the
    page parts words by hyphenation: then words in small letters are joined.
    """
    text = strip_invisible(_rejoin_words(raw))
    text = unicodedata.normalize("NFC", text)
    lines = [_SPACES.sub(" ", line).strip() for line in text.split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _rejoin_words(text: str) -> str:
    hyphenated = sum(map(_parts_small_letters, _HYPHEN_AT_LINE_END.finditer(text))) >= _HYPHENATED_PAGE

    def rejoin(match: re.Match[str]) -> str:
        return "" if hyphenated and _parts_small_letters(match) else "-"

    return _HYPHEN_AT_LINE_END.sub(rejoin, text)


def _parts_small_letters(match: re.Match[str]) -> bool:
    return match["before"].islower() and match["after"].islower()
