"""Folds what is written in several ways and means the same: digits, quotes, dashes, blanks, accents, ligatures."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_PLAIN = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u0060\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"),
    # A blank within a number; any other blank parts numbers, unless three digits stand behind it.
    **dict.fromkeys("\u00a0\u2007\u2008\u2009\u202f", "\u00a0"),
    **dict.fromkeys("\u066b\uff0e", "."),
    **dict.fromkeys("\u066c\uff0c", ","),
    **dict.fromkeys("\uff05\u066a", "%"),
    # They match `s` and `i` in any case, and in small letters are neither.
    "\u017f": "s",
    "\u0131": "i",
    "\u0130": "I",
    "\uff04": "$",
    "\uff1a": ":",
    "\uff0f": "/",
}


class _Folding(dict[int, int]):
    """A table for str.translate that learns a character when it first comes."""

    def __missing__(self, code: int) -> int:
        char = chr(code)
        plain = str(unicodedata.decimal(char)) if code > 127 and char.isdecimal() else _PLAIN.get(char, char)
        if len(self) < 5_000:  # scripts, not all of Unicode, are worth remembering
            self[code] = ord(plain)
        return ord(plain)


_FOLDING = _Folding()


def fold_characters(text: str) -> str:
    """Return the text, as long as before, with ASCII digits, straight quotes, plain dashes and points."""
    return text.translate(_FOLDING)


def fold_word(text: str) -> str:
    """Return the text in lower case, without accents and ligatures."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


@dataclass(frozen=True)
class Skeleton:
    """The letters and digits of a text, folded, and where each of them stands.

    What differs between a text and its copy is mostly between them: blanks, line breaks, hyphens at line ends, quotes.
    """

    text: str
    chars: str
    positions: Sequence[int]

    def find(self, needle: str, start: int = 0) -> tuple[int, int] | None:
        """Return where a skeleton stands as whole words, in characters of the text."""
        at = self.chars.find(needle, start) if needle else -1
        while at >= 0:
            first, last = self.positions[at], self.positions[at + len(needle) - 1]
            if self._is_edge(first, -1) and self._is_edge(last, 1):
                return first, last + 1
            at = self.chars.find(needle, at + 1)
        return None

    def _is_edge(self, position: int, step: int) -> bool:
        beside = position + step
        if not 0 <= beside < len(self.text) or not self.text[beside].isalnum():
            return True
        # Scripts without blanks have no edges of words.
        return ord(self.text[beside]) > 0x2E80 or self.text[beside].isdigit() != self.text[position].isdigit()


_BRACKETED = re.compile(r"[\[⟦［【](?=[^\[\]⟦⟧［］【】]{0,64}\d)[^\[\]⟦⟧［］【】]{0,64}[\]⟧］】]")


def make_skeleton(text: str, *, bracketed_numbers: bool = True) -> Skeleton:
    """Return the skeleton of a text.

    Parameters:
        bracketed_numbers: whether what stands in brackets with a digit belongs to it; models are told to leave it out.
    """
    chars: list[str] = []
    positions: list[int] = []
    kept = text
    if not bracketed_numbers:
        kept = _BRACKETED.sub(
            lambda found: (" " * len(found[0])) if any(map(str.isdigit, found[0])) else found[0], text
        )
    if kept.isascii():
        positions = [position for position, char in enumerate(kept) if char.isalnum()]
        return Skeleton(text, "".join(map(kept.__getitem__, positions)).lower(), positions)
    for position, char in enumerate(kept):
        for folded in char.lower() if char.isascii() else fold_word(char):
            if folded.isalnum():
                chars.append(folded)
                positions.append(position)
    return Skeleton(text, "".join(chars), positions)
