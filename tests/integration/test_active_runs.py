"""Which run a chat can come back to, on a real Redis."""

from collections.abc import AsyncIterator

import pytest

from services.gateway.active_runs import RedisActiveRuns
from services.gateway.ports import ActiveRun
from shared.errors import DependencyUnavailable
from shared.redis_client import connect_redis
from tests.patience import PATIENT_S


@pytest.fixture
async def runs(redis_url: str) -> AsyncIterator[RedisActiveRuns]:
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    active = RedisActiveRuns(redis, kept_s=60)
    yield active
    await active.close()
    await redis.aclose()


async def test_a_chat_has_its_newest_run(runs: RedisActiveRuns) -> None:
    """The end of an older one, which may come later, changes nothing."""
    assert await runs.find("t", "c") is None
    await runs.note("t", "c", "run_1")
    await runs.note("t", "c", "run_2")
    await runs.mark_read("t", "c", "run_1")
    assert await runs.find("t", "c") == ActiveRun("run_2", read=False)

    await runs.mark_read("t", "c", "run_2")
    assert await runs.find("t", "c") == ActiveRun("run_2", read=True)


async def test_tenants_do_not_see_each_others_chats(runs: RedisActiveRuns) -> None:
    """The same id is another chat."""
    await runs.note("a", "c", "run_1")
    await runs.note("b", "c", "run_2")
    await runs.mark_read("b", "c", "run_1")

    assert await runs.find("a", "c") == ActiveRun("run_1", read=False)
    assert await runs.find("b", "c") == ActiveRun("run_2", read=False)


async def test_it_is_forgotten_with_its_run(runs: RedisActiveRuns, redis_url: str) -> None:
    """Also when it was read: nothing stays in Redis for good."""
    await runs.note("t", "c", "run_1")
    await runs.mark_read("t", "c", "run_1")
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        assert 0 < await redis.pttl("pagewire:t:chat:c") <= 60_000


async def test_an_answer_does_not_need_it() -> None:
    """While Redis is away nothing is noted, and only who asks for it is told."""
    async with connect_redis("redis://127.0.0.1:9", timeout_s=1) as redis:
        runs = RedisActiveRuns(redis, kept_s=60)
        await runs.note("t", "c", "run_1")
        await runs.mark_read("t", "c", "run_1")
        with pytest.raises(DependencyUnavailable):
            await runs.find("t", "c")
        await runs.close()
