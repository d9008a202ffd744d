"""Gives the calls of a store one deadline, and bounds how many of them are under way."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from shared.tasks import end_tasks

T = TypeVar("T")


class CrowdedError(TimeoutError):
    """A call missed its deadline while others were answered: we have too many of them, the store is not at fault."""


class BoundedCalls:
    """Run calls that must be answered soon or not at all, however many wait.

    A call that misses its deadline is not cancelled: redis-py loses cancellations (docs/decisions/0009), and one that
    is not lost may hit a connection in the middle of a reply. The call goes on by itself until its own timeouts end
    it, and keeps its place so long, so that a silent store has at most `at_once` calls of us.

    Parameters:
        deadline_s: seconds for a call, waiting for a place included.
        at_once: calls under way; fewer than the connections of the pool that they use.
    """

    def __init__(self, *, deadline_s: float, at_once: int) -> None:
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(at_once)
        self._running: set[asyncio.Task[Any]] = set()
        self._answered_at = -math.inf
        """When a call last returned something, by the clock of the loop."""

    async def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what the call returns. Raise TimeoutError at the deadline; it may still have its effect then.

        It is a CrowdedError where any call has been answered since this one came.
        """
        task: asyncio.Task[T] | None = None
        came_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._places.acquire()
                task = asyncio.create_task(call)
                self._running.add(task)
                task.add_done_callback(self._give_place_back)
                return await asyncio.shield(task)
        except TimeoutError as error:
            if self._answered_at >= came_at:
                raise CrowdedError from error
            raise
        finally:
            if task is None:
                call.close()

    async def close(self) -> None:
        """End the calls that nobody waits for any more."""
        await end_tasks(*self._running)

    def _give_place_back(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._places.release()
        if not task.cancelled() and task.exception() is None:  # asked for: that nobody waits for one is no news
            self._answered_at = asyncio.get_running_loop().time()
