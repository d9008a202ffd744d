"""Finds what a question may call a document by, in the terms of cards."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from shared.document_cards.periods import find_periods
from shared.document_cards.words import (
    Word,
    find_codes,
    find_files,
    join_words,
    list_name_words,
    make_term,
    quote_words,
)
from shared.embedding.segments import part_passage
from shared.written_forms import list_codes, list_spellings

MAX_TERMS = 300
"""Of a long question, the first: each is asked for. A question of 20 words has about 150."""
MAX_PERIODS = 50
SMALL_WEIGHT = 0.5
"""Of a word that the question writes as any other: it may be a name all the same, in a question typed in haste."""
_JOINED = 3
_SENTENCE_START = re.compile(r"(?:^|[.!?:;]\s)[\W_]*")
_INITIALS = re.compile(r"[A-Z](?:n|&)?[A-Z]{1,4}")
"""AMD, J&J, JnJ."""


@dataclass(frozen=True)
class QuestionNames:
    """What may be on a card.

    Attributes:
        names: terms with weights of 0 to 1.
        periods: terms; True where they are written as those who keep accounts do, and so mean a document's own period.
    """

    names: dict[str, float]
    periods: dict[str, bool]

    @property
    def terms(self) -> list[str]:
        """All of them."""
        return [*self.names, *self.periods]


def find_names(question: str) -> QuestionNames:
    """Return what a question may call documents by."""
    names: dict[str, float] = {}
    for term, weight in _list_names(question, part_passage(question)):
        names[term] = max(weight, names.get(term, 0.0))
        if len(names) == MAX_TERMS:
            break  # the rest of 4,000 Chinese characters took a fifth of a second
    periods = {term: period.fiscal for term, period in islice(find_periods(question).items(), MAX_PERIODS)}
    return QuestionNames(names, periods)


def _list_names(question: str, text: str) -> Iterator[tuple[str, float]]:
    starts = {match.end() for match in _SENTENCE_START.finditer(text)}
    words = list_name_words(text)
    yield from ((file, 1.0) for file in find_files(question, marked=True))
    yield from ((code, 1.0) for code in find_codes(text) if not find_periods(code))
    for code, _ in list_codes(text):  # AX 1234, too
        if not find_periods(code):
            yield make_term(code), 1.0 if code[0].isupper() else SMALL_WEIGHT
    for word in words:
        weight = 1.0 if _looks_like_name(word, starts) else SMALL_WEIGHT
        for term in filter(None, (word.term, *map(make_term, list_spellings(word.raw)))):
            yield term, weight
            yield f"+{term}", weight
            if weight == 1.0:
                yield f"@{term}", weight
        if initials := _INITIALS.match(word.raw):
            yield "~" + "".join(filter(str.isupper, initials[0])).lower(), 1.0
    for joined, group in join_words(words, text, most=_JOINED):
        yield joined, 1.0 if any(word.raw[0].isupper() for word in group) else SMALL_WEIGHT
    yield from ((f"={quoted}", 1.0) for quoted in quote_words(words))
    yield from ((file, 1.0) for file in find_files(question, marked=False))


def _looks_like_name(word: Word, starts: set[int]) -> bool:
    return word.marked or (word.raw[0].isupper() and word.start not in starts)
