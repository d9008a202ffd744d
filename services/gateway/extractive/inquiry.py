"""Reads a question: its terms, what kind of answer it expects, and whether it asks for several things."""

import re
from dataclasses import dataclass
from enum import Enum

from services.gateway.extractive.vocabulary import FRAME_WORDS, KIND_WORDS, LOOSE_WORDS, STOP_WORDS, VAGUE_WORDS
from services.gateway.extractive.words import find_acronyms, fold, split_words, stem

MAX_TERMS = 40
"""A question has few terms that matter; a pasted page of text must not make answering slow."""


class Expected(Enum):
    """What a text must hold to answer."""

    ANYTHING = "anything"
    DATE = "date"
    MONEY = "money"
    NUMBER = "number"
    DURATION = "duration"
    NAME = "name"
    CONTACT = "contact"


@dataclass(frozen=True)
class Term:
    """A word of the question that carries meaning.

    Parameters:
        key: names the thing or property that is asked for; without it an answer is about something else.
        acronym: the word as written when it is an acronym, or empty.
        kind: only says what kind of answer is expected (`price`, `phone number`).
        loose: often put otherwise by a text that answers (`become`, `large`).
        named: capitalised within the question, so likely part of a name.
    """

    stem: str
    key: bool
    acronym: str = ""
    kind: bool = False
    loose: bool = False
    named: bool = False


@dataclass(frozen=True)
class Inquiry:
    """A question as the extractive answer sees it.

    Parameters:
        phrases: words that stand together, in which an acronym of the text may be spelled out.
        several: whether the answer is likely a list.
        explain: whether a sentence answers better than a row of a table.
        procedure: whether it asks what happens or what to do, which seldom takes a single sentence.
        history: whether it asks what happened over the years.
        sides: the terms of each thing that is compared; empty if nothing is.
        years: first and last year that a listed item may be of, or None.
    """

    text: str
    terms: tuple[Term, ...]
    phrases: tuple[tuple[str, ...], ...]
    expected: Expected
    several: bool
    explain: bool
    procedure: bool
    history: bool
    sides: tuple[frozenset[str], ...]
    years: tuple[int, int] | None


_CURRENCY = r"(?:[$€£¥₹]|\b(?:usd|eur|gbp|chf|sek|nok|dkk|kr|jpy|inr|aud|cad|euros?|dollars?|pounds?|francs?|cents?)\b)"
_NUMBER_WORDS = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty"
    r"|hundred|thousand|million|dozen|half|once|twice|none|no|unlimited|every|daily|weekly|monthly|yearly|annually"
)
_MONTHS = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
_PATTERNS = {
    Expected.MONEY: rf"{_CURRENCY}\s*\d|\d\s*(?:k|m|bn|million|billion|p)?\s*{_CURRENCY}|\b\d+p\b"
    r"|\bfree\b|\bno charge\b"
    r"|\b(?:nothing|percent)\b|\d\s?%|[$€£¥]\D{0,12}\d|\b(?:euros?|dollars?|pounds?|francs?)\b.*\d",
    Expected.DATE: rf"\b(?:1[0-9]|20|21)\d\d\b|\b(?:{_MONTHS})\b|\b\d{{1,2}}[:.]\d\d\b|\b\d{{1,2}}\s?[ap]\.?m\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(?:minutes?|hours?|days?|weeks?|months?|years?)\b"
    r"|\b(?:daily|weekly|monthly|annually|noon|midnight)\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b\d{1,2}(?:st|nd|rd|th)\b",
    Expected.DURATION: rf"(?:\d|\b(?:{_NUMBER_WORDS}|a|an)\b)[\s\w.,-]{{0,24}}?(?:\b|(?<=\d))"
    r"(?:s|secs?|seconds?|milliseconds|ms|min|minutes?|h|hrs?|hours?|days?|weeks?|fortnights?|months?|years?|terms?)\b"
    r"|\b\d{1,2}[:.]\d\d\b",
    Expected.NUMBER: rf"\d|\b(?:{_NUMBER_WORDS})\b",
    Expected.CONTACT: r"\S@\S|\+?\d[\d\s()/-]{5,}\d|https?:|www\.",
}
_COMPILED = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _PATTERNS.items()}
_NAME = re.compile(r"[^\W\d_][\w'’.-]+")

_ASKS: tuple[tuple[Expected, str], ...] = (
    (Expected.ANYTHING, r"^\W*where\b"),
    (Expected.CONTACT, r"\b(?:e-?mail|(?:tele)?phone|hotline|fax)\b.{0,20}\b(?:address|number)\b"),
    (Expected.CONTACT, r"\b(?:number|e-?mail) (?:of|for)\b"),
    (Expected.DURATION, r"\bhow long\b|\bhow (?:soon|often|quickly)\b"),
    (Expected.DURATION, r"\bhow (?:far|much) (?:ahead|notice|time|in advance|warning)\b"),
    (
        Expected.MONEY,
        r"\bhow much (?:is|are|does|do|did|was|will|would|must|should)\b"
        r"(?!.{3,60}\b(?:weigh|consume|hold|use)\b)",
    ),
    (
        Expected.MONEY,
        r"\b(?:price|costs?|fees?|fare|salary|wage|stipend|revenue|turnover|budget|deposit|fine)\b"
        r"|\bis charged\b|\b(?:the|which|what) (?:\w+ )?charges?\b",
    ),
    (Expected.DATE, r"^\W*(?:(?:since|until|from|by|on) )?when\b|\bat what time\b"),
    (Expected.DATE, r"\b(?:what|which) (?:date|day|year|month|time)\b"),
    (Expected.NUMBER, r"\bhow (?:many|much|heavy|fast|tall|high|big|large|wide|deep|hot|cold|old|far|loud)\b"),
    (Expected.NUMBER, r"\b(?:what|which) (?:percentage|proportion|number)\b"),
    (Expected.NAME, r"\bwho(?:se|m)?\b"),
)
"""The first pattern that a question holds tells what it expects."""
_SEVERAL = re.compile(
    r"^\W*(?:please )?list\b|\b(?:a list of|enumerate|compare|comparison|differences?|differ|versus|vs|summari[sz]e)\b"
    r"|\b(?:what|which) (?:are|were)\b|\ball\b|\bwhat(?:'s|’s| is| are)? includ|\beverything\b"
    r"|\b(?:what|which) (?:[a-z]+ )?[a-z]{2,}[^su\W]s"
    r" (?:or|and|are|were|is|do|does|did|must|can|may|will|should|have)\b",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?:compare|comparison (?:of|between)|differences? between|differ)\b(?P<left>.+?)"
    r"\b(?:and|with|to|versus|vs)\b(?P<right>.+)",
    re.IGNORECASE | re.DOTALL,
)
_YEAR = r"(1[5-9]\d\d|20\d\d|21\d\d)"
_FROM_YEAR = re.compile(
    rf"\b(?:from|since|starting(?: in)?|as of)\s+{_YEAR}\b|\b{_YEAR}\s+(?:onwards?|and later|or later|on\b)", re.I
)
_AFTER_YEAR = re.compile(rf"\b(?:after|later than)\s+{_YEAR}\b", re.I)
_UNTIL_YEAR = re.compile(rf"\b(?:until|till|up to|through)\s+{_YEAR}\b", re.I)
_BEFORE_YEAR = re.compile(rf"\b(?:before|prior to|earlier than)\s+{_YEAR}\b", re.I)
_SPAN_OF_YEARS = re.compile(rf"\b(?:between|from)\s+{_YEAR}\s+(?:and|to|until)\s+{_YEAR}\b", re.I)
_KIND_STEMS = frozenset(map(stem, KIND_WORDS))
_VAGUE_STEMS = frozenset(map(stem, VAGUE_WORDS))
_LOOSE_STEMS = frozenset(map(stem, LOOSE_WORDS))
_FRAME_STEMS = frozenset(map(stem, FRAME_WORDS)) | _VAGUE_STEMS
_ORDER = re.compile(r"^\W*(?:please )?(?:list|show|name|give)\b(?: me)?", re.IGNORECASE)
_EXPLAIN = re.compile(
    r"^\W*(?:what happens|what if|why|how (?:do|does|can|should|is|are|to)|can|may|must|is|are|am|does|do|will)\b",
    re.IGNORECASE,
)


_HISTORY = re.compile(
    r"\b(?:milestones?|histor(?:y|ical)|timeline|chronology|everything that happened|key (?:dates|events)"
    r"|(?:main |important )?events)\b",
    re.IGNORECASE,
)
_PROCEDURE = re.compile(
    r"\bwhat (?:happens|if)\b|\bwhat (?:do|should|must|shall|can|to)\b.{0,30}\bdo\b|"
    r"\bhow (?:do|can|should) (?:i|we|you)\b",
    re.IGNORECASE,
)


def read_question(text: str) -> Inquiry:
    """What the question asks for."""
    text = " ".join(text.split())
    several = bool(_SEVERAL.search(text))
    text = _ORDER.sub("", text)
    expected = next((kind for kind, pattern in _ASKS if re.search(pattern, text, re.I)), Expected.ANYTHING)
    runs = _find_runs(text)
    terms = _collect_terms(text, runs)
    return Inquiry(
        text=text,
        terms=terms,
        phrases=tuple(run for run in runs if len(run) > 1)[:MAX_TERMS],
        expected=expected,
        several=several,
        explain=_EXPLAIN.search(text) is not None,
        history=_HISTORY.search(text) is not None,
        procedure=_PROCEDURE.search(text) is not None,
        sides=_find_sides(text),
        years=_find_years(text),
    )


def holds(expected: Expected, text: str, asked: frozenset[str]) -> bool:
    """Whether a text holds something of the expected kind that is not in the question itself.

    Parameters:
        asked: the folded words of the question.
    """
    if expected is Expected.ANYTHING:
        return True
    if expected is Expected.NAME:
        return _holds_name(text, asked)
    rest = " ".join(word for word in text.split() if fold(word).strip(".,;:?!()") not in asked)
    return _COMPILED[expected].search(rest) is not None


def find_years(text: str) -> list[int]:
    """The years that a text names."""
    return [int(year) for year in re.findall(rf"\b{_YEAR}\b", text)]


def _holds_name(text: str, asked: frozenset[str]) -> bool:
    """Two capitalised words in a row, or one behind a title, that the question did not name."""
    run = 0
    for word in text.split():
        named = word[:1].isupper() and _NAME.match(word) is not None and word.upper() != word
        fresh = fold(word).strip(".,;:?!()'’") not in asked
        run = run + 1 if named and fresh and fold(word) not in STOP_WORDS else 0
        if run >= 2:
            return True
        if word[-1] in ".,;:" and word not in ("Dr.", "Mr.", "Mrs.", "Ms."):
            run = 0
    return False


def _find_runs(text: str) -> list[tuple[str, ...]]:
    """Stretches of words without a stop word, a possessive or punctuation between them."""
    runs: list[tuple[str, ...]] = []
    for part in re.split(r"['’](?:s|m|re|ve|d|ll|t)\b|[,;:?!()\"“”]|\.(?:\s|$)", text):
        run: list[str] = []
        for word in split_words(part):
            # In capitals it is no stop word: "IT", "US".
            if fold(word) in STOP_WORDS and not (word.isupper() and len(word) > 1):
                runs.append(tuple(run))
                run = []
            else:
                run.append(word)
        runs.append(tuple(run))
    return [run for run in runs if run]


def _collect_terms(text: str, runs: list[tuple[str, ...]]) -> tuple[Term, ...]:
    acronyms = find_acronyms(text)
    # The first word of a question is capitalised for another reason.
    named = {word for word in split_words(text)[1:] if any(map(str.isdigit, word)) or word[:1].isupper()}
    ignored = {str(year) for bounds in [_find_years(text)] if bounds for year in bounds} | set(_year_words(text))
    terms: dict[str, Term] = {}
    focus = _find_focus(text, runs)
    for run in runs:
        for word in run:
            base = stem(word)
            if word in ignored or base in terms:
                continue
            key = word in named or (run == focus and base not in _FRAME_STEMS)
            loose = base in _LOOSE_STEMS and word not in named
            terms[base] = Term(
                base,
                key,
                acronym=word if word in acronyms else "",
                kind=base in _KIND_STEMS | _VAGUE_STEMS,
                loose=loose,
                named=word in named and word[1:].islower(),
            )
    return tuple(terms.values())[:MAX_TERMS]


def _find_focus(text: str, runs: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The run that names what is asked for: the first, unless that only owns it (`Zentara's ticker`)."""
    owners = {
        word
        for owner in re.findall(r"((?:[\w-]+ ){0,3}[\w-]+)['’]s\b(?!\s+(?:the|a|an|in)\b)", text)
        for word in split_words(owner)
    }
    for run in runs:
        if not all(stem(word) in _KIND_STEMS | _FRAME_STEMS for word in run) and not set(run) <= owners:
            return run
    return runs[0] if runs else ()


def _find_sides(text: str) -> tuple[frozenset[str], ...]:
    match = _COMPARED.search(text)
    if not match:
        return ()
    left, right = (
        {stem(word) for word in split_words(match[side]) if fold(word) not in STOP_WORDS} for side in ("left", "right")
    )
    if not left - right or not right - left:
        return ()
    return frozenset(left - right), frozenset(right - left)


def _year_words(text: str) -> list[str]:
    patterns = (_FROM_YEAR, _AFTER_YEAR, _UNTIL_YEAR, _BEFORE_YEAR, _SPAN_OF_YEARS)
    return [year for pattern in patterns for match in pattern.finditer(text) for year in match.groups() if year]


def _find_years(text: str) -> tuple[int, int] | None:
    span = _SPAN_OF_YEARS.search(text)
    if span:
        return int(span[1]), int(span[2])
    low, high = 0, 9999
    for pattern, shift in ((_FROM_YEAR, 0), (_AFTER_YEAR, 1)):
        if match := pattern.search(text):
            low = int(next(year for year in match.groups() if year)) + shift
    for pattern, shift in ((_UNTIL_YEAR, 0), (_BEFORE_YEAR, -1)):
        if match := pattern.search(text):
            high = int(next(year for year in match.groups() if year)) + shift
    return (low, high) if (low, high) != (0, 9999) else None
