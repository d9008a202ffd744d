"""One suite on every UploadKeys: a key belongs to the upload that came first, also when that was never accepted."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from services.gateway.ports import UploadKeys, UploadKeyUse
from services.gateway.upload_keys import KEPT_MS, RedisUploadKeys
from tests.fakes.memory_upload_keys import MemoryUploadKeys
from tests.patience import PATIENT_S


class RepeatingKeys(RedisUploadKeys):
    """Runs each script twice and believes the second answer: what a client does whose Redis was slow to answer."""

    async def _run(self, script: str, tenant: str, key: str, *arguments: str) -> Any:
        await super()._run(script, tenant, key, *arguments)
        return await super()._run(script, tenant, key, *arguments)


@pytest.fixture(params=["memory", "redis", "slow redis", "redis cluster"])
def keys(request: pytest.FixtureRequest) -> UploadKeys:
    """An empty one of each kind."""
    if request.param == "memory":
        return MemoryUploadKeys()
    redis: Redis = request.getfixturevalue("clustered_redis" if request.param == "redis cluster" else "redis")
    return (RepeatingKeys if request.param == "slow redis" else RedisUploadKeys)(redis, deadline_s=PATIENT_S)


async def test_a_key_belongs_to_who_came_first(keys: UploadKeys) -> None:
    """Whoever comes later, with whatever, learns of that one; other keys and other tenants know nothing of it."""
    first = UploadKeyUse("sha\na.pdf", None)
    assert await keys.take("t", "k", first.identity) == first
    assert await keys.take("t", "k", first.identity) == first
    assert await keys.take("t", "k", "other\nb.pdf") == first
    for tenant, key in (("t", "K"), ("u", "k"), ("t", "k" * 255)):
        assert await keys.take(tenant, key, "other") == UploadKeyUse("other", None)


async def test_what_became_of_the_upload_is_known(keys: UploadKeys) -> None:
    """What was noted first stays; of a key that was never taken, or is forgotten, nothing is noted."""
    await keys.take("t", "k", "id")
    for noted in ("doc_0", "doc_1"):
        await keys.note_accepted("t", "k", noted)
        assert await keys.take("t", "k", "id") == UploadKeyUse("id", "doc_0")
    await keys.note_accepted("t", "unknown", "doc_0")
    assert (await keys.take("t", "unknown", "id")).document_id is None


async def test_of_many_at_once_one_is_first(keys: UploadKeys) -> None:
    """All learn of the same upload."""
    uses = await asyncio.gather(*(keys.take("t", "k", f"id {n}") for n in range(20)))
    assert len({use.identity for use in uses}) == 1


async def test_a_key_goes_by_itself_a_day_after_its_first_use(redis: Redis) -> None:
    """Later uses do not prolong it, and no key of a client stands in Redis as it was sent."""
    keys = RedisUploadKeys(redis, deadline_s=PATIENT_S)
    await keys.take("t", "secret", "id")
    (name,) = await redis.keys("*")
    assert "secret" not in name
    assert 0 < await redis.pttl(name) <= KEPT_MS
    await redis.pexpire(name, 50_000)
    await keys.take("t", "secret", "id")
    await keys.note_accepted("t", "secret", "doc_1")
    assert 0 < await redis.pttl(name) <= 50_000
