"""Figures of a measurement with their uncertainty: means and paired differences, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 4_000
_SEED = 20_261_130


@dataclass(frozen=True)
class Estimate:
    """A mean, and the 95 % interval in which it would fall if other questions of the same kind had been asked."""

    mean: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Of a difference: whether its sign is."""
        return self.low > 0 or self.high < 0


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Return the mean with its interval: questions drawn anew, with replacement. Raises ValueError without values."""
    if not values:
        raise ValueError("there is no mean of nothing")
    array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    means = _draw_counts(len(array)) @ array / len(array)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(array.mean()), float(low), float(high))


def compare(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Return the mean gain per question; both are in the order of the questions."""
    return estimate_mean([new - old for old, new in zip(before, after, strict=True)])


@lru_cache(maxsize=8)
def _draw_counts(size: int) -> NDArray[np.float64]:
    """How often each of so many questions is drawn in each round; shape (rounds, size)."""
    return np.random.default_rng(_SEED).multinomial(size, np.full(size, 1 / size), size=_ROUNDS).astype(np.float64)
