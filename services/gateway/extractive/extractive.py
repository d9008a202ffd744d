"""Answers a question with the best sentences and rows of its passages, verbatim and cited, or not at all."""

import re
from collections.abc import Sequence

from services.gateway.answers.citations import remove_markers
from services.gateway.extractive.evidence import Candidate, weigh_units
from services.gateway.extractive.inquiry import Expected, Inquiry, find_years, read_question
from services.gateway.extractive.lines import Kind
from services.gateway.extractive.reading import read_passages
from services.gateway.extractive.words import stems
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.contracts.search import Passage

MIN_SUPPORT = 0.5
"""The share of the question that the best unit and its surroundings must cover."""
MIN_SUPPORT_UNFIT = 0.65
"""The same where the unit does not hold the expected kind of answer (a name that is only a role, say)."""

MIN_CLOSENESS = 0.2
"""The share that the unit and the lines right above it must cover themselves."""

_FIT_DEPTH = 8  # how far down the ranking a better suited candidate is looked for
_MAX_LINES = 3
_SHORTEST_TIMELINE = 3  # entries; fewer dated lines are no list
_DATED = re.compile(r"\W*(?:[^\W\d_]+\.? )?(?:1[5-9]|20|21)\d\d\b")
_MAX_LIST_LINES = 12


def answer_extractively(question: str, passages: Sequence[Passage]) -> str:
    """The answer in the passages' own words, each piece followed by ` [n]`; NOT_FOUND_ANSWER if there is none.

    Numbers in brackets that stand in the passages are left out: they would read as citations of ours.
    """
    inquiry = read_question(question)
    candidates = _prefer_fitting(weigh_units(inquiry, passages, read_passages(passages)))
    if not candidates:
        return NOT_FOUND_ANSWER
    chosen = _choose_timeline(inquiry, candidates) if inquiry.history and inquiry.several else []
    if not chosen:
        if not _is_supported(candidates[0], inquiry):
            return NOT_FOUND_ANSWER
        chosen = _choose(inquiry, candidates)
    return _render(chosen, passages, as_list=inquiry.several) or NOT_FOUND_ANSWER


def _prefer_fitting(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates with the best one first that holds what is expected, if there is one that is supported at all."""
    if not candidates or candidates[0].fits:
        return candidates
    best = next((other for other in candidates[:_FIT_DEPTH] if other.fits and other.support >= MIN_SUPPORT), None)
    return [best, *(other for other in candidates if other is not best)] if best else candidates


def _is_supported(best: Candidate, inquiry: Inquiry) -> bool:
    if best.closeness < MIN_CLOSENESS:
        return False
    if best.fits:
        return best.support >= MIN_SUPPORT
    return inquiry.expected is not Expected.CONTACT and best.support >= MIN_SUPPORT_UNFIT


def _choose(inquiry: Inquiry, candidates: list[Candidate]) -> list[Candidate]:
    candidates = _drop_repeats(candidates)
    if inquiry.sides:
        chosen = _choose_sides(inquiry, candidates)
    elif inquiry.years and (dated := _choose_timeline(inquiry, candidates)):
        chosen = dated
    elif inquiry.several:
        chosen = _choose_list(inquiry, candidates)
    elif inquiry.expected is Expected.ANYTHING and (section := _choose_section(inquiry, candidates)):
        chosen = section
    else:
        chosen = _choose_best(inquiry, candidates, _MAX_LINES)
    return _complete(chosen, candidates)


def _drop_repeats(candidates: list[Candidate]) -> list[Candidate]:
    """Overlapping chunks hold the same sentence twice: the better ranked one stays."""
    seen: set[str] = set()
    kept = []
    for candidate in candidates:
        key = "".join(candidate.unit.text.split()).casefold()
        if key not in seen:
            seen.add(key)
            kept.append(candidate)
    return kept


def _choose_sides(inquiry: Inquiry, candidates: list[Candidate]) -> list[Candidate]:
    """The best unit for each of the things that are compared; the whole table if they are columns of it."""
    for candidate in candidates[:_FIT_DEPTH]:
        names = set(stems(candidate.unit.header))
        if names and all(names & side for side in inquiry.sides):
            rows = _find_siblings(candidate, candidates)
            return sorted(rows, key=lambda other: other.position)[:_MAX_LIST_LINES]
    chosen: list[Candidate] = []
    for side in inquiry.sides:
        marks = [i for i, term in enumerate(inquiry.terms) if term.stem in side]

        def rate(candidate: Candidate, marks: list[int] = marks) -> float:
            own = sum(candidate.own[i] for i in marks) / max(len(marks), 1)
            # Rows of one table compare best, so the other side's row pulls this side's.
            paired = any(candidate.unit.header and candidate.unit.header == other.unit.header for other in chosen)
            return own + 0.5 * candidate.score + 0.25 * bool(candidate.unit.header) + 0.25 * paired

        best = max(candidates, key=rate)
        if best not in chosen:
            chosen.append(best)
    return chosen


def _choose_timeline(inquiry: Inquiry, candidates: list[Candidate]) -> list[Candidate]:
    """The entries of the longest list that begins with years, within the years that are asked; or none.

    A timeline need not say "milestones", and its entries say nothing else that is asked.
    """
    entries = [candidate for candidate in _drop_repeats(candidates) if _DATED.match(candidate.unit.text)]
    group = max((_find_siblings(entry, entries) for entry in entries), key=len, default=[])
    if len(group) < _SHORTEST_TIMELINE:
        return []
    low, high = inquiry.years or (0, 9999)
    wanted = [entry for entry in group if low <= find_years(entry.unit.text)[0] <= high]
    return sorted(wanted, key=lambda entry: (find_years(entry.unit.text)[0], entry.position))[:_MAX_LIST_LINES]


def _choose_list(inquiry: Inquiry, candidates: list[Candidate]) -> list[Candidate]:
    """The whole list or table if what is asked is its title; else the units that answer."""
    best = candidates[0]
    siblings = _find_siblings(best, candidates)
    # A key term in some rows only picks these rows out.
    picky = any(
        term.key and best.own[i] and not all(other.own[i] for other in siblings) for i, term in enumerate(inquiry.terms)
    )
    if _is_asked_by_context(best) and not picky:
        return sorted(siblings, key=lambda candidate: candidate.position)[:_MAX_LIST_LINES]
    return _choose_best(inquiry, candidates, _MAX_LINES + 1)


def _choose_section(inquiry: Inquiry, candidates: list[Candidate]) -> list[Candidate]:
    """The first lines of the section whose heading is what is asked, or none.

    What happens, or is to be done, goes on in the sentence after the one that names the case.
    """
    best = candidates[0]
    if best.unit.kind is Kind.ROW or best.unit.lead:
        return []
    section = sorted(_find_siblings(best, candidates), key=lambda candidate: candidate.position)
    named = any(term.key and match for term, match in zip(inquiry.terms, best.context, strict=True))
    if _is_asked_by_context(best) or (inquiry.procedure and named):
        head = section[:_MAX_LINES]
        return head if best in head else [*head[:-1], best]
    at = section.index(best)
    return section[at : at + 2] if inquiry.procedure else []


def _is_asked_by_context(candidate: Candidate) -> bool:
    """Whether the question names the heading or introduction of the unit rather than the unit."""
    return sum(candidate.matches) > 1.5 * sum(candidate.own)


def _find_siblings(candidate: Candidate, candidates: list[Candidate]) -> list[Candidate]:
    """The units that stand in the same list, table or answer, the unit itself included."""
    unit = candidate.unit
    return [
        other
        for other in candidates
        if (other.unit.heading, other.unit.header, other.unit.lead) == (unit.heading, unit.header, unit.lead)
        and other.unit.kind is unit.kind
        and (other.passage == candidate.passage or unit.heading or unit.lead)
    ]


def _choose_best(inquiry: Inquiry, candidates: list[Candidate], limit: int) -> list[Candidate]:
    """The best unit, then those that are about as good or name what it leaves out."""
    best = candidates[0]
    # Who, when and how much have one answer: a line that only adds other words of the question is beside it.
    open_ended = inquiry.expected is Expected.ANYTHING
    chosen = [best]
    for candidate in candidates[1:40]:
        if len(chosen) == limit:
            break
        if candidate.fits < best.fits or candidate.support < MIN_SUPPORT:
            continue
        as_good = candidate.score >= 0.85 * best.score and candidate.closeness >= 0.6 * best.closeness
        if as_good or (open_ended and _adds(candidate, chosen)):
            chosen.append(candidate)
    return chosen


def _adds(candidate: Candidate, chosen: list[Candidate]) -> bool:
    """Whether the unit itself names a term that none of the chosen ones do, and is nearly as good."""
    covered = [max(row) for row in zip(*(other.matches for other in chosen), strict=True)]
    gains = [own for own, have in zip(candidate.own, covered, strict=True) if own > 0.6 and have < 0.3]
    return bool(gains) and candidate.score >= 0.6 * chosen[0].score


def _complete(chosen: list[Candidate], candidates: list[Candidate]) -> list[Candidate]:
    """Adds what the best unit does not make sense without: the rest of an answer, the list it introduces."""
    best = next((candidate for candidate in chosen if candidate.unit.text.endswith(":")), chosen[0])
    added: list[Candidate] = []
    if best.unit.lead.endswith("?"):
        added = _find_siblings(best, candidates)
    elif best.unit.text.endswith(":"):
        added = [other for other in candidates if other.unit.lead == best.unit.text and other.passage == best.passage]
    if not added:
        return chosen
    group = sorted({*added, best}, key=lambda candidate: candidate.position)
    limit = _MAX_LIST_LINES if best.unit.kind is Kind.ITEM or best.unit.text.endswith(":") else _MAX_LINES
    start = max(0, min(group.index(best) - limit + 1, len(group) - limit))
    kept = group[start : start + limit]
    others = [candidate for candidate in chosen if candidate not in kept]
    return kept + others if best is chosen[0] else others + kept


def _render(chosen: list[Candidate], passages: Sequence[Passage], *, as_list: bool) -> str:
    """The pieces with their citations; a row comes with its header line, an item with what introduces it."""
    pieces: list[str] = []
    shown = ""
    for candidate in chosen:
        text = remove_markers(candidate.unit.text).strip()
        if not any(char.isalnum() for char in text):
            continue
        wanted = _find_introduction(candidate, passages)
        if wanted and wanted != shown:
            text = f"{remove_markers(wanted).strip()}\n{text}"
        shown = wanted or candidate.unit.text
        pieces.append(f"{text} [{candidate.passage}]")
    prose = all(candidate.unit.kind is Kind.SENTENCE for candidate in chosen)
    return (" " if prose and not as_list else "\n").join(pieces)


def _find_introduction(candidate: Candidate, passages: Sequence[Passage]) -> str:
    """The line that says what a row's cells are or what a list is of, if it stands in the passage that is cited.

    Without it an item can say the opposite of what is meant ("We do not pay for:").
    """
    unit = candidate.unit
    named = any(m > o for m, o in zip(candidate.matches, candidate.own, strict=True))
    line = ""
    if unit.header and (named or len(unit.header.split()) > 3):
        line = unit.header
    elif unit.kind is Kind.ITEM and unit.lead.endswith(":"):
        line = unit.lead
    there = "".join(line.split()) in "".join(passages[candidate.passage - 1].text.split())
    return line if there else ""
