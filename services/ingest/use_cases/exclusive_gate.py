"""Lets a worker's documents through: many at a time, or one alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress


class ExclusiveGate:
    """Lets documents in together, or one that is under suspicion alone. For one event loop.

    Who waits to be alone goes before those who come later, so that a full queue does not keep it waiting for ever.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._taken_alone = False
        self._waiting_alone = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def enter(
        self, *, alone: bool, while_waiting: Callable[[], Awaitable[None]], every_s: float
    ) -> AsyncIterator[None]:
        """Wait until it is open, and be inside as long as the block takes.

        Parameters:
            while_waiting: called every `every_s` seconds and whenever somebody has left.
        """
        self._waiting_alone += alone
        try:
            while not self._is_open(alone):
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await self._changed.wait()
                await while_waiting()
            self._inside += 1
            self._taken_alone = alone
        finally:
            self._waiting_alone -= alone
            self._tell()
        try:
            yield
        finally:
            self._inside -= 1
            self._taken_alone = False
            self._tell()

    def has_at_most(self, count: int) -> bool:
        """Return whether no more than so many are inside, and nobody waits to be alone."""
        return self._inside <= count and self._waiting_alone == 0 and not self._taken_alone

    @contextmanager
    def pass_by(self) -> Iterator[None]:
        """Be inside, as one that may not wait: for who has seen that nobody is, and does not keep others waiting."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._tell()

    def _is_open(self, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not self._taken_alone and self._waiting_alone == 0

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
