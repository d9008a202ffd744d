"""Finds the years, quarters and halves of years that a text names, however they are written.

"FY2018", "fiscal 18", "2Q23", "Q22023", "the second quarter of fiscal 2023" and `2023Q2` in a file's name become the
same terms: a year `2023`, a part of a year `q2`, and the two together `2023q2`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Period:
    """A term, and whether it was written as those who keep accounts do: with FY, or as a quarter or a half."""

    term: str
    fiscal: bool


_CENTURY = 70
"""Two digits from here on are of the twentieth century."""
_PART_NUMBERS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}

_LETTERS = {ord("ſ"): "s", ord("ı"): "i", ord("İ"): "I"}
"""What a pattern that ignores case takes for another letter, and lower() does not: in old prints and Turkish ones."""

_YEAR = r"(?:19|20)\d\d"
_END = r"(?!\d|[.,]\d|\s?%)"
_FISCAL = r"(?:FY|CY|fiscal(?:\s+year)?)"
_PART = (
    r"(?<![^\W\d_])(?:(?P<kind>[QH])\s?(?P<number>[1-4])|(?<!\d)(?P<number2>[1-4])\s?(?P<kind2>[QH])(?![^\W\d_])"
    r"|(?P<ordinal>first|second|third|fourth|1st|2nd|3rd|4th)[\s-]+(?:fiscal\s+)?(?P<long>quarter|half)(?![^\W\d_]))"
)
_BETWEEN = r"[\s,_/-]*(?:(?:of|in|for|the|fiscal|year)\b[\s,_-]*)*(?:FY|CY)?[\s'’]*"

_PLAIN_YEAR = re.compile(rf"(?<![\d.,$€£¥])({_YEAR})(?:\s?[/–-]\s?(\d\d)(?![\d/-]))?{_END}")
_DAY = re.compile(rf"(?<!\d)({_YEAR})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)")
_FISCAL_YEAR = re.compile(rf"(?<![^\W\d_]){_FISCAL}[\s'’-]*({_YEAR}|\d\d){_END}", re.IGNORECASE)
_PART_THEN_YEAR = re.compile(rf"{_PART}(?:{_BETWEEN}({_YEAR}){_END}|['’]?(\d\d){_END})?", re.IGNORECASE)
_YEAR_THEN_PART = re.compile(rf"(?:({_YEAR})|(?<=FY)(\d\d))[\s,_'’-]*{_PART}(?![^\W_])", re.IGNORECASE)


def find_periods(text: str) -> dict[str, Period]:
    """Return the periods of a text by their terms."""
    found: dict[str, Period] = {}
    text = " ".join(text.translate(_LETTERS).split())  # long runs of spaces would be tried again and again
    for term, fiscal in _find_terms(text):
        if term not in found or fiscal:
            found[term] = Period(term, fiscal)
    return found


def find_years(text: str) -> list[str]:
    """Return every year of four digits that a text names, as often as it does. Quick: it reads whole documents."""
    return [match[1] for match in _PLAIN_YEAR.finditer(text)]


def _find_terms(text: str) -> Iterator[tuple[str, bool]]:
    for match in _PLAIN_YEAR.finditer(text):
        yield match[1], False
        if match[2] and int(match[2]) == (int(match[1]) + 1) % 100:  # 2026/27
            yield str(int(match[1]) + 1), False
    for match in _DAY.finditer(text):
        yield match[1], False
    for match in _FISCAL_YEAR.finditer(text):
        yield _complete(match[1]), True
    for match in _PART_THEN_YEAR.finditer(text):
        part, year = _read_part(match), match[7] or match[8]
        if part:
            yield part, True
        if part and year:
            yield _complete(year), True
            yield _complete(year) + part, True
    for match in _YEAR_THEN_PART.finditer(text):
        part, year = _read_part(match), match[1] or match[2]
        if part:
            yield part, True
            yield _complete(year), True
            yield _complete(year) + part, True


def _read_part(match: re.Match[str]) -> str | None:
    """As `q2` or `h1`; None where there is no such half."""
    kind = (match["kind"] or match["kind2"] or match["long"])[0].lower()
    number = match["number"] or match["number2"] or _PART_NUMBERS[match["ordinal"].lower()]
    part = f"{'q' if kind == 'q' else 'h'}{number}"
    return None if part in ("h3", "h4") else part


def _complete(year: str) -> str:
    if len(year) == 4:
        return year
    return f"{'20' if int(year) < _CENTURY else '19'}{year}"
