"""Says of each citation of an answer whether the cited passage holds what its sentence says.

Looked up are figures, dates, times, names, codes and quotes, never the meaning: `services/gateway/evidence/`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from services.gateway.answers.citation_markers import mask_markers
from services.gateway.answers.citations import group_places
from services.gateway.answers.claims import Claim, PlacedMarker, find_claims
from services.gateway.evidence.claim_items import Amount, Item, find_items, is_decisive, look_up
from services.gateway.evidence.computed import ComputableFigures, asks_for_computing, speaks_of_computing
from services.gateway.evidence.figures import Figure
from services.gateway.evidence.found import Lookup, Outcome, Spot
from services.gateway.evidence.names import Name
from services.gateway.evidence.passage_index import PassageIndex
from shared.contracts.questions import Citation, Supported
from shared.contracts.search import Passage, Span

MAX_ANSWER_CHARS = 50_000
"""Of one answer that are checked; 4,096 tokens, the default limit, are 20,000."""

MAX_CITATIONS = 500
"""Of one answer that are checked and listed; a long answer has thirty."""

MAX_LOOKUPS = 10_000
"""Items times passages, of one answer; a long answer has a hundred. What comes behind them is not listed."""


class EvidenceCheck:
    """Checks the citations of one answer; reads a passage when it is first cited.

    Parameters:
        question: what it repeats of the question may be missing in a passage without being wrong.
    """

    def __init__(self, question: str, passages: Sequence[Passage]) -> None:
        self._question = PassageIndex(question)
        self._asks_for_computing = asks_for_computing(question)
        self._passages = [_CitablePassage(passage) for passage in passages]
        self._computable: dict[frozenset[int], ComputableFigures] = {}
        self._lookups_left = MAX_LOOKUPS

    def check_answer(self, answer: str, places: Sequence[tuple[int, int, int]]) -> list[Citation]:
        """Return the citations of a whole answer, in order.

        Parameters:
            places: of the filter that it has passed.
        """
        checked = answer[:MAX_ANSWER_CHARS]
        return self.check_markers(checked, group_places(place for place in places if place[2] <= len(checked)))

    def check_markers(self, text: str, markers: Sequence[PlacedMarker]) -> list[Citation]:
        """Return a citation for each passage that each of these markers names."""
        citations: list[Citation] = []
        for claim in find_claims(text, markers):
            if len(citations) >= MAX_CITATIONS or self._lookups_left <= 0:
                break
            citations += islice(self._check_claim(text, claim), MAX_CITATIONS - len(citations))
        return citations

    def _check_claim(self, text: str, claim: Claim) -> Iterator[Citation]:
        start, end = claim.head
        offset, items = start, find_items(text[start:end])
        if not items and (items := find_items(text[slice(*claim.tail)])):
            # "According to [1], sales grew by 5 %."
            offset, end = claim.tail
            start = start if claim.head[1] > start else offset
        passages = {n: self._passages[n - 1] for n in sorted(claim.sentence_numbers)}
        self._lookups_left -= len(items) * len(passages)
        looked_up = {item: {n: passage.look_up(item) for n, passage in passages.items()} for item in items}
        outcomes = {item: self._judge(item, results, passages) for item, results in looked_up.items()}
        self._excuse_computed(outcomes, text[offset:end], claim.sentence_numbers)
        missing = [
            Span(start=offset + item.start, end=offset + item.end)
            for item, one in outcomes.items()
            if one is Outcome.MISSING
        ]
        for marker in claim.markers:
            for n in marker.numbers:
                found = [results[n] for results in looked_up.values() if results[n].outcome is Outcome.FOUND]
                yield Citation(
                    n=n,
                    start=marker.start,
                    end=marker.end,
                    claim=Span(start=start, end=end),
                    supported=_decide(outcomes.values(), bool(found)),
                    evidence=[Span(start=first, end=last) for first, last in _choose_spots(found)],
                    missing=missing,
                )

    def _judge(
        self, item: Item, results: Mapping[int, Lookup], passages: Mapping[int, "_CitablePassage"]
    ) -> Outcome | None:
        """Return whether any passage that the sentence cites holds an item; None where it decides nothing."""
        best = max(lookup.outcome for lookup in results.values())
        if best is Outcome.FOUND:
            return best
        if not is_decisive(item) or (isinstance(item, Name) and best is Outcome.UNDECIDED):
            return None
        if isinstance(item, Name) and not all(passage.index.is_english for passage in passages.values()):
            return None
        if best is Outcome.MISSING and any(passage.index.is_partial for passage in passages.values()):
            return Outcome.UNDECIDED
        if best is Outcome.MISSING and look_up(item, self._question).outcome is not Outcome.MISSING:
            return None if isinstance(item, Name) else Outcome.UNDECIDED
        return best

    def _excuse_computed(self, outcomes: dict[Item, Outcome | None], claim: str, numbers: frozenset[int]) -> None:
        if not (self._asks_for_computing or speaks_of_computing(claim)):
            return
        for item, outcome in outcomes.items():
            if not isinstance(item, Amount) or outcome is not Outcome.MISSING or item.figure.is_year:
                continue
            if self._asks_for_computing or self._can_compute(item.figure, numbers):
                outcomes[item] = Outcome.UNDECIDED

    def _can_compute(self, figure: Figure, numbers: frozenset[int]) -> bool:
        if numbers not in self._computable:
            indexes = [self._passages[n - 1].index for n in sorted(numbers)]
            self._computable[numbers] = ComputableFigures(one for index in indexes for one in index.figures.figures)
        return self._computable[numbers].holds(figure)


@dataclass(frozen=True, eq=False)
class _CitablePassage:
    passage: Passage

    @cached_property
    def index(self) -> PassageIndex:
        # As the model has read it; masks are as long as what they stand for, so that places stay. The head of a table
        # comes behind the text for the same reason: its years and units count, its places are none of the text's.
        return PassageIndex(mask_markers("\n".join(filter(None, (self.passage.text, self.passage.table_head)))))

    @cached_property
    def title(self) -> PassageIndex:
        return PassageIndex(self.passage.title)

    def look_up(self, item: Item) -> Lookup:
        found = look_up(item, self.index)
        if self.passage.table_head:
            end = len(self.passage.text)
            found = replace(found, spots=tuple(spot for spot in found.spots if spot[1] <= end))
        if found.outcome is not Outcome.FOUND and look_up(item, self.title).outcome is Outcome.FOUND:
            return Lookup(Outcome.FOUND)
        return found


def complete_citations(checked: Sequence[Citation], places: Sequence[tuple[int, int, int]]) -> list[Citation]:
    """Return a citation for each place of a filter: the checked ones, and those that were not."""
    known = {(citation.n, citation.start): citation for citation in checked}
    return [known.get((n, start)) or Citation(n=n, start=start, end=end) for n, start, end in places]


def summarise(citations: Sequence[Citation], n: int) -> Supported:
    """Return whether a passage supports what cites it: false where one citation is."""
    verdicts = {citation.supported for citation in citations if citation.n == n}
    return False if False in verdicts else True if True in verdicts else "unknown"


def _decide(outcomes: Collection[Outcome | None], contributes: bool) -> Supported:
    """Return the verdict on one passage: true only where it holds something, and all is held by those cited."""
    if Outcome.MISSING in outcomes:
        return False
    return True if contributes and Outcome.UNDECIDED not in outcomes else "unknown"


def _choose_spots(found: Sequence[Lookup]) -> list[Spot]:
    """Return where a passage holds each item: of several places those that are close to the rarest."""
    placed = [lookup.spots for lookup in found if lookup.spots]
    if not placed:
        return []
    anchor = min(placed, key=len)[0][0]
    return sorted({min(spots, key=lambda spot: abs(spot[0] - anchor)) for spots in placed})
