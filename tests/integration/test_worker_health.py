"""What a container is asked of its worker: whether there is a note of it in Redis, or comes soon."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.ingest import health
from services.ingest.health import check_worker, make_health_key
from shared.queue.arq_queue import LaneNames
from shared.redis_client import connect_redis
from shared.settings import SharedSettings
from tests.patience import PATIENT_S


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as client:
        yield client


async def test_a_worker_that_is_late_is_alive(redis: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its note is waited for: it lasts hardly longer than until the next one should come."""
    monkeypatch.setattr(health, "LATE_S", PATIENT_S)
    await redis.config_resetstat()
    checking = asyncio.create_task(check_worker(SharedSettings(redis_url=redis_url)))
    while (await redis.info("commandstats")).get("cmdstat_exists", {"calls": 0})["calls"] < 2:
        await asyncio.sleep(0.01)
    assert not checking.done()
    await redis.set(make_health_key(LaneNames()), "alive")

    assert await checking


async def test_a_worker_that_leaves_no_note_is_not(redis: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one whose Redis is away."""
    monkeypatch.setattr(health, "LATE_S", 0.1)
    assert not await check_worker(SharedSettings(redis_url=redis_url))
    assert not await check_worker(SharedSettings(redis_url="redis://127.0.0.1:9"))
