"""Tasks that ask all the while that something else is done, and are not to end by themselves."""

import asyncio
from collections.abc import Sequence
from typing import Any

from shared.tasks import end_tasks


async def end_asking(asking: "Sequence[asyncio.Task[Any]]") -> None:
    """End them. Raise what one of them has found wrong."""
    for task in asking:
        if task.done():
            task.result()
    await end_tasks(*asking)
