"""Answer a question with the best sentences and rows of its passages, verbatim and cited, or not at all."""

import re
from collections.abc import Sequence

from services.gateway.extractive.lines import Kind
from services.gateway.extractive.query_analysis import analyse_query, find_years
from services.gateway.extractive.ranking import Candidate, rank_spans
from services.gateway.extractive.spans import read_passages
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.contracts.search import GlossaryTerm, Passage

MIN_SUPPORT = 0.5
"""The share of the question that the best span and its surroundings must cover."""
ALSO_GOOD = 0.7
"""The share of the best score from which a span is quoted, too."""
_MAX_LINES = 4
_MAX_LIST_LINES = 12
_FURTHEST = 40  # candidates that are looked at
_SHORTEST_TIMELINE = 3  # entries; fewer dated lines are no list
_DATED = re.compile(r"\W{0,9}(?:[^\W\d_]+\.? )?(?:1[5-9]|20|21)\d\d\b")


def answer_extractively(question: str, passages: Sequence[Passage], known: Sequence[GlossaryTerm] = ()) -> str:
    """Return the answer in the passages' own words, each piece followed by ` [n]`, or NOT_FOUND_ANSWER.

    Numbers in brackets that stand in the passages are left out: they would read as citations of ours.

    Parameters:
        known: terms of the question that passages may put in other words.
    """
    query = analyse_query(question, known)
    candidates = rank_spans(query, passages, read_passages(passages))
    chosen = _choose_best(candidates)
    if query.years and (chosen or query.history):
        chosen = _choose_timeline(query.years, candidates) or chosen
    return _render(chosen) or NOT_FOUND_ANSWER


def _choose_timeline(years: tuple[int, int], candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the spans that begin with a year within those that are asked, if there are several, in their order.

    A timeline need not say "milestones", and its entries say nothing else that is asked.
    """
    entries = [candidate for candidate in candidates if _DATED.match(candidate.span.text)]
    if len(entries) < _SHORTEST_TIMELINE:
        return []
    dated = sorted((find_years(entry.span.text)[0], entry.position, entry) for entry in entries)
    low, high = years
    return [entry for year, _, entry in dated if low <= year <= high][:_MAX_LIST_LINES]


def _choose_best(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the best span, then those that are nearly as good."""
    best = candidates[0] if candidates else None
    if best is None or best.support < MIN_SUPPORT:
        return []
    chosen = [best]
    for candidate in candidates[1:_FURTHEST]:
        # Overlapping passages repeat a span.
        repeated = candidate.span.text in {other.span.text for other in chosen}
        if repeated or candidate.support < MIN_SUPPORT:
            continue
        if candidate.score < ALSO_GOOD * best.score or len(chosen) == _MAX_LINES:
            break
        chosen.append(candidate)
    return chosen


def _render(chosen: Sequence[Candidate]) -> str:
    """Return the pieces with their citations; a row comes with its header line, an item with what introduces it.

    Without it an item can say the opposite of what is meant ("We do not pay for:").
    """
    pieces: list[str] = []
    shown = ""
    for candidate in chosen:
        span = candidate.span
        if not any(map(str.isalnum, span.text)):
            continue
        introduction = span.header or (span.lead if span.kind is Kind.ITEM and span.lead.endswith(":") else "")
        text = f"{introduction}\n{span.text}" if introduction not in ("", shown) else span.text
        shown = introduction or span.text
        pieces.append(f"{text} [{span.passage}]")
    prose = all(candidate.span.kind is Kind.SENTENCE and not _DATED.match(candidate.span.text) for candidate in chosen)
    return (" " if prose else "\n").join(pieces)
