"""Figures of a measurement with their uncertainty: means and paired differences, with bootstrap intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEPTHS = (1, 3, 5, 10)
_ROUNDS = 10_000
_SEED = 20_261_130


@dataclass(frozen=True)
class Estimate:
    """A mean, and the 95 % interval in which it would fall if other questions of the same kind had been asked."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def score_question(shares: Sequence[float]) -> dict[str, float]:
    """Return the share of the evidence that is held at each depth, and the reciprocal rank of the first of it."""
    scores = {f"@{depth}": (shares[min(depth, len(shares)) - 1] if shares else 0.0) for depth in DEPTHS}
    first = next((rank for rank, share in enumerate(shares, start=1) if share > 0), None)
    return {**scores, "mrr": 0.0 if first is None else 1 / first}


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Return the mean with its interval: questions drawn anew, with replacement, 10,000 times."""
    array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(_SEED).integers(0, len(array), size=(_ROUNDS, len(array)), dtype=np.int32)
    means = array[drawn].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(array.mean()), float(low), float(high))


def compare(before: Mapping[str, float], after: Mapping[str, float]) -> Estimate:
    """Return the mean gain per question. Raises ValueError when other questions were asked."""
    if before.keys() != after.keys():
        raise ValueError("the two measurements are of other questions")
    return estimate_mean([after[question] - before[question] for question in before])
