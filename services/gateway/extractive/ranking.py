"""Rank the spans of the passages by how well each supports an answer to a question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Plus

from services.gateway.extractive.lines import Kind
from services.gateway.extractive.query_analysis import QueryAnalysis, Term
from services.gateway.extractive.spans import Span
from services.gateway.extractive.words import WordIndex, join_stems, stems
from shared.contracts.search import Passage

# How much a term of the question counts that ...
_SYNONYM = 0.85  # ... is only named by a synonym or a phrase of the glossary
_IN_CONTEXT = 0.9  # ... does not stand in the span but in its heading, table header or the question above it
_IN_PASSAGE = 0.5  # ... elsewhere in the passage
_ELSEWHERE = 0.2  # ... in another passage or in a title
_LEXICAL = 0.3  # what BM25 counts beside the share of the question that a span and its context cover
_FIRST = 0.05  # what it counts that the search put a passage first; less for those below
_LOOSE_ABSENT = 0.15  # weight of a loose term that occurs nowhere
_NAMED_ABSENT = 1.25  # the same of a part of a name
_EVERYWHERE = 0.4  # weight of a term that every passage names

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A span with what speaks for it.

    Attributes:
        position: its place among all spans.
        support: the share of the question that span, context and passage cover, 0..1.
        score: what candidates are ranked by.
    """

    span: Span
    position: int
    support: float
    score: float


def rank_spans(query: QueryAnalysis, passages: Sequence[Passage], spans: Sequence[Span]) -> list[Candidate]:
    """Return the spans that may answer, best first."""
    if not spans or not query.terms:
        return []

    @cache
    def match(text: str) -> Scores:
        words = WordIndex(text)
        return np.array([_match_term(term, words) for term in query.terms])

    known = {passage.document_id: match(passage.title.replace("_", " ")) for passage in passages}
    for span in spans:
        document = passages[span.passage - 1].document_id
        known[document] = np.maximum(known[document], match(span.text))
    strangers = _find_strangers(query, known)
    spans = [span for span in spans if passages[span.passage - 1].document_id not in strangers]
    if not spans:
        return []

    # Per span (rows) how surely it names each term (columns), 0..1: itself; with its context; with all around it.
    own = np.array([match(span.text) for span in spans])
    above = np.array([[match(text) for text in (span.heading, span.header, span.lead)] for span in spans]).max(axis=1)
    close = np.maximum(own, _IN_CONTEXT * above)
    numbers = np.array([span.passage for span in spans])
    in_passage = {number: close[numbers == number].max(axis=0) for number in set(numbers.tolist())}
    anywhere = np.max([scores for document, scores in known.items() if document not in strangers], axis=0)
    wide = np.maximum(close, _IN_PASSAGE * np.array([in_passage[span.passage] for span in spans]))
    wide = np.maximum(wide, _ELSEWHERE * anywhere)

    weights = _weigh_terms(query, own, np.array(list(in_passage.values())), anywhere)
    support = wide @ weights
    closeness = (1 - _LEXICAL) * (close @ weights) + _LEXICAL * _score_lexically(query, spans)
    candidates = []
    for position, span in enumerate(spans):
        if span.kind in (Kind.HEADING, Kind.QUESTION):
            continue
        score = 0.6 * closeness[position] + 0.4 * support[position] + _FIRST / span.passage
        candidates.append(Candidate(span, position, float(support[position]), float(score)))
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.position))


def _find_strangers(query: QueryAnalysis, known: Mapping[str, Scores]) -> set[str]:
    """Return the documents that lack a name of the question which another one has, if any has them all."""
    named = np.array([term.named for term in query.terms])
    anywhere = np.max(list(known.values()), axis=0)
    lacking = {document for document, scores in known.items() if (named & (scores == 0) & (anywhere > 0)).any()}
    return lacking if len(lacking) < len(known) else set()


def _score_lexically(query: QueryAnalysis, spans: Sequence[Span]) -> Scores:
    """Return BM25 of the spans with their context, 0..1. A span that has a phrase for a term has the term, too."""
    texts = []
    for span in spans:
        in_order = stems(f"{span.text} {span.header} {span.lead} {span.heading}") or [""]
        joined = join_stems(in_order)
        texts.append(in_order + [term.stem for term in query.terms if term.is_put_otherwise(joined)])
    ranker = BM25Plus(texts)
    scores = ranker.get_scores([term.stem for term in query.terms])
    return np.asarray((scores - scores.min()) / max(np.ptp(scores), 1e-9))


def _match_term(term: Term, words: WordIndex) -> float:
    if term.stem in words.stems or (term.acronym and words.spells(term.acronym)):
        return 1.0
    by_others = not term.synonyms.isdisjoint(words.stems) or term.is_put_otherwise(words.joined)
    return _SYNONYM if by_others else 0.0


def _weigh_terms(query: QueryAnalysis, own: Scores, in_passage: Scores, anywhere: Scores) -> Scores:
    """Return each term's share of the question: rare ones much, frequent ones little.

    This is BM25's idf with the one added inside the logarithm, so that it stays positive in small sets. A term that
    occurs nowhere weighs most, unless it is loose: then the question is about something else.
    """
    frequency = (own > 0).sum(axis=0)
    weights = np.log(1 + (len(own) - frequency + 0.5) / (frequency + 0.5))
    # What every passage names (the company, the product) tells none of them apart.
    if len(in_passage) > 2:
        weights *= 1 - (1 - _EVERYWHERE) * (in_passage > 0).mean(axis=0)
    absent = [_LOOSE_ABSENT if term.loose else _NAMED_ABSENT if term.named else 1.0 for term in query.terms]
    weights *= np.where(anywhere == 0, absent, 1.0)
    return np.asarray(weights / weights.sum())
