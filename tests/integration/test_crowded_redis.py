"""A Redis that answers, and more calls than there is time for: they learn that we are busy, not that it is away."""

import asyncio
from typing import Any

import pytest

from shared.bounded_calls import BoundedCalls
from shared.errors import BUSY_RETRY_AFTER_S, DependencyUnavailable
from shared.redis_client import connect_redis, run_command
from tests.patience import PATIENT_S


async def test_calls_for_which_there_is_no_time_say_so(redis_url: str) -> None:
    """As long as anybody is answered; with none, the store itself is what is named."""
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    calls = BoundedCalls(deadline_s=2, at_once=2)

    def wait_for(key: str) -> "asyncio.Task[Any]":
        """A command whose answer comes with the key."""
        return asyncio.create_task(run_command(calls, redis.blpop([key]), "It is away."))

    held = [wait_for(key) for key in ("comes", "never", "never")]
    waiting = asyncio.create_task(run_command(calls, redis.ping(), "It is away."))
    pushing: Any = redis.rpush("comes", "now")
    await pushing

    assert tuple(await held[0]) == ("comes", "now")
    for task in (*held[1:], waiting):
        with pytest.raises(DependencyUnavailable) as busy:
            await task
        assert (busy.value.error_code, busy.value.retry_after) == ("server_busy", BUSY_RETRY_AFTER_S)
    with pytest.raises(DependencyUnavailable, match=r"It is away\.") as away:
        await run_command(calls, redis.ping(), "It is away.")
    assert away.value.error_code == "dependency_unavailable"

    await calls.close()
    await redis.aclose()
