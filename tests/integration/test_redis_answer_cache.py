"""What the answer cache on Redis does beside its contract: bounds, and that nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway import answer_cache
from services.gateway.answer_cache import RedisAnswerCache
from services.gateway.ports import CacheLookup
from shared.redis_client import PREFIX, connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.revision import make_revision_keys
from tests.contract.test_answer_cache import Parts, keep, make_answer, publish_document
from tests.patience import PATIENT_S

KEYS = make_revision_keys(PREFIX, "t")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as client:
        yield client


async def open_parts(redis: Any, *, kept_s: float = 60, entries: int = 1000, size: int = 1_000_000) -> Parts:
    """A cache with these bounds, and one published document."""
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    await publish_document(registry)
    return Parts(registry, RedisAnswerCache(redis, kept_s=kept_s, max_entries=entries, max_bytes=size))


async def list_kept(parts: Parts, keys: range) -> list[int]:
    return [n for n in keys if (await parts.cache.find("t", str(n))).answer is not None]


async def test_the_oldest_make_room(redis: Any) -> None:
    """At the number of entries, also when one is kept again, which makes it the newest."""
    parts = await open_parts(redis, entries=3)
    for n in (0, 1, 2, 0, 3, 4):
        await keep(parts, str(n))
        await asyncio.sleep(0.002)  # ages are milliseconds

    assert await list_kept(parts, range(5)) == [0, 3, 4]
    assert await redis.hlen(KEYS.answers) == 3 + 1, "no more than that is there, and their size"


async def test_they_take_no_more_memory_than_they_may(redis: Any) -> None:
    """Their size is counted as it is, and one that is too large for all of it is not kept."""
    parts = await open_parts(redis, size=10_000)
    for n in range(20):
        await keep(parts, str(n), make_answer("x" * 1000))
    await keep(parts, "giant", make_answer("x" * 10_000))

    kept = await redis.hgetall(KEYS.answers)
    counted = int(kept.pop("bytes"))
    assert counted == sum(map(len, kept.values())) <= 10_000
    assert len(kept) == 8 or len(kept) == 9
    assert await redis.zcard(KEYS.ages) == len(kept)


async def test_an_answer_expires(redis: Any) -> None:
    """By its own age, however new others are; and nothing stays in Redis for good."""
    parts = await open_parts(redis)
    await keep(parts, "old")
    revision = await keep(parts, "new")
    assert 0 < await redis.pttl(KEYS.answers) <= 60_000
    assert 0 < await redis.pttl(KEYS.ages) <= 60_000

    await redis.zadd(KEYS.ages, {f"{revision}:old": 1})
    assert (await parts.cache.find("t", "old")).answer is None
    assert (await parts.cache.find("t", "new")).answer == make_answer()
    await keep(parts, "newer")
    assert not await redis.hexists(KEYS.answers, f"{revision}:old"), "what has expired goes with the next one kept"


async def test_a_deletion_leaves_no_text(redis: Any) -> None:
    """In the moment in which the deletion returns nothing of any answer is in Redis."""
    parts = await open_parts(redis)
    document_id = await publish_document(parts.registry)
    await keep(parts)
    assert await redis.exists(KEYS.answers, KEYS.ages) == 2

    await parts.registry.delete("t", document_id)

    assert await redis.exists(KEYS.answers, KEYS.ages) == 0


@pytest.mark.parametrize("broken", ["", "{", '{"text": "x"}', '{"text": 1, "sources": 2}', b"\xff"])
async def test_a_broken_entry_is_a_miss(redis: Any, broken: str | bytes) -> None:
    """And is written anew."""
    parts = await open_parts(redis)
    revision = await keep(parts)
    await redis.hset(KEYS.answers, f"{revision}:k", broken)

    assert (await parts.cache.find("t", "k")).answer is None
    await parts.cache.keep("t", "k", revision, make_answer("new"))
    assert await parts.cache.find("t", "k") == CacheLookup(revision, make_answer("new"))


async def test_half_a_surrogate_pair_is_not_kept(redis: Any) -> None:
    """Some servers split a character in two; together they would be another text, with other places in it."""
    parts = await open_parts(redis)
    await keep(parts, answer=make_answer("\ud83d\ude42"))
    assert (await parts.cache.find("t", "k")).answer is None


async def test_nobody_waits_for_a_redis_that_is_away_or_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found, nothing kept, nothing raised; the deadline ends it long before the client's own timeout."""
    monkeypatch.setattr(answer_cache, "DEADLINE_S", 0.2)

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    for url in ("redis://127.0.0.1:9", f"redis://127.0.0.1:{port}"):
        async with connect_redis(url, timeout_s=600) as redis:
            cache = RedisAnswerCache(redis, kept_s=60, max_entries=1, max_bytes=1000)
            async with asyncio.timeout(PATIENT_S):
                assert await cache.find("t", "k") == CacheLookup(None, None)
                await cache.keep("t", "k", "r", make_answer())
            await cache.close()
    silent.close()
    await silent.wait_closed()
