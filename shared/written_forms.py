"""Other forms in which the same is written: 1034 for 1,034, AX-1234 for AX1234, Mueller for Müller.

A reader takes them for one. The encoder of the lexical leg takes for a word what stands between signs, and ü for u.
"""

import re
from collections.abc import Iterator

MAX_CODE_CHARS = 32
"""Longer is no code but an address or a path."""
MAX_LETTERS = 6
"""Of a word that may be a code's first part where a blank stands in it: AX 1234."""

PART_WEIGHT = 0.5
"""Of a code's parts, each of which others may have, where the question has the code in one word."""
FIGURE_PART_WEIGHT = 0.3
"""Of 1 and 034 in a question with 1,034: passages of before figures were joined have these."""
MIN_COMPOUND = 8
MIN_PART = 4
"""Letters of a word that may be made of two, and of each of them."""

_THOUSANDS = re.compile(r"(?<![\w.,'’])[1-9]\d{0,2}([.,'’])\d{3}(?:\1\d{3})*(?!\d|\1\d)")
_NOT_DIGIT = re.compile(r"\D")
_NO_CENTS = re.compile(r"[.,]0{1,2}$")
_PIECES = re.compile(r"[^\W_]+(?:[-‑–/._][^\W_]+)*")
"""Pieces of letters and digits, parted by single signs."""
_SIGN = re.compile(r"[\W_]")
_AFTER_BLANK = re.compile(rf"(?<![^\W_])([^\W\d_]{{1,{MAX_LETTERS}}}) (?=(\d[^\W_]*(?:[-‑–/._][^\W_]+)*))")
_RUN = re.compile(r"\d+|[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+")
_IN_ASCII = {"ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "ø": "oe", "å": "aa"}
_TWO_LETTERS = re.compile(r"ae|oe|(?<![aeq])ue|aa")
"""That may stand for one; `ue` not as in Bauer, neue and Quelle."""


def list_forms(question: str) -> Iterator[tuple[str, float]]:
    """Yield what texts may have in place of words of a question, and how much it counts beside these."""
    figures_joined = join_thousands(question)
    for joined, parts in list_codes(figures_joined):
        yield joined, 1.0
        if long := [part for part in parts if len(part) > 1]:  # the 2 of v2 is in every list
            yield " ".join(long), PART_WEIGHT
    for spelling in list_spellings(question):
        yield spelling, 1.0
    if figures_joined != question:
        yield question, FIGURE_PART_WEIGHT


def join_thousands(text: str) -> str:
    """Return the text with 1,034, 1.034 and 1'034 as 1034; what is no such figure stays, as do blanks."""
    return _THOUSANDS.sub(lambda figure: _NOT_DIGIT.sub("", figure[0]), text)


def write_figure(figure: str) -> str:
    """Return a figure without signs between thousands, and without decimals where these are 0."""
    return _NO_CENTS.sub("", join_thousands(figure))


def list_codes(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield codes in one word, and in parts of letters and of digits: AX1234, AX-1234 and AX 1234 have the same."""
    for pieces in _PIECES.findall(text):
        yield from _part_code(pieces)
    for letters, digits in _AFTER_BLANK.findall(text):
        yield from _part_code(letters + digits)


def list_spellings(text: str) -> Iterator[str]:
    """Yield the small words that have ü, ö, ä, ø or å with two letters in its place, and the other way round."""
    for word in _WORD.findall(text.lower()):
        if not word.isascii():
            yield "".join(_IN_ASCII.get(letter, letter) for letter in word)
        elif _TWO_LETTERS.search(word):
            yield _TWO_LETTERS.sub(lambda two: two[0][0], word)


def list_compound_parts(text: str) -> Iterator[str]:
    """Yield every beginning and end of long words: some are what a compound is made of, the others are no words."""
    for word in _WORD.findall(text):
        for place in range(MIN_PART, len(word) - MIN_PART + 1) if len(word) >= MIN_COMPOUND else ():
            yield from (word[:place], word[place:])


def _part_code(pieces: str) -> Iterator[tuple[str, list[str]]]:
    joined = _SIGN.sub("", pieces)
    if any(map(str.isdigit, joined)) and any(map(str.isalpha, joined)) and len(joined) <= MAX_CODE_CHARS:
        yield joined, _RUN.findall(pieces)
