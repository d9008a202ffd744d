"""The words of names, in one form: as titles, file names and questions have them.

Small letters, no accents, no possessive, no plural. What stands for several words begins with a sign that says how:
`+footlocker` two names in one, `~jj` their first letters, `=employeehandbook` a whole title, `/report201903` a file's
whole name. `@nike` is a name that the text has often, whatever the document is called.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from shared.document_cards.periods import find_periods

MAX_TERM_CHARS = 32
"""Longer is no word but a number or a path."""
MAX_QUOTED_WORDS = 5
"""Of a title that a question quotes as a whole, small words not counted."""
MAX_FILE_WORDS = 8
MAX_FILE_CHARS = 100
"""Of a file's whole name, as a question has it."""

_SMALL = """
    a about after all also an and any are as at be been before being between both but by can could did do does during
    each every for from give given had has have how i if in into is it its many may me might more most much must my no
    nor not of off on only or other our over per s same should so some such t than that the their them then there these
    they this those through to under up us use used using very was we were what when where which while who whom whose
    why will with within would you your
    january february march april june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec
    der die das und von zu im den dem ein eine für mit auf ist nicht des wie was wer
    le la les du une et est pour dans que qui sur au aux el los las del y en por con para di il della e che
    inc incorporated ltd limited llc plc corp corporation company co gmbh ag sa nv
"""
SMALL_WORDS = frozenset(_SMALL.split())
"""Words that are in every text, or behind every company's name, and months: they call nothing by its name."""

_WORD = re.compile(r"[^\W_]+(?:[&'’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_CODE = re.compile(r"(?<![^\W_])(?<![^\W_][-‑–])([^\W_]{1,8})[-‑–]([^\W_]{1,6})(?![^\W_]|[-‑–][^\W_])")
_FILE_WORD = re.compile(r"[^\s/\\]+")
_PDF = re.compile(r"(.*)\.pdf(?![a-z0-9])", re.IGNORECASE)
_DIGIT, _LETTER = re.compile(r"\d"), re.compile(r"[^\W\d_]")
_EXTENSION = re.compile(r"\.pdf$", re.IGNORECASE)
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class Word:
    """A word as it stands in a text, and its term; empty where it is a small word, a number or no word."""

    raw: str
    term: str
    start: int
    end: int

    @property
    def marked(self) -> bool:
        """Whether its letters set it apart as a name or a code, wherever it stands: `iPhone`, `AMD`, `3M`."""
        plain = _POSSESSIVE.sub("", self.raw)
        return any(map(str.isupper, plain[1:])) or (any(map(str.isdigit, plain)) and any(map(str.isalpha, plain)))


def list_words(text: str) -> list[Word]:
    """Return the words of a text, in which what is written without spaces has been parted (`part_passage`)."""
    return [Word(match[0], make_term(match[0]), *match.span()) for match in _WORD.finditer(text)]


def list_name_words(text: str) -> list[Word]:
    """Return the words of a name or a question, as `list_words` does, without those that are periods."""
    return [word for word in list_words(text) if not find_periods(word.raw)]


def make_term(word: str) -> str:
    """Return the term of a word, empty where it names nothing."""
    return "" if len(word) > MAX_TERM_CHARS else _fold(word)


@lru_cache(maxsize=16_384)
def _fold(word: str) -> str:
    term = _write_plain(_POSSESSIVE.sub("", word))
    if term in SMALL_WORDS or term.isdigit() or len(term) < 2 or len(term) > MAX_TERM_CHARS:
        return ""
    if len(term) > 3 and term.isascii() and term.isalpha() and term.endswith("s") and term[-2] not in "sui":
        return term[:-1]
    return term


def _write_plain(text: str) -> str:
    """The letters and digits alone, small and without accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text).casefold()))


def join_words(words: Sequence[Word], text: str, *, most: int) -> Iterator[tuple[str, Sequence[Word]]]:
    """Yield neighbouring words written as one, two to `most` of them: Foot Locker as `footlocker`.

    `text` is what they are of. Small words join nothing.
    """
    for count in range(2, most + 1):
        for first in range(len(words) - count + 1):
            group = words[first : first + count]
            joined = "".join(word.term for word in group)
            if all(word.term for word in group) and len(joined) <= MAX_TERM_CHARS and _stand_together(group, text):
                yield joined, group


def quote_words(words: Sequence[Word]) -> Iterator[str]:
    """Yield two to five words that follow one another, written as one, whatever small words stand between them."""
    terms = [word.term for word in words if word.term]
    for count in range(2, MAX_QUOTED_WORDS + 1):
        for first in range(len(terms) - count + 1):
            yield "".join(terms[first : first + count])


def find_codes(text: str) -> Iterator[str]:
    """Yield what two short pieces and a hyphen call something: 10-K as `10k`, COVID-19 as `covid19`."""
    for match in _CODE.finditer(text):
        joined = _write_plain(match[1] + match[2])
        if any(map(str.isdigit, joined)) and any(map(str.isalpha, joined)):
            yield joined


def name_file(filename: str) -> str:
    """Return the term of a file's whole name, without `.pdf`; empty where it has neither letter nor digit."""
    folded = _fold_file(_EXTENSION.sub("", filename.strip()))
    return f"/{folded}" if folded else ""


def find_files(text: str, *, marked: bool) -> Iterator[str]:
    """Yield what a text may call a file by its whole name, as `name_file` does.

    Parameters:
        marked: what stands before `.pdf`, alone and with up to seven words before it; else words that have a letter and
            a digit, alone or together: chapter 2, INV_2021_08.
    """
    words: list[str] = []
    for token in _FILE_WORD.findall(text):
        pdf = _PDF.match(token)
        words = [*words[1 - MAX_FILE_WORDS :], _fold_file(pdf[1] if pdf else token)]
        if marked is (pdf is not None):
            yield from (f"/{name}" for name in _join_last(words) if marked or _has_both(name))


def split_pieces(word: str) -> list[str]:
    """Return the terms of the parts of a word that has capitals or digits within: `PepsiCo2022` has `pepsi`."""
    terms = [make_term(piece) for piece in _PIECE.findall(word)]
    return [term for term in terms if len(term) > 2]


def _join_last(words: Sequence[str]) -> Iterator[str]:
    """The last word, the last two as one, and so on."""
    name = ""
    for word in reversed(words):
        name = word + name
        if len(name) > MAX_FILE_CHARS:
            return
        if word:
            yield name


def _has_both(name: str) -> bool:
    return _DIGIT.search(name) is not None and _LETTER.search(name) is not None


def _fold_file(name: str) -> str:
    return _write_plain(name)[:MAX_FILE_CHARS]


def _stand_together(group: Sequence[Word], text: str) -> bool:
    return all(text[one.end : other.start].strip(" _&-'’") == "" for one, other in pairwise(group))
