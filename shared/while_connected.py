"""Lets work go on only as long as the client that waits for it is connected."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from shared.tasks import end_tasks, run_to_end

T = TypeVar("T")


async def run_while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the work's result. A client that leaves ends the work, and raises ClientDisconnect.

    The request's body must have been read: what comes behind it is the client's departure. Of work in a thread only
    the wait for it ends.
    """
    result = asyncio.create_task(work)
    departure = asyncio.create_task(_wait_for_departure(request))
    try:
        await asyncio.wait({result, departure}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise ClientDisconnect
    finally:
        await run_to_end(end_tasks(result, departure))


async def _wait_for_departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
