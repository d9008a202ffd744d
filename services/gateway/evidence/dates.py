"""Finds the dates of a text, whatever their notation."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# By month: English, German, French, Spanish, Italian, Portuguese, Dutch.
_MONTH_NAMES = (
    "january jan januar janvier enero gennaio janeiro januari",
    "february feb februar février fevrier febrero febbraio fevereiro februari",
    "march mar märz maerz mars marzo março marco maart",
    "april apr avril abril aprile",
    "may mai mayo maggio maio mei",
    "june jun juni juin junio giugno junho",
    "july jul juli juillet julio luglio julho",
    "august aug août aout agosto augustus",
    "september sep sept septembre septiembre settembre setembro",
    "october oct oktober okt octobre octubre ottobre outubro",
    "november nov novembre noviembre novembro",
    "december dec dezember dez décembre decembre diciembre dicembre dezembro",
)
MONTHS = {name: month for month, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()}
_MONTH = rf"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\b\.?"
_YEAR = r"(?P<year>(?:1[5-9]|2[01])\d\d)(?!\d)"
_DAY = r"(?<!\d)(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|\.|er|º)?"
_OF = r"(?:de |del |of |di |do )?"
_WORD = re.compile(r"\w+")
_DAY_FIRST = re.compile(rf"{_DAY}[\s\u00a0-]{{1,2}}{_OF}{_MONTH}(?:,?[\s\u00a0-]{{1,2}}{_OF}{_YEAR})?", re.IGNORECASE)
_MONTH_FIRST = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_MONTH}[\s\u00a0]{{1,2}}{_DAY}(?!\d)(?![.,:]\d)(?:(?:,|,?[\s\u00a0]{{1,2}})[\s\u00a0]?{_YEAR})?",
        rf"{_MONTH},?[\s\u00a0-]{{1,2}}{_OF}{_YEAR}",
    )
)
_IN_FIGURES = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?<![\d./-]){_YEAR}(?P<mark>[-/.])(?P<month_number>0?[1-9]|1[0-2])(?:(?P=mark){_DAY})(?![\d])",
        rf"{_YEAR}年(?:(?P<month_number>0?[1-9]|1[0-2])月(?:{_DAY}日)?)?",
        r"(?<!\d)(?P<month_number>0?[1-9]|1[0-2])月(?P<day>0?[1-9]|[12]\d|3[01])日",
        r"(?<![\d./-])(?P<first>0?[1-9]|[12]\d|3[01])(?P<mark>[./-])(?P<second>0?[1-9]|[12]\d|3[01])(?P=mark)"
        r"(?P<any_year>(?:1[5-9]|2[01])?\d\d)(?![\d])",
    )
)
_FISCAL = re.compile(
    r"(?:\b(?:FY|CY)[\s'\u00a0-]{0,2}|\bfiscal(?: year)? )(?P<year>(?:(?:19|2[01])?\d\d))(?![\d.,]\d)(?!\d)",
    re.IGNORECASE,
)
_SHORT_YEAR = re.compile(r"(?<!\w)'(?P<year>\d\d)(?!\w)")
_SPLIT_YEAR = re.compile(r"(?<!\d)(?P<century>19|20|21)(?P<first>\d\d)[/-](?P<second>\d\d)(?!\d)(?![-/.]\d)")


@dataclass(frozen=True, slots=True)
class Date:
    """A date as it stands in a text.

    Attributes:
        readings: year, month and day, None for what is not said; `3/4/2019` has two of them.
    """

    start: int
    end: int
    readings: tuple[tuple[int | None, int | None, int | None], ...]


def find_dates(text: str) -> Iterator[Date]:
    """Yield the dates of a folded text; a year alone only where it is called one (`FY19`)."""
    taken: list[tuple[int, int]] = []
    for match in _find_forms(text):
        if not any(start < match.end() and match.start() < end for start, end in taken[-50:]):
            taken.append(match.span())
            readings = _read(match.groupdict())
            if "\n" in match[0]:
                # The years of a table often begin on the line below its day, the first of several.
                readings += tuple((None, month, day) for _, month, day in readings if day is not None)
            if readings:
                yield Date(match.start(), match.end(), readings)
    for form in (_FISCAL, _SHORT_YEAR):
        for match in form.finditer(text):
            yield Date(match.start(), match.end(), ((_expand(match["year"]), None, None),))
    for match in _SPLIT_YEAR.finditer(text):
        century = int(match["century"]) * 100
        first, second = century + int(match["first"]), century + int(match["second"])
        if second == first + 1:
            yield Date(match.start(), match.end(), ((first, None, None), (second, None, None)))


def _find_forms(text: str) -> Iterator[re.Match[str]]:
    """Yield whatever looks like a date, form by form."""
    # Each word is looked up: to try all names of months at each letter takes ten times as long.
    months = [word.start() for word in _WORD.finditer(text) if word[0].lower() in MONTHS]
    if months:
        yield from _DAY_FIRST.finditer(text)
        for form in _MONTH_FIRST:
            yield from filter(None, (form.match(text, start) for start in months))
    for form in _IN_FIGURES:
        yield from form.finditer(text)


def _read(parts: dict[str, str | None]) -> tuple[tuple[int | None, int | None, int | None], ...]:
    if (first := parts.get("first")) and (second := parts.get("second")):
        year, days = _expand(parts["any_year"] or ""), (int(first), int(second))
        both = ((year, days[1], days[0]), (year, days[0], days[1]))
        return tuple(reading for reading in both if reading[1] <= 12)
    year_text, day, name = parts.get("year"), parts.get("day"), parts.get("month")
    number = parts.get("month_number")
    month = MONTHS[name.lower()] if name else int(number) if number else None
    return ((int(year_text) if year_text else None, month, int(day) if day else None),)


def _expand(year: str) -> int:
    value = int(year)
    return value if len(year) == 4 else value + (2000 if value < 70 else 1900)
