"""Ends background tasks for good."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

ASK_AGAIN_S = 0.5


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancels tasks and returns when all have ended; what they raise is dropped.

    Asks again as long as one goes on: a cancellation that meets a Redis command can get lost in the client's own
    timeout, and a single one would then be waited for without end.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=ASK_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits a clean-up to its end, however often we are cancelled meanwhile; the cancellation is raised after it."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            result = await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.done():
                raise
            cancelled = error
        else:
            break
    if cancelled is not None:
        raise cancelled
    return result
