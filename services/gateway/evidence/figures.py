"""Finds the figures of a text, whatever their notation, and reads their values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from services.gateway.evidence.units import (
    has_currency,
    has_unit,
    read_duration,
    read_letter_scale,
    read_percent,
    read_scale,
)

MAX_DIGITS = 40
"""Of one figure; nobody writes a longer one, and arithmetic on it would take long."""

_GROUPED = r"\d{1,3}(?P<separator>[,.'\u00a0 ])\d{3}(?:(?P=separator)\d{3}){0,12}(?:[.,]\d{1,12})?"
_INDIAN = r"\d{1,2}(?:,\d{2}){1,6},\d{3}(?:\.\d{1,12})?"
_PLAIN = rf"\d{{1,{MAX_DIGITS}}}(?:[.,]\d{{1,{MAX_DIGITS}}})?"
_FIGURE = re.compile(rf"(?<!\d)(?<!\d[.,])(?:{_GROUPED}|{_INDIAN}|{_PLAIN})(?!\d)(?P<fraction> ?[½¼¾])?")
_FRACTIONS = {"½": Decimal("0.5"), "¼": Decimal("0.25"), "¾": Decimal("0.75")}
_ATTACHED_BEFORE = re.compile(r"[^\W\d_\u2e80-\uffff][\-/.]?\Z")
_CURRENCY_CODE_BEFORE = re.compile(r"(?:usd|us|eur|gbp|chf|fy|cy|rs|dm|hk|a|c)\$?\Z", re.IGNORECASE)
_ORDINAL_AFTER = re.compile(r"(?:st|nd|rd|th|er|ère|[eè]me|º|ª)\b", re.IGNORECASE)
_DECADE_AFTER = re.compile(r"s(?!\w)")

_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve",
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
    "ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "eine",
    "un deux trois quatre cinq six sept huit neuf dix onze douze",
    "une",
    "uno dos tres cuatro cinco seis siete ocho nueve diez",
    "una",
)
_TEEN_WORDS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {word: number for words in _WORDS for number, word in enumerate(words.split(), start=1)}
_NUMBER_WORDS |= {word: number for number, word in enumerate(_TEEN_WORDS.split(), start=13)}
_TENS = {word: 10 * n for n, word in enumerate(_TEN_WORDS.split(), start=2)}
_UNITS = {word: n for n, word in enumerate(_WORDS[0].split()[:9], start=1)}
_NUMBER_WORDS |= _TENS
_WORD = re.compile(r"\w+")
_NEXT_WORD = re.compile(r"[\s-](\w+)")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as it stands in a text.

    Attributes:
        start, end: in characters, with the scale word or percent sign behind it.
        readings: the values that its digits may have, the likeliest first: `1,234` is 1234 or 1.234.
        scales: what it may be multiplied with; `(1,)` where nothing stands behind it.
        percent: whether it is a share in hundredths.
        measured: whether it has a scale, a currency, a percent sign or a unit.
        duration: whether it counts months rather than minutes, and how many of them its unit has.
        word: whether it is written in letters.
    """

    start: int
    end: int
    readings: tuple[Decimal, ...]
    scales: tuple[Decimal, ...] = (Decimal(1),)
    percent: bool = False
    measured: bool = False
    duration: tuple[bool, Decimal] | None = None
    word: bool = False
    blanks: bool = False
    """Whether plain blanks part its digits, which may as well be several figures."""

    @property
    def scaled(self) -> bool:
        """Whether a scale stands behind it."""
        return self.scales != (Decimal(1),)

    @property
    def unit_of_last_digit(self) -> Decimal:
        """What one step of its last digit is worth, without the scale."""
        exponent = self.readings[0].as_tuple().exponent
        return Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)

    @property
    def is_year(self) -> bool:
        """Whether it may be a year: four digits and nothing beside them."""
        value = self.readings[0]
        return not self.measured and len(self.readings) == 1 and 1500 <= value < 2200 and value == int(value)


def find_figures(text: str, *, apart: bool = False) -> Iterator[Figure]:
    """Yield the figures of a folded text; what is attached to letters (`E17`) is none.

    Parameters:
        apart: yield what plain blanks part as a whole and each by itself.
    """
    for match in _FIGURE.finditer(text):
        if _is_attached(text, match.start(), match.end()):
            continue
        figure = _measure(text, match.start(), match.end(), _read_values(match))
        yield figure
        if apart and match["separator"] == " ":
            for part in re.finditer(r"[^ ]+", match[0]):
                start = match.start() + part.start()
                yield _measure(text, start, start + len(part[0]), (_to_decimal(part[0].replace(",", ".")),))
    yield from _find_words(text)


def _find_words(text: str) -> Iterator[Figure]:
    """Yield the figures that are written in letters. Each word is looked up: one pattern of all takes far longer."""
    end = 0
    for match in _WORD.finditer(text):
        word = match[0].lower()
        value = _NUMBER_WORDS.get(word)
        if value is None or match.start() < end:
            continue
        end = match.end()
        if word in _TENS and (following := _NEXT_WORD.match(text, end)) and (unit := following[1].lower()) in _UNITS:
            value, end = value + _UNITS[unit], following.end()
        yield _measure(text, match.start(), end, (Decimal(value),), word=True)


def _is_attached(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 4) : start]
    if _ATTACHED_BEFORE.search(before) and not _CURRENCY_CODE_BEFORE.search(before):
        # `co-2019`, `E17`; a figure behind a hyphen that ends a word is one: `mid-2019`
        return not (before[-1:] == "-" and len(before) > 2 and before[-3:-1].islower())
    if text[end : end + 1].isalpha() or (text[end : end + 1] == "-" and text[end + 1 : end + 2].isupper()):
        return not (
            ord(text[end]) > 0x2E80
            or has_unit(text, start, end)
            or read_scale(text, end)
            or read_letter_scale(text, end)
            or _ORDINAL_AFTER.match(text, end)
            or _DECADE_AFTER.match(text, end)
        )
    return False


def _measure(text: str, start: int, end: int, readings: tuple[Decimal, ...], *, word: bool = False) -> Figure:
    blanks = " " in text[start:end]
    behind = text[end : end + 3].lstrip(" -\n\u00a0")
    if not behind or not (behind[0].isalpha() or behind[0] in "%°$€£¥₹₩₽"):
        # Nothing that could be a unit; so it is in tables, which have most figures.
        return Figure(start, end, readings, measured=has_currency(text, start), word=word, blanks=blanks)
    if percent := read_percent(text, end):
        factor, stop = percent
        readings = tuple(value * factor for value in readings)
        return Figure(start, stop, readings, percent=True, measured=True, word=word, blanks=blanks)
    if scale := read_scale(text, end):
        return Figure(start, scale[1], readings, (scale[0],), measured=True, word=word, blanks=blanks)
    if letter := (None if word else read_letter_scale(text, end)):
        # `$5m` is money, `5m` may be metres.
        scales = (letter[0],) if has_currency(text, start) else (Decimal(1), letter[0])
        return Figure(start, letter[1], readings, scales, measured=True, blanks=blanks)
    duration = read_duration(text, end)
    measured = duration is not None or has_unit(text, start, end)
    return Figure(start, end, readings, measured=measured, duration=duration, word=word, blanks=blanks)


def _read_values(match: re.Match[str]) -> tuple[Decimal, ...]:
    digits = match[0].rstrip("½¼¾").rstrip(" ")
    separator = match["separator"]
    fraction = _FRACTIONS[match["fraction"].strip()] if match["fraction"] else Decimal(0)
    if separator is None:
        indian = digits.count(",") > 1
        return (_to_decimal(digits.replace(",", "" if indian else ".")) + fraction,)
    whole = digits.replace(separator, "")
    grouped = _to_decimal(whole.replace(",", "."))
    if separator in ",." and digits.count(separator) == 1 and len(whole) == len(digits) - 1 and whole.isdigit():
        decimal = _to_decimal(digits.replace(",", "."))
        if digits[0] == "0":
            return (decimal,)
        # `1,234` is a thousand first, `1.234` a little more than one; each may be the other.
        return (grouped, decimal) if separator == "," else (decimal, grouped)
    return (grouped + fraction,)


def _to_decimal(digits: str) -> Decimal:
    return Decimal(digits)
