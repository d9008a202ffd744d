"""Looks figures up among those of a passage: the same value, in whatever notation, scale or rounding."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from services.gateway.evidence.figures import Figure
from services.gateway.evidence.found import MISSING, UNDECIDED, Lookup, Outcome, Spot

MAX_CANDIDATES = 20
"""Equal figures of one passage that are looked at."""

_TABLE_SCALES = (Decimal(1000), Decimal(10**6), Decimal(10**9))
_TELLING_DIGITS = 3
"""With fewer digits a figure has too many multiples by a thousand to be one of them."""


class FigureIndex:
    """The figures of a passage by their values.

    Parameters:
        scale_hints: the scales that the passage names for its tables.
    """

    def __init__(self, figures: Iterable[Figure], scale_hints: frozenset[Decimal] = frozenset()) -> None:
        self.figures = tuple(figures)
        self._hints = scale_hints
        self._by_reading: dict[Decimal, list[Figure]] = defaultdict(list)
        self._by_value: dict[Decimal, list[Figure]] = defaultdict(list)
        self._by_duration: dict[tuple[bool, Decimal], list[Figure]] = defaultdict(list)
        for figure in self.figures:
            for reading in figure.readings:
                self._by_reading[reading].append(figure)
                for scale in figure.scales:
                    self._by_value[reading * scale].append(figure)
            if figure.duration:
                self._by_duration[figure.duration[0], figure.readings[0] * figure.duration[1]].append(figure)
        self._ordered = sorted(self._by_value)

    def find(self, figure: Figure, *, about: bool = False) -> Lookup:
        """Look a figure up.

        Parameters:
            about: whether it is said to be rounded (`about`, `more than`).
        """
        if not self.figures:  # as in most titles and questions
            return MISSING
        best = max(self._find_equal(figure), key=lambda lookup: lookup.outcome, default=MISSING)
        if best.outcome is Outcome.MISSING:
            best = self._find_rounded(figure, about=about)
        if best.outcome is Outcome.MISSING and figure.duration:
            months, length = figure.duration
            if same := self._by_duration.get((months, figure.readings[0] * length)):
                return Lookup(Outcome.FOUND, _list_spots(same))
        return best

    def holds(self, value: int) -> bool:
        """Return whether a whole number stands there."""
        return Decimal(value) in self._by_reading

    def list_spots(self, value: int) -> tuple[Spot, ...]:
        """Return where a whole number stands."""
        return _list_spots(self._by_reading.get(Decimal(value), ()))

    def _find_equal(self, figure: Figure) -> Iterator[Lookup]:
        same_digits = [found for reading in figure.readings for found in self._by_reading.get(reading, ())]
        by_outcome: dict[Outcome, list[Figure]] = defaultdict(list)
        for found in same_digits[:MAX_CANDIDATES]:
            by_outcome[_compare(figure, found, self._hints)].append(found)
        for reading in figure.readings:
            for scale in figure.scales:
                value = reading * scale
                written_out = self._by_value.get(value, ())
                by_outcome[Outcome.FOUND] += [found for found in written_out if figure.scaled or found.scaled]
                if figure.percent:
                    fractions = self._by_value.get(value / 100, ())
                    by_outcome[Outcome.FOUND] += [found for found in fractions if not found.measured]
                elif not figure.scaled:
                    # A table in millions that was copied as it is, or one that the passage writes out.
                    by_outcome[Outcome.UNDECIDED] += (
                        found
                        for table in _TABLE_SCALES
                        for found in self._by_value.get(value * table, ())
                        if not found.percent and not figure.duration and _count_digits(value) >= _TELLING_DIGITS
                    )
                else:
                    for table in _TABLE_SCALES:
                        rows = [found for found in self._by_value.get(value / table, ()) if not found.measured]
                        by_outcome[Outcome.FOUND if table in self._hints else Outcome.UNDECIDED] += rows
        for outcome, figures in by_outcome.items():
            if figures:
                yield Lookup(outcome, _list_spots(figures) if outcome is Outcome.FOUND else ())

    def _find_rounded(self, figure: Figure, *, about: bool) -> Lookup:
        """Look for a figure of more digits of which this is the round form: 3.4 billion for 3,398 million."""
        if figure.is_year and not about:
            return MISSING
        reading = figure.readings[0]
        step = figure.unit_of_last_digit
        if about:
            step = max(step, _find_round_step(reading))
        for scale in figure.scales:
            value, half = reading * scale, step * scale * (Decimal(1) if about else Decimal("0.5"))
            for table in (Decimal(1), *(_TABLE_SCALES if figure.scaled else ())):
                low, high = (value - half) / table, (value + half) / table
                near = self._ordered[bisect_left(self._ordered, low) : bisect_right(self._ordered, high)]
                figures = [
                    found
                    for at in near[:MAX_CANDIDATES]
                    for found in self._by_value[at][:MAX_CANDIDATES]
                    if _is_finer(found, step * scale / table) and (table == 1 or not found.measured)
                    if found.percent == figure.percent or not (found.measured and figure.measured)
                ]
                if figures and (table == 1 or table in self._hints):
                    digits = len(reading.as_tuple().digits)
                    return Lookup(Outcome.FOUND, _list_spots(figures)) if digits > 1 or about else UNDECIDED
                if figures:
                    return UNDECIDED
        return MISSING


def _compare(figure: Figure, found: Figure, hints: frozenset[Decimal]) -> Outcome:
    """Return whether two figures with the same digits mean the same."""
    if figure.duration and found.duration and figure.duration != found.duration:
        return Outcome.MISSING  # five days are no five weeks
    if figure.percent:
        return Outcome.MISSING if found.scaled else Outcome.FOUND
    if not figure.scaled:
        return Outcome.FOUND
    if found.scaled:
        return Outcome.FOUND if set(figure.scales) & set(found.scales) else Outcome.MISSING
    if found.percent:
        return Outcome.MISSING
    return Outcome.FOUND if hints & set(figure.scales) or Decimal(1) in figure.scales else Outcome.UNDECIDED


def _is_finer(found: Figure, step: Decimal) -> bool:
    return any(found.unit_of_last_digit * scale < step for scale in found.scales)


def _count_digits(value: Decimal) -> int:
    return len(value.normalize().as_tuple().digits)


def _find_round_step(value: Decimal) -> Decimal:
    """Return what one step of the last digit that is not zero is worth."""
    normal = value.normalize().as_tuple().exponent
    return Decimal(1).scaleb(normal if isinstance(normal, int) else 0)


def _list_spots(figures: Sequence[Figure]) -> tuple[Spot, ...]:
    return tuple(sorted({(figure.start, figure.end) for figure in figures[:MAX_CANDIDATES]}))
