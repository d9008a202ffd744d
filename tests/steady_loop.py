"""An event loop on whose clock no time passes while the machine stands still."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

STEP_S = 0.01
"""The most that passes at once; a wait is cut into such steps."""


class _SteppingSelector(selectors.DefaultSelector):
    """Waits for no longer than a step, so that a stall is one step too many, however long it takes."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else min(timeout, STEP_S))


class SteadyLoop(asyncio.SelectorEventLoop):
    """Lets deadlines come no nearer while the machine does other things than this process.

    On the usual clock a stall of some seconds is over at the same moment as every deadline that it has passed, and the
    timeout comes before what would have come in time: what the other side has sent is read, but nobody has been woken
    to see it. A test with a short timeout, of its own or of the product, would say then that nothing came.
    """

    def __init__(self) -> None:
        super().__init__(_SteppingSelector())
        self._seen = self._steady = super().time()

    def time(self) -> float:
        """Seconds that have passed, none of which was a stall."""
        now = super().time()
        self._steady += min(now - self._seen, STEP_S)
        self._seen = now
        return self._steady


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Any]:
    """Give each test such a loop; what pytest-asyncio asks for."""
    return {"steady": SteadyLoop}
