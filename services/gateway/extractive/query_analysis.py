"""Analyse a question: its terms, and the years of which it asks what happened."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.gateway.extractive.vocabulary import LOOSE_WORDS, STOP_WORDS
from services.gateway.extractive.words import SYNONYMS, fold, join_stems, split_words, stem, stems
from shared.contracts.search import GlossaryTerm
from shared.written_forms import list_codes, list_spellings

MAX_TERMS = 40
"""A question has few terms that matter; a pasted page of text must not make answering slow."""


@dataclass(frozen=True)
class Term:
    """A word of the question that carries meaning.

    Attributes:
        stem: how words are compared.
        synonyms: the stems that may stand for it.
        phrases: that may stand for it, or for the term of several words that it is part of, as joined stems.
        loose: often put otherwise by a text that answers (`become`, `large`).
        named: capitalised within the question, so likely part of a name; acronyms are not meant.
        acronym: the word where it is written as one, or empty.
    """

    stem: str
    synonyms: frozenset[str]
    phrases: frozenset[str]
    loose: bool
    named: bool
    acronym: str

    def is_put_otherwise(self, joined: str) -> bool:
        """Return whether one of the phrases stands among joined stems."""
        return any(phrase in joined for phrase in self.phrases)


@dataclass(frozen=True)
class QueryAnalysis:
    """A question as the extractive answer sees it.

    Attributes:
        terms: its words that carry meaning.
        years: first and last year that a listed item may be of, or None.
        history: whether it asks what happened over the years.
    """

    terms: tuple[Term, ...]
    years: tuple[int, int] | None
    history: bool


_HISTORY = re.compile(r"\b(?:milestones?|history|timeline|chronology|happened|events)\b", re.I)
_YEAR = r"(1[5-9]\d\d|20\d\d|21\d\d)"
_BOUNDS = (
    (0, 0, rf"\b(?:between|from|since|starting|as of)(?: in)? {_YEAR}\b"),
    (0, 0, rf"\b{_YEAR} (?:onwards?|and later|or later|on\b)"),
    (0, 1, rf"\b(?:after|later than) {_YEAR}\b"),
    (1, 0, rf"\b(?:until|till|up to|through|to|\d{{4}} and) {_YEAR}\b"),
    (1, -1, rf"\b(?:before|prior to|earlier than) {_YEAR}\b"),
)
"""Which end of the span of years a pattern sets, and by how much the year is shifted."""
_ACRONYM = re.compile(r"[A-Z][A-Z0-9&]{1,6}")
_LOOSE_STEMS = frozenset(map(stem, LOOSE_WORDS))


def analyse_query(question: str, known: Sequence[GlossaryTerm] = ()) -> QueryAnalysis:
    """Return what the question asks for; of some of its terms it is `known` what else stands for them."""
    text = " ".join(question.split())
    years, year_words = _find_years(text)
    return QueryAnalysis(
        terms=_collect_terms(text, year_words, _read_phrases(known)),
        years=years,
        history=_HISTORY.search(text) is not None,
    )


def find_years(text: str) -> list[int]:
    """Return the years that a text names."""
    return [int(year) for year in re.findall(rf"\b{_YEAR}\b", text)]


def _read_phrases(known: Sequence[GlossaryTerm]) -> Mapping[str, frozenset[str]]:
    """Return by the stem of each word of the terms what may stand for it."""
    phrases: dict[str, frozenset[str]] = defaultdict(frozenset)
    for term in known:
        for word in split_words(term.term):
            phrases[stem(word)] |= {join_stems(stems(phrase)) for phrase in term.phrases}
    return phrases


def _collect_terms(text: str, ignored: set[str], phrases: Mapping[str, frozenset[str]]) -> tuple[Term, ...]:
    terms: dict[str, Term] = {}
    codes: dict[str, set[str]] = defaultdict(set)
    for code, parts in list_codes(text):
        for part in parts:
            codes[stem(part)].add(fold(code))
    for position, word in enumerate(split_words(text)):
        acronym = _ACRONYM.fullmatch(word) is not None
        stopped = fold(word) in STOP_WORDS
        # In capitals it is no stop word: "IT", "US".
        stemmed = stem(word)
        base = word if stopped else stemmed
        if word in ignored or base in terms or (stopped and not acronym):
            continue
        # The first word of a question is capitalised for another reason.
        named = position > 0 and word[0].isupper() and not acronym
        loose = base in _LOOSE_STEMS and not named and not acronym
        synonyms, said = SYNONYMS.get(base, frozenset()).union(codes[stemmed]), phrases.get(stemmed, frozenset())
        if named or not word.isascii():  # fuel is not full
            synonyms = synonyms.union(map(stem, list_spellings(word)))
        terms[base] = Term(base, synonyms, said, loose, named, word if acronym else "")
    return tuple(terms.values())[:MAX_TERMS]


def _find_years(text: str) -> tuple[tuple[int, int] | None, set[str]]:
    """Return the first and the last year that are asked for, and the words that name them."""
    years, words = [0, 9999], set()
    for end, shift, pattern in _BOUNDS:
        for match in re.finditer(pattern, text, re.I):
            years[end] = int(match[1]) + shift
            words.add(match[1])
    return ((years[0], years[1]) if words else None), words
