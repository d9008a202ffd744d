"""Answers a question with the best sentences and rows of its passages, verbatim and cited, or not at all."""

from collections.abc import Sequence

from services.gateway.domain.citations import remove_markers
from services.gateway.domain.evidence import Candidate, weigh_units
from services.gateway.domain.inquiry import Expected, Inquiry, find_years, read_question
from services.gateway.domain.reading import read_passages
from services.gateway.domain.sentences import Kind
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.contracts.search import Passage

MIN_SUPPORT = 0.55
"""The share of the question that the best unit and its surroundings must cover."""
MIN_SUPPORT_UNFIT = 0.8
"""The same where the unit does not hold the expected kind of answer (a name that is only a role, say)."""

MIN_CLOSENESS = 0.3
"""The share that the unit and the lines right above it must cover themselves."""

_MAX_LINES = 3
_MAX_LIST_LINES = 12


def answer_extractively(question: str, passages: Sequence[Passage]) -> str:
    """The answer in the passages' own words, each piece followed by ` [n]`; NOT_FOUND_ANSWER if there is none.

    Numbers in brackets that stand in the passages are left out: they would read as citations of ours.
    """
    inquiry = read_question(question)
    candidates = weigh_units(inquiry, passages, read_passages(passages))
    if not candidates or not _is_supported(candidates[0], inquiry):
        return NOT_FOUND_ANSWER
    chosen = _choose(inquiry, candidates)
    return _render(chosen, passages, as_list=inquiry.several) or NOT_FOUND_ANSWER


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
    elif inquiry.years and (dated := _choose_years(inquiry.years, candidates)):
        chosen = dated
    elif inquiry.several:
        chosen = _choose_list(inquiry, candidates)
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
    """The best unit for each of the things that are compared."""
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


def _choose_years(years: tuple[int, int], candidates: list[Candidate]) -> list[Candidate]:
    """The dated units of the best block that fall into the asked years."""
    low, high = years
    dated = [candidate for candidate in candidates if find_years(candidate.unit.text)]
    if not dated:
        return []
    siblings = [candidate for candidate in dated if candidate.score >= 0.7 * dated[0].score]
    for candidate in dated:
        if candidate.score < 0.5 * dated[0].score:
            break
        # Milestones come as a list or table, whose items name the years but hardly the question's words.
        group = _find_siblings(candidate, dated)
        if len(group) > 2:
            siblings = group
            break
    chosen = [candidate for candidate in siblings if low <= find_years(candidate.unit.text)[0] <= high]
    return sorted(chosen, key=lambda candidate: candidate.position)[:_MAX_LIST_LINES]


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
        as_good = candidate.score >= 0.92 * best.score and candidate.closeness >= 0.9 * best.closeness
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
    best = chosen[0]
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
    return kept + [candidate for candidate in chosen if candidate not in kept]


def _render(chosen: list[Candidate], passages: Sequence[Passage], *, as_list: bool) -> str:
    """The pieces with their citations; a row comes with the header line that explains it."""
    pieces: list[str] = []
    header = ""
    for candidate in chosen:
        text = remove_markers(candidate.unit.text).strip()
        if not any(char.isalnum() for char in text):
            continue
        wanted = candidate.unit.header if _needs_header(candidate, passages) else ""
        if wanted and wanted != header:
            text = f"{remove_markers(wanted).strip()}\n{text}"
        header = wanted
        pieces.append(f"{text} [{candidate.passage}]")
    prose = all(candidate.unit.kind is Kind.SENTENCE for candidate in chosen)
    return (" " if prose and not as_list else "\n").join(pieces)


def _needs_header(candidate: Candidate, passages: Sequence[Passage]) -> bool:
    """Whether the header line says what the row's cells are, and stands in the passage that will be cited."""
    unit = candidate.unit
    named = any(m > o for m, o in zip(candidate.matches, candidate.own, strict=True))
    if not unit.header or not (named or len(unit.header.split()) > 3):
        return False
    return "".join(unit.header.split()) in "".join(passages[candidate.passage - 1].text.split())
