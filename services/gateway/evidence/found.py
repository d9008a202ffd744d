"""What came of looking something up."""

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """Whether something stands in a passage; the higher is the better."""

    MISSING = 0
    UNDECIDED = 1
    """Something like it does, and whether it is the same cannot be told."""
    FOUND = 2


Spot = tuple[int, int]
"""First character and one past the last."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Whether something stands in a passage, and where; nowhere where it stands in the title only."""

    outcome: Outcome
    spots: tuple[Spot, ...] = ()


MISSING = Lookup(Outcome.MISSING)
UNDECIDED = Lookup(Outcome.UNDECIDED)
