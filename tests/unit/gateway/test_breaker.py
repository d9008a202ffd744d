"""The circuit breaker of a provider: who may ask, and when, whatever happens in whatever order."""

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from services.gateway.providers.breaker import (
    FAILURES_TO_OPEN,
    MAX_OPEN_S,
    MAX_RETRY_AFTER_S,
    OPEN_S,
    CircuitBreaker,
    Permit,
)


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Circuit:
    """A breaker with its clock."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(self.clock)

    def acquire(self) -> Permit:
        permit = self.breaker.acquire()
        assert permit is not None
        return permit

    def open(self) -> None:
        for _ in range(FAILURES_TO_OPEN):
            self.breaker.fail(self.acquire())

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


def test_it_opens_after_failures_in_a_row(circuit: Circuit) -> None:
    """Not before, and a success in between begins the count anew."""
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            circuit.breaker.fail(circuit.acquire())
        circuit.breaker.succeed(circuit.acquire())
    assert circuit.breaker.is_closed
    circuit.open()
    assert (circuit.breaker.acquire(), circuit.breaker.wait_s) == (None, OPEN_S)


def test_one_probe_closes_it(circuit: Circuit) -> None:
    """When its time is over one may ask; the others when that one was answered."""
    circuit.open()
    circuit.pass_time(OPEN_S)
    probe = circuit.acquire()
    assert circuit.breaker.acquire() is None
    circuit.breaker.succeed(probe)
    assert circuit.breaker.is_closed
    assert len({circuit.acquire(), circuit.acquire()}) == 2


def test_each_failed_probe_doubles_the_wait_up_to_a_limit(circuit: Circuit) -> None:
    """A provider that is away for an hour is asked once a minute."""
    circuit.open()
    waits = []
    for _ in range(6):
        waits.append(circuit.breaker.wait_s)
        circuit.pass_time(circuit.breaker.wait_s)
        circuit.breaker.fail(circuit.acquire())
    assert waits == [5, 10, 20, 40, 60, 60]


def test_a_probe_that_is_given_back_lets_the_next_one_ask(circuit: Circuit) -> None:
    """Its asker left before anything was to be seen."""
    circuit.open()
    circuit.pass_time(OPEN_S)
    circuit.breaker.release(circuit.acquire())
    assert circuit.acquire()


def test_retry_after_opens_it_at_once_and_for_that_long(circuit: Circuit) -> None:
    """And then for one probe only, because all who waited would come at the same time."""
    circuit.breaker.fail(circuit.acquire(), retry_after_s=90)
    circuit.pass_time(89)
    assert (circuit.breaker.acquire(), circuit.breaker.wait_s) == (None, 1)
    circuit.pass_time(1)
    assert circuit.acquire()
    assert circuit.breaker.acquire() is None


def test_a_shorter_retry_after_does_not_shorten_a_longer_one(circuit: Circuit) -> None:
    """Two questions that were under way at the same time."""
    first, second = circuit.acquire(), circuit.acquire()
    circuit.breaker.fail(first, retry_after_s=90)
    circuit.breaker.fail(second, retry_after_s=1)
    assert circuit.breaker.wait_s == 90


def test_a_provider_that_says_a_day_is_tried_again_within_minutes(circuit: Circuit) -> None:
    """By one probe, which is told the same, and again by the next one; when it answers all may ask."""
    circuit.breaker.fail(circuit.acquire(), retry_after_s=24 * 3600)
    for _ in range(3):
        assert circuit.breaker.wait_s == MAX_RETRY_AFTER_S
        circuit.pass_time(MAX_RETRY_AFTER_S - 1)
        assert circuit.breaker.acquire() is None
        circuit.pass_time(1)
        probe = circuit.acquire()
        assert circuit.breaker.acquire() is None
        circuit.breaker.fail(probe, retry_after_s=24 * 3600)
    circuit.pass_time(MAX_RETRY_AFTER_S)
    circuit.breaker.succeed(circuit.acquire())
    assert circuit.breaker.is_closed


@pytest.mark.parametrize("verdict", ["succeed", "fail"])
def test_who_asked_before_it_opened_changes_nothing(circuit: Circuit, verdict: str) -> None:
    """A success from then does not close it, a failure does not make it wait longer."""
    early = circuit.acquire()
    circuit.open()
    getattr(circuit.breaker, verdict)(early)
    assert (circuit.breaker.acquire(), circuit.breaker.wait_s) == (None, OPEN_S)


class AnyOrder(RuleBasedStateMachine):
    """Questions begin and end in any order, while time passes."""

    permits: Bundle[Permit] = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.held: set[Permit] = set()
        self.not_before = 0.0
        self.probe: Permit | None = None

    @rule(target=permits)
    def ask(self) -> Permit:
        breaker = self.circuit.breaker
        closed = breaker.is_closed
        permit = breaker.acquire()
        if permit is None:
            assert not closed
            return Permit(-1)
        assert self.circuit.clock.now >= self.not_before, "asked again before Retry-After, or its limit"
        if not closed:
            assert self.probe is None, "two probes"
            self.probe = permit
        self.held.add(permit)
        return permit

    def take_back(self, permit: Permit) -> bool:
        """Whether it is still held; from now on it is not."""
        if permit == self.probe:
            self.probe = None
        held = permit in self.held
        self.held.discard(permit)
        return held

    @rule(permit=consumes(permits))
    def succeed(self, permit: Permit) -> None:
        if self.take_back(permit):
            self.circuit.breaker.succeed(permit)

    @rule(permit=consumes(permits), retry_after_s=st.none() | st.integers(0, 1000))
    def fail(self, permit: Permit, retry_after_s: int | None) -> None:
        if self.take_back(permit):
            self.circuit.breaker.fail(permit, retry_after_s=retry_after_s)
            if retry_after_s:
                self.probe = None  # it was told, too, in the name of all
                wait_s = min(retry_after_s, MAX_RETRY_AFTER_S)
                self.not_before = max(self.not_before, self.circuit.clock.now + wait_s)

    @rule(permit=consumes(permits))
    def release(self, permit: Permit) -> None:
        if self.take_back(permit):
            self.circuit.breaker.release(permit)

    @rule(seconds=st.integers(0, 120))
    def pass_time(self, seconds: int) -> None:
        self.circuit.pass_time(seconds)

    @rule()
    def fail_in_a_row(self) -> None:
        while (permit := self.circuit.breaker.acquire()) is not None:
            self.circuit.breaker.fail(permit)

    @invariant()
    def the_wait_has_an_end(self) -> None:
        longest = max(MAX_OPEN_S, self.not_before - self.circuit.clock.now)
        assert 0 <= self.circuit.breaker.wait_s <= longest

    def teardown(self) -> None:
        """Whatever has happened: when all who asked are done and the wait is over, the provider is asked again."""
        for permit in self.held:
            self.circuit.breaker.release(permit)
        self.circuit.pass_time(self.circuit.breaker.wait_s)
        assert self.circuit.breaker.acquire() is not None


TestAnyOrder = AnyOrder.TestCase
