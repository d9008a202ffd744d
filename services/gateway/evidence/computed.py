"""Tells figures that a model may have computed from figures that it had: differences, sums, shares, growth."""

import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice, permutations

from services.gateway.evidence.figures import Figure

MAX_OPERANDS = 60
"""Different figures from which others are computed; with more of them nearly anything can be."""

_SAYS_SO = re.compile(
    r"\b(?:differ|combin|together|sum\b|in total|average|ratio|altogether|comput|calculat|increas|decreas|grew|grow"
    r"|rose|rise|fell|fall|declin|drop|reduc|improv|gain|times\b|doubl|change|compared|versus|higher|lower|margin"
    r"|more than|less than|share of|gestiegen|gesunken|wuchs|zunahme|abnahme|differenz|summe|augment|diminu|hausse"
    r"|baisse|aument)",
    re.IGNORECASE,
)

_ASKS_FOR_IT = re.compile(
    r"\b(?:calculat|comput|ratio|margin|average|growth|grew|turnover|differ|combined|in total|altogether|increas"
    r"|decreas|percentage|year.over.year|yoy\b|days payable|how much (?:more|less|higher|lower)|berechne|durchschnitt)",
    re.IGNORECASE,
)


def speaks_of_computing(claim: str) -> bool:
    """Return whether a claim speaks of a change, a sum or a share, whose figure a model computes itself."""
    return _SAYS_SO.search(claim) is not None


def asks_for_computing(question: str) -> bool:
    """Return whether a question wants a figure that its answer may have computed in several steps."""
    return _ASKS_FOR_IT.search(question) is not None


class ComputableFigures:
    """What two figures can give.

    Parameters:
        figures: of the passages that a sentence cites.
    """

    def __init__(self, figures: Iterable[Figure]) -> None:
        values = (float(abs(one.readings[0] * one.scales[-1])) for one in figures if not (one.is_year or one.percent))
        operands = islice((value for value in dict.fromkeys(values) if value), MAX_OPERANDS)
        pairs = list(permutations(operands, 2))
        self._shares = sorted(share for a, b in pairs for share in (abs(a - b) / b * 100, a / b * 100))
        self._others = sorted(value for a, b in pairs for value in (abs(a - b), a + b, a / b))

    def holds(self, figure: Figure) -> bool:
        """Return whether two figures give this one, within its last digit."""
        values = self._shares if figure.percent else self._others
        half = float(figure.unit_of_last_digit) / 2
        return any(_is_near(values, float(figure.readings[0] * scale), half * float(scale)) for scale in figure.scales)


def _is_near(values: list[float], target: float, tolerance: float) -> bool:
    at = bisect_left(values, target - tolerance)
    return at < len(values) and values[at] <= target + tolerance
