"""One suite on every answer cache: what is kept holds for one revision of what a tenant's searches see."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from services.gateway.answer_cache import RedisAnswerCache
from services.gateway.ports import AnswerCache, CacheLookup, KeptAnswer
from shared.contracts.documents import DocumentFailure
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.registry.port import DocumentRegistry, Lease, NewDocument
from tests.fakes.memory_answer_cache import MemoryAnswerCache
from tests.fakes.memory_registry import MemoryRegistry
from tests.redis_registry import RepeatingRegistry


@dataclass(frozen=True)
class Parts:
    """A cache, and the registry that says what searches see."""

    registry: DocumentRegistry
    cache: AnswerCache


@pytest.fixture
async def on_redis(redis: Redis) -> AsyncIterator[Parts]:
    async with make_parts(redis) as parts:
        yield parts


@pytest.fixture
async def on_cluster(clustered_redis: Redis) -> AsyncIterator[Parts]:
    async with make_parts(clustered_redis) as parts:
        yield parts


@asynccontextmanager
async def make_parts(redis: Redis) -> AsyncIterator[Parts]:
    """Redis is slow, so that the registry runs each of its scripts twice; the cache waits for it all the same."""
    cache = RedisAnswerCache(redis, kept_s=60, max_entries=10, max_bytes=100_000)
    yield Parts(RepeatingRegistry(redis), cache)
    await cache.close()


@pytest.fixture(params=["memory", "redis", "redis cluster"])
def parts(request: pytest.FixtureRequest) -> Parts:
    """Empty ones of each kind."""
    if request.param == "memory":
        registry = MemoryRegistry()
        return Parts(registry, MemoryAnswerCache(registry))
    parts: Parts = request.getfixturevalue("on_redis" if request.param == "redis" else "on_cluster")
    return parts


def make_answer(text: str = "It is 12,900 euro [1].") -> KeptAnswer:
    return KeptAnswer(text=text, sources=[], citations=[], provider="p", model="m", search="s")


async def add_document(registry: DocumentRegistry, tenant: str = "t") -> Lease:
    new = NewDocument(tenant, make_document_id(), f"{make_document_id()}.pdf", "aa", size_bytes=1)
    await registry.create(new)
    lease = await registry.claim(DocumentJob(tenant=tenant, document_id=new.document_id), "w", 30_000)
    assert isinstance(lease, Lease)
    return lease


async def publish_document(registry: DocumentRegistry, tenant: str = "t") -> str:
    lease = await add_document(registry, tenant)
    await registry.publish(lease, "v1", [])
    return lease.job.document_id


async def keep(parts: Parts, key: str = "k", answer: KeptAnswer | None = None, tenant: str = "t") -> str:
    """Keeps an answer that was made of what there is now; returns its revision."""
    revision = (await parts.cache.find(tenant, key)).revision
    assert revision is not None
    await parts.cache.keep(tenant, key, revision, answer or make_answer())
    return revision


async def test_what_was_kept_is_found_under_its_key(parts: Parts) -> None:
    """And under no other, nor by another tenant. What is kept again takes the place of the older one."""
    await publish_document(parts.registry)
    await publish_document(parts.registry, tenant="u")
    await keep(parts)
    revision = await keep(parts, answer=make_answer("newer"))

    assert await parts.cache.find("t", "k") == CacheLookup(revision, make_answer("newer"))
    assert (await parts.cache.find("t", "other")).answer is None
    assert (await parts.cache.find("u", "k")).answer is None


@pytest.mark.parametrize("hours", [1, -1])
async def test_an_answer_is_found_by_a_gateway_whose_clock_is_wrong(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """It keeps what others find, too. They are kept for a minute."""
    now = time.time_ns
    await publish_document(parts.registry)
    revision = await keep(parts, "of one")
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: now() + 3600 * 10**9 * hours)
        assert (await parts.cache.find("t", "of one")) == CacheLookup(revision, make_answer())
        await keep(parts, "of the other")
    for key in ("of one", "of the other"):
        assert (await parts.cache.find("t", key)) == CacheLookup(revision, make_answer())


async def test_nothing_is_kept_where_nothing_was_published(parts: Parts) -> None:
    """Without a revision there is nothing to hold an answer against."""
    await add_document(parts.registry)
    assert await parts.cache.find("t", "k") == CacheLookup(None, None)
    await parts.cache.keep("t", "k", "made-up", make_answer())
    assert await parts.cache.find("t", "k") == CacheLookup(None, None)


async def test_a_publication_ends_what_was_kept(parts: Parts) -> None:
    """The revision is a new one; another tenant's stays, and with it what that one has kept."""
    await publish_document(parts.registry)
    await publish_document(parts.registry, tenant="u")
    first, others = await keep(parts), await keep(parts, tenant="u")

    await publish_document(parts.registry)

    found = await parts.cache.find("t", "k")
    assert found.answer is None
    assert found.revision not in (None, first)
    assert await parts.cache.find("u", "k") == CacheLookup(others, make_answer())


async def test_a_deletion_ends_what_was_kept(parts: Parts) -> None:
    """Whatever document it is of, and for good: a revision never comes again."""
    await publish_document(parts.registry)
    document_id = await publish_document(parts.registry)
    first = await keep(parts)

    await parts.registry.delete("t", document_id)

    found = await parts.cache.find("t", "k")
    assert found.answer is None
    assert found.revision not in (None, first)


async def test_what_was_made_of_an_older_revision_is_not_kept(parts: Parts) -> None:
    """An answer that a document has come or gone beneath is nobody's."""
    document_id = await publish_document(parts.registry)
    before = (await parts.cache.find("t", "k")).revision
    assert before is not None
    await parts.registry.delete("t", document_id)

    await parts.cache.keep("t", "k", before, make_answer())

    assert (await parts.cache.find("t", "k")).answer is None


async def test_what_searches_do_not_see_ends_nothing(parts: Parts) -> None:
    """Uploads, failures and new tries: a gateway that is being filled still answers from what it has kept."""
    await publish_document(parts.registry)
    revision = await keep(parts)

    lease = await add_document(parts.registry)
    await parts.registry.fail(lease, DocumentFailure(code="damaged", detail="Save a new copy."))
    await parts.registry.requeue(lease.job)

    assert await parts.cache.find("t", "k") == CacheLookup(revision, make_answer())
