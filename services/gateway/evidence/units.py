"""Says what stands beside a figure: scales, percent, currencies, units of time and measure."""

import re
from decimal import Decimal

_SCALE_WORDS = {
    100: "hundred",
    1_000: "thousand thousands k tausend tsd mille mila mil duizend тыс тысяч тысячи ألف 千",
    10_000: "万 萬",
    100_000: "lakh lakhs",
    1_000_000: (
        "million millions mn mio mill millionen millón millones milione milioni milhão milhões miljoen"
        " млн миллион миллиона миллионов مليون"
    ),
    10_000_000: "crore crores",
    100_000_000: "亿 億",
    1_000_000_000: (
        "billion billions bn mrd md milliarde milliarden milliard milliards miliardo miliardi bilhão bilhões miljard"
        " млрд миллиард миллиарда миллиардов مليار"
    ),
    1_000_000_000_000: "trillion trillions tn 兆",
}
SCALES = {word: Decimal(scale) for scale, words in _SCALE_WORDS.items() for word in words.split()}
LETTER_SCALES = {"k": Decimal(1_000), "m": Decimal(10**6), "b": Decimal(10**9), "t": Decimal(10**12)}
"""Behind a digit only, `$5m`; `5 m` are metres."""

_PERCENT = r"%|percent(?:age points?)?\b|per ?cent\b|pct\b|prozent\b|pour ?cent\b|por ?ciento\b|procent\b"
_BASIS_POINTS = r"basis points?\b|bps\b"
CURRENCY = r"[$€£¥₹₩₽]|\b(?:usd|eur|gbp|chf|jpy|cny|inr|aud|cad)\b"
_MONEY = rf"{CURRENCY}|dollars?\b|euros?\b|pounds?\b|cents?\b|yen\b"

_DURATIONS = {
    "minute": Decimal(1),
    "hour": Decimal(60),
    "day": Decimal(1440),
    "week": Decimal(10_080),
}
_CALENDAR = {"month": Decimal(1), "quarter": Decimal(3), "year": Decimal(12), "decade": Decimal(120)}

_TIMES = (
    "seconds? secs? minutes? mins? hours? hrs? days? nights? weeks? months? quarters? years? yrs? decades? percent"
    " sekunden? minuten? stunden? tage?n? wochen? monate?n? jahre?n? secondes? heures? jours? semaines? mois ans?"
    " segundos? minutos? horas? d[ií]as? semanas? meses años?"
)
_MEASURES = (
    "kg g mg t tonnes? tons? lbs? oz km m cm mm nm miles? mi ft feet inch(?:es)? ha acres? l ml litres? liters?"
    " gallons? v kv mv ma w kw mw gw wh kwh mwh gwh hz khz mhz ghz °c °f ° k b kb mb gb tb pb bar psi pa kpa mpa dpi"
    " ppm am pm a\\.m p\\.m x times units? copies pages? employees people persons credits points"
)
_UNIT = re.compile(
    rf"[\s\-\u00a0]{{0,2}}(?:{_MONEY}|{_PERCENT}|(?:{'|'.join((_TIMES + ' ' + _MEASURES).split())})(?![^\W\d_]))",
    re.IGNORECASE,
)
_PERCENT_AFTER = re.compile(rf"[\s\-\u00a0]{{0,2}}(?:{_PERCENT})", re.IGNORECASE)
_BASIS_POINTS_AFTER = re.compile(rf"[\s\-\u00a0]{{0,2}}(?:{_BASIS_POINTS})", re.IGNORECASE)
_CURRENCY_BEFORE = re.compile(rf"(?:{CURRENCY})[\s\u00a0]?[-(]?\Z", re.IGNORECASE)
_DURATION_AFTER = re.compile(r"[\s\-\u00a0]{1,2}(minute|hour|day|week|month|quarter|year|decade)", re.IGNORECASE)
_SCALE_AFTER = re.compile(
    rf"[\s\-\u00a0]?({'|'.join(sorted(SCALES, key=len, reverse=True))})(?![a-zà-ÿ])", re.IGNORECASE
)
_LETTER_AFTER = re.compile(r"([kmbt])(?!\w)", re.IGNORECASE)
_SCALE_HINT = re.compile(
    r"(?:\b(?:in|of|eur|usd|gbp)|[€$£(])[\s(]{0,2}(?:[a-z]{1,12} ){0,2}(thousand|million|billion|mio|mrd|tausend)"
    r"|\b(thousand|million|billion)s of (?:u\.?s\.? )?(?:dollar|euro|pound)",
    re.IGNORECASE,
)


def read_scale(text: str, end: int) -> tuple[Decimal, int] | None:
    """Return the scale word behind a figure and where it ends."""
    scale, total = Decimal(1), end
    while match := _SCALE_AFTER.match(text, total):
        word = match[1].lower()
        if word == "k" and match.start(1) != total:
            break  # 300 K are kelvins
        scale, total = scale * SCALES[word], match.end()
        if scale > 10**15:
            break
    return (scale, total) if total > end else None


def read_letter_scale(text: str, end: int) -> tuple[Decimal, int] | None:
    """Return the scale of a letter that is attached to a figure, and where it ends."""
    match = _LETTER_AFTER.match(text, end)
    return (LETTER_SCALES[match[1].lower()], match.end()) if match else None


def read_percent(text: str, end: int) -> tuple[Decimal, int] | None:
    """Return what a percent sign or its like multiplies with (basis points: 0.01 percent), and where it ends."""
    if match := _PERCENT_AFTER.match(text, end):
        return Decimal(1), match.end()
    if match := _BASIS_POINTS_AFTER.match(text, end):
        return Decimal("0.01"), match.end()
    return None


def read_duration(text: str, end: int) -> tuple[bool, Decimal] | None:
    """Return whether a figure counts months rather than minutes, and how many of them its unit has."""
    match = _DURATION_AFTER.match(text, end)
    if not match:
        return None
    unit = match[1].lower()
    return (True, _CALENDAR[unit]) if unit in _CALENDAR else (False, _DURATIONS[unit])


def has_unit(text: str, start: int, end: int) -> bool:
    """Return whether a figure is measured in something: money, percent, time, weight; a count of things is not."""
    return _UNIT.match(text, end) is not None or has_currency(text, start)


def has_currency(text: str, start: int) -> bool:
    """Return whether a currency stands before a figure."""
    return _CURRENCY_BEFORE.search(text[max(0, start - 6) : start]) is not None


def find_scale_hints(text: str) -> frozenset[Decimal]:
    """Return the scales that a text names for its tables: `in millions`, `$ million`."""
    return frozenset(SCALES[(match[1] or match[2]).lower()] for match in _SCALE_HINT.finditer(text))
