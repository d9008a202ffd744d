"""Finds what can be looked up of a claim: quotes, codes, dates, times, figures and names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.gateway.evidence.dates import Date, find_dates
from services.gateway.evidence.figures import Figure, find_figures
from services.gateway.evidence.folding import fold_characters, make_skeleton
from services.gateway.evidence.found import MISSING, Lookup, Outcome
from services.gateway.evidence.names import Name, find_name, find_names
from services.gateway.evidence.passage_index import PassageIndex

MAX_ITEMS = 64
"""Of one claim that are looked up; a sentence that a person reads has a few."""

_LEAST_QUOTED_WORDS = 3
_LEAST_QUOTED_CHARS = 10
_SMALL = 12
"""Up to this number a count may be the model's own ("three reasons"): it is looked up only with a unit."""

_LEAST_NUMBER = 100_000
"""From here on a figure may be a number of something, whose digits are parted in several ways."""

_MASKED = re.compile(r"⟦[^⟦⟧]{0,256}⟧")
_ENUMERATION = re.compile(r"(?m)^[ \t>]*(?:[-*+][ \t]+)?\(?\d{1,3}[.)](?=[ \t])")
_REFERENCE = re.compile(
    r"\b(?:pages?|pp?\.|passages?|sources?|documents?|steps?|options?|points?|lines?|seite|s\.)[ \u00a0]*"
    r"\d+(?:(?:[ ,&-]| and )+\d+)*",
    re.IGNORECASE,
)
_QUOTE = re.compile(r'(?<!\w)"([^"\n]{2,800})"(?!\w)')
_CORNER_QUOTE = re.compile(r"[「『]([^「」『』\n]{2,800})[」』]")
_LEFT_OUT = re.compile(r"\.{3}|…|\[[^\]\n]*\]")
_CODE = re.compile(r"(?<![\w/.])(?:[^\W\d_]{1,12}[-/.]?\d[\w]*(?:[-/.]\w+)*|\d{1,12}-[A-Z][\w-]{0,12})(?!\w)")
_PHONE = re.compile(r"(?<![\w.,])(?:\+\d{1,3}|\(?0\d{1,5}\)?)[ \u00a0()/-][\d \u00a0()/-]{4,18}\d(?![\w.,]\d)")
_NO_CODE = re.compile(
    r"(?:FY|CY|Q|H|US\$?|EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|mid-|pre-|post-|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov"
    r"|dec)[a-z]*[-/.]?\d",
    re.IGNORECASE,
)
_CENTURY = re.compile(r"(?:st|nd|rd|th|\.|e)?[ -](?:century|centuries|jahrhundert|siècle|siglo|secolo)", re.IGNORECASE)
_TIME = re.compile(r"(?<![\d:.])(\d{1,2})(?::([0-5]\d)(?![\d:])|(?=[ \u00a0]?(?:[ap]\.?m\b)))", re.IGNORECASE)
_ABOUT = re.compile(
    r"(?:\b(?:about|around|approximately|approx\.?|roughly|nearly|almost|over|more than|less than|fewer than|under"
    r"|above|below|up to|at least|at most|some|circa|ca\.|etwa|rund|mehr als|fast|knapp|über|environ|près de|plus de"
    r"|cerca de|más de)|~|≈|>|<)[ \u00a0]?(?:US)?[$€£]?\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quote:
    """Words in quotation marks; `parts` are the skeletons of what stands between the dots of what was left out."""

    start: int
    end: int
    parts: tuple[str, ...]
    decisive: bool
    """Whether it is long enough to be a quote rather than a word that is called one."""


@dataclass(frozen=True)
class Code:
    """Letters and digits in one: `E17`, `ISO-9001`, `10-K`."""

    start: int
    end: int
    skeleton: str


@dataclass(frozen=True)
class Time:
    """A time of day."""

    start: int
    end: int
    hour: int
    minute: int


@dataclass(frozen=True)
class Amount:
    """A figure of a claim.

    Attributes:
        parts: its figures where plain blanks part it, which may be several.
        about: whether it is said to be rounded.
    """

    start: int
    end: int
    figure: Figure
    parts: tuple[Figure, ...]
    about: bool


Item = Quote | Code | Time | Date | Amount | Name


def find_items(claim: str) -> list[Item]:
    """Return what can be looked up of a claim, in its characters; the first MAX_ITEMS of each kind in order."""
    folded = fold_characters(claim)
    for nothing in (_MASKED, _ENUMERATION, _REFERENCE):
        folded = nothing.sub(lambda match: " " * len(match[0]), folded)
    taken = bytearray(len(folded))  # 1 for each character that is of an item
    items: list[Item] = []

    def mark(item: Item) -> None:
        taken[item.start : item.end] = b"\1" * (item.end - item.start)

    def take(found: Iterator[Item]) -> None:
        for item in found:
            if len(items) >= MAX_ITEMS:
                return
            if 1 not in taken[item.start : item.end]:
                items.append(item)
                mark(item)

    quotes = [*_find_quotes(folded, _QUOTE), *_find_quotes(claim, _CORNER_QUOTE)]
    items += quotes[:MAX_ITEMS]
    take(find_dates(folded))
    take(_find_times(folded))
    take(_find_codes(folded))
    take(_find_amounts(folded))
    for quote in quotes:
        mark(quote)
    take(find_names(folded))
    return sorted(items, key=lambda item: item.start)


def look_up(item: Item, index: PassageIndex) -> Lookup:
    """Look an item up in a passage."""
    match item:
        case Quote(parts=parts):
            return _join([index.find_text(part) for part in parts])
        case Code(skeleton=skeleton):
            return index.find_text(skeleton)
        case Time():
            return index.find_time(item.hour, item.minute)
        case Date():
            return index.find_date(item)
        case Name():
            return find_name(item, index)
        case Amount():
            return _look_up_amount(item, index)


def is_decisive(item: Item) -> bool:
    """Return whether a claim is unsupported without this item; other ones count only where they are found."""
    return not isinstance(item, Quote | Name) or item.decisive


def _look_up_amount(amount: Amount, index: PassageIndex) -> Lookup:
    figure = amount.figure
    if figure.is_year and not amount.about and (year := index.find_year(int(figure.readings[0]))).outcome:
        return year
    found = index.figures.find(figure, about=amount.about)
    if found.outcome is not Outcome.FOUND and amount.parts:
        found = max(found, _join([index.figures.find(part) for part in amount.parts]), key=lambda one: one.outcome)
    if found.outcome is Outcome.MISSING and figure.readings[0] >= _LEAST_NUMBER:
        return index.find_text(str(figure.readings[0]))  # of a telephone or an account, parted in another way
    return found


def _join(lookups: list[Lookup]) -> Lookup:
    if not lookups:
        return MISSING
    outcome = min(lookup.outcome for lookup in lookups)
    return Lookup(outcome, tuple(lookup.spots[0] for lookup in lookups if lookup.spots))


def _find_quotes(text: str, form: re.Pattern[str]) -> Iterator[Quote]:
    for match in form.finditer(text):
        texts = [text for text in _LEFT_OUT.split(match[1]) if any(map(str.isalnum, text))]
        parts = tuple(make_skeleton(text).chars for text in texts)
        if not parts:
            continue
        words = len(match[1].split())
        unspaced = sum(ord(char) > 0x2E80 for char in match[1])
        decisive = (words >= _LEAST_QUOTED_WORDS and len("".join(parts)) >= _LEAST_QUOTED_CHARS) or unspaced >= 6
        yield Quote(match.start(), match.end(), parts, decisive)


def _find_times(folded: str) -> Iterator[Time]:
    for match in _TIME.finditer(folded):
        if int(match[1]) <= 24:
            yield Time(match.start(), match.end(), int(match[1]), int(match[2] or 0))


def _find_codes(folded: str) -> Iterator[Code]:
    for match in _PHONE.finditer(folded):
        yield Code(match.start(), match.end(), make_skeleton(match[0]).chars)
    for match in _CODE.finditer(folded):
        if any(map(str.isupper, match[0])) and not _NO_CODE.match(match[0]):
            skeleton = make_skeleton(match[0]).chars
            yield Code(match.start(), match.end(), skeleton)


def _find_amounts(folded: str) -> Iterator[Amount]:
    for figure in find_figures(folded):
        value = figure.readings[0]
        if value <= _SMALL and value == int(value) and not figure.measured:
            continue
        if _CENTURY.match(folded, figure.end):
            continue  # told from a year
        about = _is_about(folded, figure.start)
        parts: tuple[Figure, ...] = ()
        if figure.blanks:
            pieces = folded[figure.start : figure.end].split()
            parts = tuple(one for piece in pieces for one in find_figures(piece))
        yield Amount(figure.start, figure.end, figure, parts, about)


def _is_about(folded: str, start: int) -> bool:
    """Return whether the figure that begins there is said to be rounded."""
    before = max(0, start - 24)
    last = folded[before:start].rstrip(" \u00a0$€£")[-1:]
    # In a table, or a list, another figure stands before most of them, and to try all these words takes long.
    return (last.isalpha() or last in "~≈><.") and _ABOUT.search(folded, before, start) is not None
