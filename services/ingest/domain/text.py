"""Cleans the text that comes out of a PDF: it is data from a stranger."""

import re
import unicodedata

# Invisible in print, so they can only mislead a reader or a model: zero-width and bidi marks, the Tag block,
# variation selectors. Tab and newline stay; a soft hyphen is a line-break hint.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_HYPHEN_AT_LINE_END = re.compile("(?<=(?P<before>.))\ufffe\n?(?=(?P<after>.?))")
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
    text = raw.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = _rejoin_words(text)
    text = _INVISIBLE.sub("", _CONTROL.sub("", text))
    text = unicodedata.normalize("NFC", text)
    lines = [_SPACES.sub(" ", line).strip() for line in text.split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _rejoin_words(text: str) -> str:
    hyphenated = sum(map(_parts_small_letters, _HYPHEN_AT_LINE_END.finditer(text))) >= _HYPHENATED_PAGE

    def rejoin(match: re.Match[str]) -> str:
        return "" if hyphenated and _parts_small_letters(match) else "-"

    return _HYPHEN_AT_LINE_END.sub(rejoin, text).replace("\ufffe", "")


def _parts_small_letters(match: re.Match[str]) -> bool:
    return match["before"].islower() and match["after"].islower()
