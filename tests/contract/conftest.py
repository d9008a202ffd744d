"""Patience for the suites of the ports, and the stores that adapters are tried on."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from shared.redis_client import connect_redis
from tests.patience import PATIENT_S, be_patient
from tests.redis_cluster import RedisCluster


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """No deadline is over that the test does not choose."""
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        yield


@pytest.fixture
async def clustered_redis(redis_cluster: RedisCluster) -> AsyncIterator[Redis]:
    """A client of an empty Redis Cluster."""
    client = connect_redis(redis_cluster.url, timeout_s=PATIENT_S)
    yield client
    await client.aclose()
