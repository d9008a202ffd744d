"""The mean of some scores and how far they lie apart."""

import math
from collections.abc import Sequence


def measure_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation of one value or more."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
