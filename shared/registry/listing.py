"""Lists keys, or what one of them holds, some at a time, and notices where another server has them by now.

A cursor counts in the order of one server from one start to its end. Elsewhere it passes by what it does not know of.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from shared.errors import DependencyUnavailable

_OTHER_SERVER = "Redis has started anew, or has moved the records to another node, while they were listed; try again."


async def list_whole(
    redis: Redis, call: Callable[[Any], Awaitable[Any]], key: str, scan: Callable[[Any, int], object]
) -> AsyncGenerator[Any, None]:
    """Yield what each step of a scan has found, from the first to the last.

    Raises DependencyUnavailable where it would not be all that is there from the beginning to the end.

    Parameters:
        call: waits for a command.
        key: any of the client's: a node of a cluster that has its slot no more says so, and SCAN alone would not.
        scan: adds the step from a cursor to a pipeline.
    """
    server: str | None = None
    cursor: int | None = None
    while cursor != 0:
        pipe: Any = redis.pipeline(transaction=True)  # `execute` gives its connection back
        pipe.exists(key)
        pipe.info("server")
        scan(pipe, cursor or 0)
        _, about, (cursor, found) = await call(pipe.execute())
        if server not in (None, about["run_id"]):
            raise DependencyUnavailable(_OTHER_SERVER)
        server = about["run_id"]
        yield found
