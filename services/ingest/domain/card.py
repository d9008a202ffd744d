"""Makes a document's card: what it may be called by, each term with a weight of 0 to 1 that says how surely.

Names come from the file's name, as a whole and word by word, and the title, other names from what the text writes with
a capital wherever it stands, periods from all of these, the first page and the years that the document speaks of most.
A word of the title that the text writes in small letters, too, is one like others and weighs little: Handbook, Report.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from services.ingest.domain.pages import Page
from services.ingest.domain.title import read_filename
from shared.document_cards.periods import find_periods, find_years
from shared.document_cards.words import (
    MAX_QUOTED_WORDS,
    Word,
    find_codes,
    join_words,
    list_name_words,
    make_term,
    name_file,
    split_pieces,
)
from shared.embedding.segments import part_passage

MAX_TERMS = 60
"""Of a card, the heaviest: it is read by searches."""
NAME_WEIGHT = 1.0
INITIALS_WEIGHT = 0.7
WORD_WEIGHT = 0.1
"""Of a word of the title that is no name, or of which the script does not tell."""
WHOLE_WEIGHT = 0.5
"""Of a whole title, quoted: Employee Handbook."""
FREQUENT_NAME_WEIGHT = 0.5
"""Of the most frequent name in the text; others by the root of how often they are there, compared with it."""
FIRST_PAGE_PERIOD_WEIGHT = 0.5
FREQUENT_YEAR_WEIGHT = 0.5
MAX_TITLE_WORDS = 12
"""More are a sentence, taken for a title because it came first: its words call nothing by its name."""
FREQUENT_NAMES = 12
MIN_NAME_COUNT = 5
MIN_IN_SENTENCE = 3
FREQUENT_YEARS = 2
FIRST_PAGE_CHARS = 1500
SMALL_SHARE = 0.2
"""A name is written in small letters in no more of its places: apple trees in the report of Apple."""

_TOKEN = re.compile(r"(?<![\w@/.#-])[^\W_]+(?:[&'’][^\W_]+)*(?![\w@/-]|\.\w)")
"""A word that is no part of an address or of a word with hyphens: `bestbuy.com` writes no name in small letters."""
_IN_SENTENCE = re.compile(r"(?<=[\w,'’)&] )[^\W_]+(?:[&'’][^\W_]+)*")
"""A word behind another one on its line: no beginning of a sentence, a line or a cell."""


def make_card(filename: str, title: str, pages: Sequence[Page]) -> dict[str, float]:
    """Return the terms of a document's card with their weights. Reads every page: in a thread, please."""
    card: dict[str, float] = {}
    letters = _Letters(pages)
    _take(card, [(name_file(filename), NAME_WEIGHT)])
    for name in dict.fromkeys((read_filename(filename), title)):
        _take(card, _read_name(name, letters))
        _take(card, ((term, NAME_WEIGHT) for term in find_periods(name)))
    _take(card, letters.list_frequent_names())
    _take(card, _read_periods(pages))
    heaviest = sorted(card.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_TERMS]
    return {term: round(weight, 3) for term, weight in heaviest}


class _Letters:
    """How the words of a document are written: with a capital or in small letters."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._small: Counter[str] = Counter()
        self._large: Counter[str] = Counter()
        self._in_sentence: Counter[str] = Counter()
        words: Counter[str] = Counter()
        inside: Counter[str] = Counter()
        for page in pages:
            words.update(_TOKEN.findall(page.text))
            inside.update(_IN_SENTENCE.findall(page.text))
        for word, count in words.items():
            (self._small if word[0].islower() else self._large)[make_term(word)] += count
        for word, count in inside.items():
            if not word.islower() and any(map(str.isalpha, word)):
                self._in_sentence[make_term(word)] += count

    def is_name(self, term: str) -> bool:
        """Whether the text writes it with a capital within sentences, and hardly ever in small letters; or not at all,
        as names of files are."""
        small, large = self._small[term], self._large[term]
        return small <= SMALL_SHARE * large and (self._in_sentence[term] >= MIN_IN_SENTENCE or large == 0)

    def list_frequent_names(self) -> list[tuple[str, float]]:
        """The names that the text has most, with weights."""
        found = [
            (count, term)
            for term, count in self._in_sentence.items()
            if count >= MIN_NAME_COUNT and term and self.is_name(term)
        ]
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        return [
            (f"@{term}", FREQUENT_NAME_WEIGHT * (count / found[0][0]) ** 0.5) for count, term in found[:FREQUENT_NAMES]
        ]


def _read_name(name: str, letters: _Letters) -> Iterator[tuple[str, float]]:
    text = part_passage(name)
    words = list_name_words(text)
    for code in find_codes(text):
        yield code, NAME_WEIGHT
    if sum(bool(word.term) for word in words) > MAX_TITLE_WORDS:
        return
    names = [bool(word.term) and _has_case(word.raw) and letters.is_name(word.term) for word in words]
    # One word of several is half a name: French of the French and Indian War. A code, as 3M or 10-K, is one by itself.
    parts = {word.term for word, is_name in zip(words, names, strict=True) if is_name and word.term.isalpha()}
    part_weight = NAME_WEIGHT / max(1, len(parts)) ** 0.5
    for word, is_name in zip(words, names, strict=True):
        yield word.term, (part_weight if word.term.isalpha() else NAME_WEIGHT) if is_name else WORD_WEIGHT
        for piece in split_pieces(word.raw):
            yield piece, part_weight if letters.is_name(piece) else WORD_WEIGHT
    whole = [word.term for word in words if word.term]
    if 2 <= len(whole) <= MAX_QUOTED_WORDS:
        yield f"={''.join(whole)}", WHOLE_WEIGHT
    for joined, _ in join_words(words, text, most=2):
        yield f"+{joined}", NAME_WEIGHT
    yield from ((initials, INITIALS_WEIGHT) for initials in _make_initials(words, names))


def _make_initials(words: Sequence[Word], names: Sequence[bool]) -> Iterator[str]:
    """Of each run of two to five names: Johnson & Johnson is `~jj`."""
    run = ""
    for word, is_name in zip((*words, None), (*names, False), strict=True):
        if word is not None and is_name and word.raw.isalpha():
            run += word.term[0]
            continue
        if 2 <= len(run) <= 5:
            yield f"~{run}"
        run = ""


def _read_periods(pages: Sequence[Page]) -> Iterator[tuple[str, float]]:
    first = next((page.text for page in pages if page.text), "")[:FIRST_PAGE_CHARS]
    yield from ((term, FIRST_PAGE_PERIOD_WEIGHT) for term in find_periods(first))
    years = Counter(year for page in pages for year in find_years(page.text)).most_common(FREQUENT_YEARS)
    yield from ((year, FREQUENT_YEAR_WEIGHT * count / years[0][1]) for year, count in years)


def _take(card: dict[str, float], terms: Iterator[tuple[str, float]] | Sequence[tuple[str, float]]) -> None:
    for term, weight in terms:
        if term:
            card[term] = max(weight, card.get(term, 0.0))


def _has_case(word: str) -> bool:
    return word.lower() != word.upper()
