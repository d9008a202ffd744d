"""The reconciler on a real Redis: whatever is left of a document's job, in the end somebody runs it, and only once."""

import itertools
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from arq.worker import Worker, func

from services.ingest.use_cases.reconcile import reconcile
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.queue.arq_queue import (
    SMALL_BYTES,
    ArqJobQueue,
    LaneNames,
    deserialize_job,
    make_job_id,
    serialize_job,
)
from shared.queue.port import INGEST, LONGEST_PAUSE_S, PURGE
from shared.queue.scripts import CLOCK
from shared.registry.port import Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.patience import PATIENT_S

LEASE_MS = 30_000
DAY_MS = 24 * 3_600_000
NAMES = LaneNames()
LANES = {"small": NAMES.small, "large": NAMES.large, "deleted": NAMES.purges}

ENTRIES = ("none", "place", "due again", "pauses", "far future")
"""What may be left in the queue: nothing, its place, a pause that is over, one that is not, one by a wrong clock."""


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[ArqJobQueue]:
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    yield queue
    await queue.close()


async def record(registry: RedisDocumentRegistry, kind: str) -> tuple[str, DocumentJob]:
    """A document that nobody has queued: `small`, `large` or `deleted`; its function and job."""
    size = SMALL_BYTES + (kind == "large")
    new = NewDocument("t", make_document_id(), "a.pdf", make_document_id(), size)
    await registry.create(new)
    if kind == "deleted":
        await registry.delete("t", new.document_id)
    return PURGE if kind == "deleted" else INGEST, DocumentJob(tenant="t", document_id=new.document_id)


async def leave(queue: ArqJobQueue, lane: str, job_id: str, body: bool, entry: str, in_progress: bool) -> None:
    """Bring what the queue has of a job into a state."""
    now = time.time() * 1000
    scores = {"place": 7.0, "due again": now - 1000, "pauses": now + LONGEST_PAUSE_S * 900, "far future": now + DAY_MS}
    if not body:
        await queue.arq.delete(f"arq:job:{job_id}")
    if entry == "none":
        await queue.arq.zrem(lane, job_id)
    else:
        await queue.arq.zadd(lane, {job_id: scores[entry]})
    if in_progress:
        await queue.arq.psetex(f"arq:in-progress:{job_id}", DAY_MS, b"1")


async def look_at(queue: ArqJobQueue, lane: str, job_id: str) -> tuple[float | None, bool, int]:
    """Its score, whether it has a body, and how long it is in progress (below 0: it is not)."""
    return (
        await queue.arq.zscore(lane, job_id),
        bool(await queue.arq.exists(f"arq:job:{job_id}")),
        int(await queue.arq.pttl(f"arq:in-progress:{job_id}")),
    )


@pytest.mark.parametrize(
    ("kind", "body", "entry", "in_progress", "leased"),
    [
        (kind, *rest)
        for kind, *rest in itertools.product(LANES, [True, False], ENTRIES, [True, False], [True, False])
        if kind != "deleted" or not rest[-1]  # a purge has no lease
    ],
)
async def test_what_nobody_would_run_is_queued(
    registry: RedisDocumentRegistry,
    queue: ArqJobQueue,
    kind: str,
    body: bool,
    entry: str,
    in_progress: bool,
    leased: bool,
) -> None:
    """All that may be left of a job: what waits or pauses stays, what a worker has is its own, all else is queued."""
    function, job = await record(registry, kind)
    lane, job_id = LANES[kind], make_job_id(function, job)
    await queue.enqueue(function, job, SMALL_BYTES + (kind == "large"))
    if leased:
        assert isinstance(await registry.claim(job, "w", LEASE_MS), Lease)
    await leave(queue, lane, job_id, body, entry, in_progress)
    before = await look_at(queue, lane, job_id)
    runs_soon = entry in ("place", "pauses") or (entry == "due again" and in_progress)

    restored = await reconcile(registry, queue, LEASE_MS)

    score, has_body, running_ms = await look_at(queue, lane, job_id)
    if leased:
        assert (restored, score, has_body) == (0, *before[:2])
        return
    assert has_body
    assert running_ms <= 60_000
    assert score is not None
    if body and runs_soon:
        assert (restored, score) == (0, before[0])
    else:
        assert restored == 1
        assert 0 < score < CLOCK  # due by any clock
    assert await reconcile(registry, queue, LEASE_MS) == 0


@pytest.mark.parametrize("kind", ["small", "large"])
async def test_what_was_lost_is_run_by_arq(
    registry: RedisDocumentRegistry, queue: ArqJobQueue, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The set is gone and the bodies are left; a worker whose clock is years behind runs each document's job once."""
    jobs = [(await record(registry, kind))[1] for _ in range(3)]
    assert await reconcile(registry, queue, LEASE_MS) == 3
    await queue.arq.delete(LANES[kind])
    assert await reconcile(registry, queue, LEASE_MS) == 3
    ran: list[str] = []

    async def run(context: dict[Any, Any], job: dict[str, str]) -> None:
        ran.append(job["document_id"])

    monkeypatch.setattr("arq.worker.timestamp_ms", lambda: 1_100_000_000_000)
    worker = Worker(
        functions=[func(cast("Any", run), name=INGEST)],
        queue_name=LANES[kind],
        redis_pool=queue.arq,
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
        job_serializer=serialize_job,
        job_deserializer=deserialize_job,
        keep_result=0,
    )
    await worker.main()

    assert sorted(ran) == sorted(job.document_id for job in jobs)


async def test_a_queue_from_before_the_lanes_is_taken_over(registry: RedisDocumentRegistry, queue: ArqJobQueue) -> None:
    """A job with a time of the clock in the one queue of old moves to its lane, and is not run twice."""
    _, job = await record(registry, "small")
    await queue.arq.enqueue_job(INGEST, job.model_dump(), _job_id=make_job_id(INGEST, job), _queue_name=NAMES.large)

    assert await reconcile(registry, queue, LEASE_MS) == 1

    assert await queue.arq.zrange(NAMES.large, 0, -1) == []
    assert await queue.arq.zrange(NAMES.small, 0, -1) == [make_job_id(INGEST, job).encode()]


async def test_one_of_all_workers_looks(registry: RedisDocumentRegistry) -> None:
    """The turn of who died ends by itself."""
    assert await registry.take_turn("reconcile", DAY_MS) is True
    assert await registry.take_turn("reconcile", DAY_MS) is False
    assert await registry.take_turn("other work", DAY_MS) is True
    await registry._redis.pexpire("pagewire:turn:reconcile", 0)
    assert await registry.take_turn("reconcile", DAY_MS) is True


async def test_a_look_at_a_full_queue_reads_it_in_parts(
    registry: RedisDocumentRegistry, queue: ArqJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it costs does not grow with each document that waits, and no command is about all of them."""
    monkeypatch.setattr("shared.registry.redis_registry.SCAN_MEMBERS", 100)
    for number in range(1000):
        await registry.create(NewDocument("t", make_document_id(), "a.pdf", f"{number}", 1))
    assert await reconcile(registry, queue, LEASE_MS) == 1000
    largest = max([len(jobs) async for jobs in registry.find_unleased()])

    before = (await queue.arq.info("stats"))["total_commands_processed"]
    assert await reconcile(registry, queue, LEASE_MS) == 0
    assert (await queue.arq.info("stats"))["total_commands_processed"] - before < 250
    assert largest <= 300
