"""Says when a provider that has failed may be asked again: a circuit breaker, a pure state machine.

Closed, everyone may ask. After `FAILURES_TO_OPEN` failures in a row, or at once when the provider says how long to
stay away, it opens: nobody asks. When its time is over it is half open: one asks, as a probe. The probe's success
closes it; its failure opens it for twice as long, or as long as the provider says now.
"""

from collections.abc import Callable
from typing import Final, NewType

FAILURES_TO_OPEN: Final = 5
"""One or two failures are a bad moment; each one more makes another question wait for a provider that is down."""
OPEN_S: Final = 5.0
"""Short, because most outages are; what stays away longer is found out by one question per period."""
MAX_OPEN_S: Final = 60.0
MAX_RETRY_AFTER_S: Final = 300.0
"""The longest that a provider's own word keeps everyone away. Some say 24 hours, by mistake or for a limit that the
account's owner lifts in a minute; one question in five minutes costs nobody anything, and finds out."""

Permit = NewType("Permit", int)
"""The right to ask once. Whoever has it says in the end what came of it: `succeed`, `fail` or `release`."""


class CircuitBreaker:
    """Counts the failures of one provider.

    Parameters:
        clock: seconds, from any origin, that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._open_s = OPEN_S
        self._probe: Permit | None = None
        self._last = Permit(0)
        self._stale = Permit(0)
        """The last permit from before the circuit opened: who holds it, or an earlier one, knows nothing new."""

    @property
    def is_closed(self) -> bool:
        """Whether everyone may ask."""
        return self._open_until is None

    @property
    def wait_s(self) -> float:
        """Seconds until it is known whether one may ask again; 0 when one may."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock())

    def acquire(self) -> Permit | None:
        """Return the permit to ask, or None."""
        if self._open_until is not None and (self._probe is not None or self._clock() < self._open_until):
            return None
        self._last = Permit(self._last + 1)
        if self._open_until is not None:
            self._probe = self._last
        return self._last

    def succeed(self, permit: Permit) -> None:
        """Note that the provider has answered."""
        if permit > self._stale:
            self._failures, self._open_until, self._open_s, self._probe = 0, None, OPEN_S, None

    def fail(self, permit: Permit, *, retry_after_s: float | None = None) -> None:
        """Note that it has failed.

        Parameters:
            retry_after_s: what the provider itself has asked for: it holds whoever was told, and whenever, up to
                MAX_RETRY_AFTER_S.
        """
        if retry_after_s:
            self._open(max(min(retry_after_s, MAX_RETRY_AFTER_S), self.wait_s))
        elif permit == self._probe:
            self._open_s = min(2 * self._open_s, MAX_OPEN_S)
            self._open(self._open_s)
        elif permit > self._stale:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._open(self._open_s)

    def release(self, permit: Permit) -> None:
        """Note that it was left before it showed anything; after `succeed` or `fail` this changes nothing."""
        if permit == self._probe:
            self._probe = None

    def _open(self, seconds: float) -> None:
        self._open_until = self._clock() + seconds
        self._stale, self._probe, self._failures = self._last, None, 0
