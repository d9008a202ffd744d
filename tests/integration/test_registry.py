"""What is particular to the registry on Redis: the streams of events that its scripts write, and Redis away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.contracts.documents import DocumentFailure, DocumentStatus, DocumentWarning
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable
from shared.redis_client import connect_redis
from shared.registry import scripts
from shared.registry.keys import RegistryKeys
from shared.registry.port import LeaseLostError, NewDocument, Progress
from shared.registry.redis_registry import TOMBSTONE_MS, RedisDocumentRegistry
from tests.contract.test_registry import FAILURE, claim, make_new, take_over
from tests.patience import PATIENT_S
from tests.redis_registry import ExpiringRegistry, RepeatingRegistry

KEYS = RegistryKeys()


@pytest.fixture(params=[ExpiringRegistry, RepeatingRegistry])
async def registry(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[ExpiringRegistry]:
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    yield request.param(redis)
    await redis.aclose()


async def read_events(registry: ExpiringRegistry, new: NewDocument) -> list[tuple[int, str, dict[str, Any]]]:
    """The stream's events, each entry of which must be named by its number; only the last may say that it is it."""
    entries = await registry._redis.xrange(KEYS.events(new.tenant, new.document_id))
    events = []
    for position, (entry_id, fields) in enumerate(entries, start=1):
        [[number, name, data]] = json.loads(fields.pop("events"))
        assert entry_id == f"{number}-0"
        assert fields == ({} if name == "progress" else {"end": "1"})
        assert name == "progress" or position == len(entries)
        events.append((number, name, data))
    return events


def make_data(status: str, *counts: int, **rest: Any) -> dict[str, Any]:
    names = ("pages_total", "pages_done", "chunks_total", "chunks_done")
    return {"status": status, **dict(zip(names, counts or (0, 0, 0, 0), strict=True)), **rest}


async def test_events_tell_each_change_once(registry: ExpiringRegistry) -> None:
    """From `queued` to `ready`, numbered from 1; what changes nothing, or only the title, is no event."""
    new = make_new()
    await registry.create(new)
    await registry.create(make_new())
    lease = await claim(registry, new)
    await registry.update(lease, Progress(DocumentStatus.PARSING))
    await registry.update(lease, Progress(DocumentStatus.PARSING, title="A title"))
    await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=2, pages_done=2))
    await registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_total=3))
    await registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_done=3))
    warning = DocumentWarning(code="pages_without_text", detail="100 % “scans”: run OCR.", pages=[2])
    await registry.publish(lease, "v1", [warning])
    await registry.release(lease)

    assert await read_events(registry, new) == [
        (1, "progress", make_data("queued")),
        (2, "progress", make_data("parsing")),
        (3, "progress", make_data("parsing", 2, 2, 0, 0)),
        (4, "progress", make_data("embedding", 2, 2, 3, 0)),
        (5, "progress", make_data("embedding", 2, 2, 3, 3)),
        (6, "ready", make_data("ready", 2, 2, 3, 3, warnings=[warning.model_dump()])),
    ]
    record, number = await registry.get_with_event_number("t", new.document_id)
    assert (record.status, number) == (DocumentStatus.READY, 6)


async def test_nothing_comes_after_the_last_event(registry: ExpiringRegistry) -> None:
    """Neither a late report nor another verdict of the same worker; and the stream goes ten minutes later."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    key = KEYS.events("t", new.document_id)
    assert await registry._redis.pttl(key) == -1
    await registry.publish(lease, "v1", [])

    with pytest.raises(LeaseLostError):
        await registry.update(lease, Progress(DocumentStatus.PARSING, pages_done=7))
    with pytest.raises(LeaseLostError):
        await registry.fail(lease, FAILURE)
    with pytest.raises(LeaseLostError):
        await registry.publish(lease, "v2", [])
    await registry.requeue(lease.job)
    await registry.delete("t", new.document_id)

    assert await read_events(registry, new) == [
        (1, "progress", make_data("queued")),
        (2, "ready", make_data("ready", warnings=[])),
    ]
    assert 0 < await registry._redis.pttl(key) <= scripts.EVENTS_TTL_MS


async def test_a_takeover_never_tells_of_less(registry: ExpiringRegistry) -> None:
    """A worker that parses anew what was being embedded is silent until it gets further than the first one."""
    new = make_new()
    await registry.create(new)
    first = await claim(registry, new)
    await registry.update(first, Progress(DocumentStatus.PARSING, pages_total=9, pages_done=9))
    await registry.update(first, Progress(DocumentStatus.EMBEDDING, chunks_total=30, chunks_done=10))
    second = await take_over(registry, new, first)
    before = await read_events(registry, new)

    await registry.update(second, Progress(DocumentStatus.PARSING, pages_total=9, pages_done=4))
    await registry.update(second, Progress(DocumentStatus.EMBEDDING, chunks_total=29, chunks_done=10))
    assert await read_events(registry, new) == before
    record = await registry.get("t", new.document_id)
    assert (record.status, record.pages_done, record.chunks_total) == (DocumentStatus.EMBEDDING, 9, 30)

    await registry.update(second, Progress(DocumentStatus.EMBEDDING, chunks_done=30))
    assert (await read_events(registry, new))[len(before) :] == [
        (len(before) + 1, "progress", make_data("embedding", 9, 9, 30, 30))
    ]


async def test_a_new_try_begins_the_events_anew_with_higher_numbers(registry: ExpiringRegistry) -> None:
    """Who has seen the failure and asks for what came after it gets the new try, from its beginning."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=9, pages_done=4))
    await registry.fail(lease, FAILURE)
    assert (await read_events(registry, new))[-1] == (
        3,
        "failed",
        make_data("failed", 9, 4, 0, 0, failure=FAILURE.model_dump()),
    )

    await registry.requeue(lease.job)

    assert await read_events(registry, new) == [(4, "progress", make_data("queued"))]
    assert await registry._redis.pttl(KEYS.events("t", new.document_id)) == -1


async def test_who_watches_a_document_that_is_deleted_is_told(registry: ExpiringRegistry) -> None:
    """An unfinished one ends as failed with the code `deleted`, also for who reads only after the purge."""
    new = make_new()
    await registry.create(new)
    await registry.delete("t", new.document_id)
    await registry.forget(DocumentJob(tenant="t", document_id=new.document_id))

    number, name, data = (await read_events(registry, new))[-1]
    assert (number, name, data["failure"]["code"]) == (2, "failed", "deleted")
    DocumentFailure.model_validate(data["failure"])
    assert 0 < await registry._redis.pttl(KEYS.events("t", new.document_id)) <= TOMBSTONE_MS


async def test_redis_away_is_a_typed_error() -> None:
    """Nobody listens: DependencyUnavailable with Retry-After, not a redis exception."""
    redis = connect_redis("redis://127.0.0.1:9/0", timeout_s=0.5)

    with pytest.raises(DependencyUnavailable) as caught:
        await RedisDocumentRegistry(redis, deadline_s=PATIENT_S).get("t", "doc")

    assert caught.value.retry_after is not None
    await redis.aclose()


async def test_documents_are_listed_as_they_came_whatever_the_gateways_clocks_say(
    registry: ExpiringRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is an hour ahead, the other right; on any machine the later of two is the newer one."""
    now, news = time.time_ns, [make_new(sha256=str(n)) for n in range(4)]
    for n, new in enumerate(news):
        with monkeypatch.context() as wrong:
            wrong.setattr(time, "time_ns", lambda ahead=n % 2: now() + ahead * 3600 * 10**9)
            await registry.create(new)
        await asyncio.sleep(0.002)  # they are listed by the millisecond

    page = await registry.list("t", 0, 10)
    assert [record.document_id for record in page.records] == [new.document_id for new in reversed(news)]


async def test_records_that_are_older_than_the_lists_are_listed(registry: ExpiringRegistry) -> None:
    """Once, by whoever asks for a list first; no page reads records that are not on it."""
    news = [make_new(sha256=str(n)) for n in range(3)]
    for new in news:
        await registry.create(new)
    await registry.fail(await claim(registry, news[0]), FAILURE)
    for status in DocumentStatus:
        await registry._redis.delete(KEYS.documents("t", status))
    for new in news:
        forgetting: Any = registry._redis.hdel(KEYS.document("t", new.document_id), "listed_as")
        await forgetting

    failed = await registry.list("t", 0, 10, DocumentStatus.FAILED)
    assert ([record.document_id for record in failed.records], failed.total) == ([news[0].document_id], 1)
    assert (await registry.list("t", 0, 10, DocumentStatus.QUEUED)).total == 2

    before = (await registry._redis.info("commandstats"))["cmdstat_hgetall"]["calls"]
    await registry.list("t", 0, 1, DocumentStatus.QUEUED)
    assert (await registry._redis.info("commandstats"))["cmdstat_hgetall"]["calls"] == before + 1


@pytest.mark.parametrize("sealed", [True, False])
async def test_a_version_keeps_its_key_where_a_release_without_keys_takes_part(
    registry: ExpiringRegistry, *, sealed: bool
) -> None:
    """Its `live` has none, and it leaves the field as it is; a document of its own has none at all."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.publish(lease, "v1", [])
    await registry.release(lease)
    document = KEYS.document("t", new.document_id)
    await registry.reindex(DocumentJob(tenant="t", document_id=new.document_id), "v1")
    live = json.loads(str(await read_field(registry, document, "live")))
    assert live.pop("text_key") == lease.text_key
    changes = {"live": json.dumps(live), **({"text_key": lease.text_key} if sealed else {})}
    changing: Any = registry._redis.hset(document, mapping=changes)
    await changing

    second = await claim(registry, new)
    assert (second.text_key == lease.text_key) is sealed
    for _ in range(2):
        found = (await registry.look_at_versions("t", [new.document_id])).text_keys
        assert found == {new.document_id: second.text_key}  # plain text needs none, and minds none
        await registry.fail(second, FAILURE)


async def read_field(registry: ExpiringRegistry, key: str, name: str) -> str | None:
    reading: Any = registry._redis.hget(key, name)
    value: str | None = await reading
    return value
