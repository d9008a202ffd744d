"""Weighs how well each unit of the passages supports an answer to a question."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rank_bm25 import BM25Okapi

from services.gateway.extractive.inquiry import Expected, Inquiry, Term, holds
from services.gateway.extractive.lines import Kind
from services.gateway.extractive.naming import Name, find_names, is_unknown, speaks_of_another
from services.gateway.extractive.units import MAX_PASSAGE_CHARS, Unit
from services.gateway.extractive.words import (
    PHRASES,
    SYNONYMS,
    abbreviate,
    content_stems,
    find_acronyms,
    find_run,
    fold,
    join_hyphens,
    spell_initials,
    split_words,
    stem,
    stems,
)
from shared.contracts.search import Passage

_RANGE = re.compile(r"(?<![\d.,])(\d{1,6})(?: ?[–—-] ?| to )(\d{1,6})(?![\d.,]*\d)")
_SYNONYM_MATCH = 0.85
_PREFIX_MATCH = 0.7
# How much a term counts that is not in the unit itself but ...
_IN_CONTEXT = 0.9  # ... in its heading, table header or the question above it
_NEARBY = 0.6  # ... in the unit before or after
_IN_PASSAGE = 0.5  # ... elsewhere in the passage
_KIND_FITS = 0.7  # ... but says what kind of answer is expected, and the unit holds that kind
_KIND_WEIGHT = 0.5
_KIND_ABSENT = 0.2
_NOT_KEY = 0.85
_LOOSE_ABSENT = 0.15
_ANOTHER_NAME = 0.6
_ANOTHER_DOCUMENT = 0.5
_UNKNOWN_NAME = 0.8
_UNKNOWN_NUMBER = 0.5
_LABEL_BONUS = 0.2
_ELSEWHERE = 0.3  # ... in another passage or the document's title


@dataclass(frozen=True)
class Candidate:
    """A unit with what speaks for it.

    Parameters:
        passage: the number that cites its passage, from 1.
        position: its place among all units.
        matches: per term of the inquiry, 0..1, how surely the unit or its context names it.
        own: the same of the unit alone.
        context: the same of its heading, table header or lead alone.
        closeness: the share of the question that unit and context cover, 0..1.
        support: the share of the question that unit, context and passage cover, 0..1.
        score: what candidates are ranked by.
        fits: whether the unit holds the kind of answer that is expected.
    """

    passage: int
    position: int
    unit: Unit
    matches: tuple[float, ...]
    own: tuple[float, ...]
    context: tuple[float, ...]
    closeness: float
    support: float
    score: float
    fits: bool


def weigh_units(inquiry: Inquiry, passages: Sequence[Passage], units: Sequence[tuple[int, Unit]]) -> list[Candidate]:
    """The units that may answer, best first."""
    if not units or not inquiry.terms:
        return []
    table = _MatchTable(inquiry, passages, units)
    weights = table.weigh_terms()
    lexical = _score_lexically(inquiry, units)
    asked = frozenset(fold(word) for word in split_words(inquiry.text))
    asked_names = find_names(inquiry.text)
    trust = _trust_names(asked_names, passages)
    candidates = []
    for position, (number, unit) in enumerate(units):
        if unit.kind in (Kind.HEADING, Kind.QUESTION):
            continue
        matches = table.match_closely(position)
        fits = holds(inquiry.expected, unit.text, asked)
        closeness = _share(matches, weights)
        support = _share(table.match_widely(position, fits), weights) * trust
        score = 0.6 * closeness + 0.4 * support
        if table.is_of_another_document(position):
            support *= _ANOTHER_DOCUMENT
            score -= 0.5
        if speaks_of_another(asked_names, find_names(unit.text), set(stems(unit.text))):
            support *= _ANOTHER_NAME
            score -= 0.25
        score += 0.2 * lexical[position] + 0.1 * _rate_passage(passages[number - 1], number)
        score += _rate_form(inquiry, unit, fits) + _LABEL_BONUS * table.is_labelled(position)
        candidates.append(
            Candidate(
                passage=number,
                position=position,
                unit=unit,
                matches=matches,
                own=table.own[position],
                context=table.context[position],
                closeness=closeness,
                support=support,
                score=score,
                fits=fits,
            )
        )
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.position))


def _trust_names(asked: frozenset[Name], passages: Sequence[Passage]) -> float:
    """How far support counts: little when the passages know the kind that is named, but not this one of it."""
    known = find_names("\n".join(f"{passage.title}\n{passage.text}" for passage in passages))
    unknown = [name for name in asked if is_unknown(name, known)]
    if any(name.mark[0].isdigit() for name in unknown):
        return _UNKNOWN_NUMBER
    return _UNKNOWN_NAME if unknown else 1.0


def _rate_form(inquiry: Inquiry, unit: Unit, fits: bool) -> float:
    """What the form of a unit says, whatever its words."""
    rating = 0.0
    if inquiry.expected is not Expected.ANYTHING:
        rating += 0.2 if fits else -0.2
    if inquiry.explain and unit.kind is not Kind.ROW:
        rating += 0.05
    if unit.lead.endswith("?"):
        # How much of the question that the document itself answers here is in ours.
        theirs = set(content_stems(unit.lead))
        ours = {term.stem for term in inquiry.terms}
        rating += 0.2 * len(theirs & ours) / max(len(theirs), 1)
    return rating


class _MatchTable:
    """Where the terms of a question stand: in which units, contexts, passages."""

    def __init__(self, inquiry: Inquiry, passages: Sequence[Passage], units: Sequence[tuple[int, Unit]]) -> None:
        self._inquiry = inquiry
        self._units = units
        self._acronyms = _find_phrase_acronyms(inquiry.phrases)
        self._phrases = _find_phrases(inquiry)
        self._cache: dict[str, tuple[float, ...]] = {}
        self.own = [self._match(unit.text) for _, unit in units]
        self.context = [
            _best([self._match(text) for text in (unit.heading, unit.header, unit.lead)]) for _, unit in units
        ]
        both = [_best([own, context]) for own, context in zip(self.own, self.context, strict=True)]
        # The whole text, too: page headers, which are no units, name the product or company.
        self._passages = [
            _best(
                [
                    self._match(passage.text[:MAX_PASSAGE_CHARS]),
                    *(row for row, (n, _) in zip(both, units, strict=True) if n == number),
                ]
            )
            for number, passage in enumerate(passages, start=1)
        ]
        titles = [self._match(passage.title.replace("_", " ")) for passage in passages]
        self._kinds = tuple(float(term.kind) for term in inquiry.terms)
        self._anywhere = _best(self._passages + titles)
        rows = list(zip([passage.document_id for passage in passages], self._passages, titles, strict=True))
        self._documents = [
            _best([row for other, *pair in rows if other == document_id for row in pair]) for document_id, _, _ in rows
        ]

    def match_closely(self, position: int) -> tuple[float, ...]:
        """How surely the unit and what stands right above it name each term."""
        return tuple(
            max(own, _IN_CONTEXT * context)
            for own, context in zip(self.own[position], self.context[position], strict=True)
        )

    def match_widely(self, position: int, fits: bool) -> tuple[float, ...]:
        """The same, counting also, for less, what stands further off.

        A unit that holds a sum of money need not say "price" too.
        """
        number = self._units[position][0]
        around = [
            self.own[near]
            for near in (position - 1, position + 1)
            if 0 <= near < len(self._units) and self._units[near][0] == number
        ]
        rings = (
            (1.0, self.match_closely(position)),
            (_NEARBY, _best(around, len(self._inquiry.terms))),
            (_IN_PASSAGE, self._passages[number - 1]),
            (_ELSEWHERE, self._anywhere),
            (_KIND_FITS * fits * (self._inquiry.expected is not Expected.ANYTHING), self._kinds),
        )
        return tuple(max(factor * row[i] for factor, row in rings) for i in range(len(self._inquiry.terms)))

    def is_of_another_document(self, position: int) -> bool:
        """Whether the question names something that its document never does, but another one among the passages."""
        document = self._documents[self._units[position][0] - 1]
        return any(
            term.named and there and not here
            for term, there, here in zip(self._inquiry.terms, self._anywhere, document, strict=True)
        )

    def is_labelled(self, position: int) -> bool:
        """Whether the unit is a row that begins with a key term, as facts and glossaries do."""
        unit = self._units[position][1]
        if unit.kind is Kind.ITEM or len(unit.text) > 110:
            return False
        label = self._match(" ".join(unit.text.split()[:2]))
        return any(term.key and match for term, match in zip(self._inquiry.terms, label, strict=True))

    def weigh_terms(self) -> tuple[float, ...]:
        """What each term says about a unit: rare ones much, frequent ones little.

        This is BM25's idf with the one added inside the logarithm, so that it stays positive in small sets. A
        term that occurs nowhere weighs most if it is a key term: then the question is about something else.
        Other absent words are usually just another way to ask.
        """
        count = len(self._units)
        weights = []
        for i, term in enumerate(self._inquiry.terms):
            frequency = sum(1 for row in self.own if row[i] > 0)
            weight = math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
            if term.kind:
                weight *= _KIND_WEIGHT if self._anywhere[i] else _KIND_ABSENT
            elif term.loose and not self._anywhere[i]:
                weight *= _LOOSE_ABSENT
            elif self._anywhere[i] and not term.key:
                weight *= _NOT_KEY
            # What every passage names (the company, the product) tells none of them apart.
            if len(self._passages) > 2:
                weight *= 1 - 0.7 * sum(row[i] > 0 for row in self._passages) / len(self._passages)
            weights.append(weight)
        return tuple(weights)

    def _match(self, text: str) -> tuple[float, ...]:
        if text not in self._cache:
            self._cache[text] = self._match_afresh(text)
        return self._cache[text]

    def _match_afresh(self, text: str) -> tuple[float, ...]:
        if not text:
            return (0.0,) * len(self._inquiry.terms)
        words = split_words(text)
        in_order = [stem(word) for word in words]
        present = {*in_order, *join_hyphens(text)}
        for acronym in find_acronyms(text) & self._acronyms.keys():
            present |= self._acronyms[acronym]
        meant = {term for asked, others in self._phrases for run in others if find_run(run, in_order) for term in asked}
        return tuple(
            max(_match_term(term, present, words), _SYNONYM_MATCH * (term.stem in meant or _spans(text, term.stem)))
            for term in self._inquiry.terms
        )


def _match_term(term: Term, present: set[str], words: list[str]) -> float:
    if term.stem in present:
        return 1.0
    if term.acronym and spell_initials(words, term.acronym):
        return 1.0
    if SYNONYMS.get(term.stem, frozenset()) & present:
        return _SYNONYM_MATCH
    return _PREFIX_MATCH if any(_share_prefix(term.stem, other) for other in present) else 0.0


def _spans(text: str, number: str) -> bool:
    """Whether the text names a range of whole numbers that holds this one (`70 to 79` holds 75)."""
    if not number.isdecimal():
        return False
    ranges = _RANGE.findall(text)
    return any(int(low) <= int(number) <= int(high) for low, high in ranges)


def _share_prefix(one: str, other: str) -> bool:
    """Whether two stems are likely of one family (`consum`, `consumpt`)."""
    short, long = sorted((one, other), key=len)
    return len(short) >= 6 and len(long) - len(short) <= 3 and long.startswith(short)


def _find_phrase_acronyms(phrases: Sequence[tuple[str, ...]]) -> dict[str, set[str]]:
    """Acronyms that stand for words of the question (`Chief Executive Officer`: CEO), with their stems."""
    found: dict[str, set[str]] = {}
    for phrase in phrases:
        for start in range(len(phrase)):
            for end in range(start + 2, min(start + 6, len(phrase)) + 1):
                found[abbreviate(phrase[start:end])] = {stem(word) for word in phrase[start:end]}
    return found


def _find_phrases(inquiry: Inquiry) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """The phrases in the question that can be put otherwise, each with the ways to put it."""
    asked = stems(inquiry.text)
    return [
        (phrase, [other for other in group if other != phrase])
        for group in PHRASES
        for phrase in group
        if find_run(phrase, asked)
    ]


def _score_lexically(inquiry: Inquiry, units: Sequence[tuple[int, Unit]]) -> list[float]:
    """BM25 of the units with their context, 0..1."""
    corpus = [stems(f"{unit.text} {unit.header} {unit.lead} {unit.heading}") or [""] for _, unit in units]
    ranker = BM25Okapi(corpus)
    # BM25Okapi's idf is negative for words in more than half of the units, which a few units often are.
    ranker.idf = {word: max(value, 0.01) for word, value in ranker.idf.items()}
    scores = [float(score) for score in ranker.get_scores([term.stem for term in inquiry.terms])]
    top = max(scores)
    return [score / top if top > 0 else 0.0 for score in scores]


def _rate_passage(passage: Passage, number: int) -> float:
    """What the search thought of the passage, 0..1."""
    dense = passage.scores.rerank if passage.scores.rerank is not None else passage.scores.dense
    return 0.5 / number + 0.5 * min(max(dense or 0.0, 0.0), 1.0)


def _share(matches: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    return sum(m * w for m, w in zip(matches, weights, strict=True)) / total if total else 0.0


def _best(rows: Sequence[tuple[float, ...]], size: int = 0) -> tuple[float, ...]:
    return tuple(map(max, zip(*rows, strict=True))) if rows else (0.0,) * size
