"""Large documents that several workers embed, on a real Redis with the real parser and index.

Workers of one process share an index here; what happens when processes are killed is in `tests/chaos`.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from redis.asyncio import Redis
from structlog.testing import capture_logs

from services.ingest import worker
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import IngestDependencies, Sharing
from services.ingest.use_cases.help_document import CannotHelpError, help_others
from services.ingest.use_cases.ingest_document import fail_document
from services.ingest.use_cases.run_job import Outcome, run_ingest_job, run_purge_job
from services.ingest.worker import IngestWorker
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.queue.arq_queue import ArqJobQueue
from shared.queue.port import INGEST
from shared.registry.keys import RegistryKeys
from shared.registry.port import Lease, NewDocument
from shared.registry.ranges_port import RangePlan
from shared.registry.redis_ranges import RedisDocumentRanges
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import IndexPoint
from tests.batches import collect
from tests.patience import PATIENT_S
from tests.pdfs import make_long_pdf

KEYS = RegistryKeys()

PAGES = 3
DIMENSION = 4
FAILURE = DocumentFailure(code="damaged", detail="Save a new copy.")


class Gate:
    """Where a test holds a worker."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.opened.set()

    def close(self) -> None:
        self.reached.clear()
        self.opened.clear()

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


class GatedEmbedder:
    """A worker's model, with a gate before it; it counts the texts, and fails when it is told to.

    No real one: these tests are about who does what, and embed some hundred ranges.
    """

    max_tokens, model_id = 256, "none"

    def __init__(self) -> None:
        self.gate = Gate()
        self.embedded = 0
        self.error: Exception | None = None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        await self.gate.pass_through()
        if self.error is not None:
            raise self.error
        self.embedded += len(texts)
        return np.full((len(texts), DIMENSION), 0.5, dtype=np.float32)


class WatchedIndex(EdgeIndex):
    """The real index, with a gate before its writes; it remembers which points were written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, DIMENSION)
        self.gate = Gate()
        self.written: list[str] = []

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        await self.gate.pass_through()
        await super().upsert(tenant, points)
        self.written += [point.point_id for point in points]


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[WatchedIndex]:
    index = WatchedIndex(tmp_path / "index")
    await index.prepare()
    yield index
    await index.close()


@pytest.fixture
async def first(redis: Redis, index: WatchedIndex, tmp_path: Path) -> IngestDependencies:
    """What a worker works with; every document of four passages or more is shared, in ranges of two."""
    return IngestDependencies(
        registry=RedisDocumentRegistry(redis, deadline_s=PATIENT_S),
        blobs=await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri()),
        parser=ProcessPdfParser(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=1000)),
        embedder=GatedEmbedder(),
        bm25=Bm25Encoder(),
        index=index,
        sharing=Sharing(
            RedisDocumentRanges(redis, deadline_s=PATIENT_S), lease_ms=600_000, from_chunks=4, range_chunks=2
        ),
    )


@pytest.fixture
async def second(first: IngestDependencies) -> IngestDependencies:
    """Another worker beside it, with a gate and a model of its own."""
    return replace(first, embedder=GatedEmbedder(), gate=type(first.gate)())


def get_model(deps: IngestDependencies) -> GatedEmbedder:
    assert isinstance(deps.embedder, GatedEmbedder)
    return deps.embedder


def get_sharing(deps: IngestDependencies) -> Sharing:
    assert deps.sharing is not None
    return deps.sharing


async def accept(deps: IngestDependencies, tmp_path: Path) -> DocumentJob:
    """A document as the gateway leaves it."""
    document_id = make_document_id()
    content = make_long_pdf(document_id, PAGES)
    new = NewDocument("t", document_id, "a.pdf", hashlib.sha256(content).hexdigest(), len(content))
    path = tmp_path / document_id
    await asyncio.to_thread(path.write_bytes, content)
    await deps.blobs.put_file(make_blob_key("t", new.sha256, document_id), path)
    await deps.registry.create(new)
    return DocumentJob(tenant="t", document_id=document_id)


async def run(job: DocumentJob, deps: IngestDependencies) -> Outcome:
    async def keep_in_progress() -> None:
        return None

    return await run_ingest_job(job, deps, lease_s=600, max_attempts=3, keep_in_progress=keep_in_progress)


async def get_record(deps: IngestDependencies, job: DocumentJob) -> DocumentRecord:
    return await deps.registry.get(job.tenant, job.document_id)


async def begin(job: DocumentJob, deps: IngestDependencies) -> "asyncio.Task[Outcome]":
    """An ingest that is held before its first range is embedded."""
    get_model(deps).gate.close()
    work = asyncio.create_task(run(job, deps))
    await get_model(deps).gate.reached.wait()
    return work


async def begin_help(deps: IngestDependencies, gate: Gate) -> "asyncio.Task[bool]":
    """A helper that is held at a gate."""
    gate.close()
    helping = asyncio.create_task(help_others(deps, get_sharing(deps)))
    await gate.reached.wait()
    return helping


async def test_idle_workers_help_and_every_passage_is_embedded_once(
    first: IngestDependencies,
    second: IngestDependencies,
    index: WatchedIndex,
    redis: Redis,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """Two workers with one queue: both embed, none of it twice, and who watches sees progress that only rises."""
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    settings = IngestSettings(redis_url=redis_url)
    job = await accept(first, tmp_path)
    for deps in (first, second):
        get_model(deps).gate.close()
    await queue.enqueue(INGEST, job)
    workers = [asyncio.create_task(IngestWorker(settings, deps, queue).run()) for deps in (first, second)]
    try:
        for deps in (first, second):
            await get_model(deps).gate.reached.wait()
        for deps in (first, second):
            get_model(deps).gate.opened.set()
        while not (await get_record(first, job)).status.final:
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(*workers)
        await queue.close()

    record = await get_record(first, job)
    assert record.status is DocumentStatus.READY
    assert record.chunks_done == record.chunks_total > 10
    assert len(index.written) == len(set(index.written)) == record.chunks_total
    assert get_model(first).embedded
    assert get_model(second).embedded
    entries = await redis.xrange(KEYS.events("t", job.document_id))
    done = [data["chunks_done"] for _, fields in entries for _, _, data in json.loads(fields["events"])]
    assert done == sorted(done)
    assert set(done) >= {2, 4, record.chunks_total}


async def test_a_worker_alone_waits_for_nobody(first: IngestDependencies, index: WatchedIndex, tmp_path: Path) -> None:
    """It takes one range after another, in their order."""
    job = await accept(first, tmp_path)
    assert await run(job, first) is Outcome.DONE
    record = await get_record(first, job)
    assert record.status is DocumentStatus.READY
    assert len(index.written) == await index.count("t", job.document_id) == record.chunks_total
    assert await get_sharing(first).ranges.find_shared() is None


async def test_a_takeover_does_nothing_twice(first: IngestDependencies, index: WatchedIndex, tmp_path: Path) -> None:
    """A worker that is stopped in the middle has done its ranges for good; the next goes on behind them."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    get_model(first).gate.opened.set()
    while (await get_record(first, job)).chunks_done < 4:
        await asyncio.sleep(0.005)
    get_model(first).gate.close()
    await end_tasks(work)
    written = len(index.written)
    assert written >= 4
    get_model(first).gate.opened.set()

    assert await run(job, first) is Outcome.DONE
    assert len(index.written) - len(set(index.written)) <= 2  # the range in which it was stopped
    assert await index.count("t", job.document_id) == (await get_record(first, job)).chunks_total


async def test_what_a_dead_helper_had_is_done_by_who_has_the_document(
    first: IngestDependencies, index: WatchedIndex, tmp_path: Path
) -> None:
    """Its claim runs out, and nothing else is waited for."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    ranges = get_sharing(first).ranges
    found = await ranges.find_shared()
    assert found is not None
    assert await ranges.claim_as_helper(*found, "dies", 300) is not None
    get_model(first).gate.opened.set()

    assert await work is Outcome.DONE
    assert (await get_record(first, job)).status is DocumentStatus.READY
    assert len(index.written) == len(set(index.written)) == await index.count("t", job.document_id)


@pytest.mark.parametrize("alone", [False, True])
async def test_a_helper_stops_when_work_of_its_own_comes(
    first: IngestDependencies, second: IngestDependencies, tmp_path: Path, alone: bool
) -> None:
    """It ends the range that it is at, and what is to be processed alone waits no longer than for that."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    helping = await begin_help(second, get_model(second).gate)
    entered = asyncio.Event()

    async def do_own_work() -> None:
        async def wait() -> None:
            return None

        async with second.gate.enter(alone=alone, while_waiting=wait, every_s=600):
            entered.set()
            await asyncio.Event().wait()

    own_work = asyncio.create_task(do_own_work())
    if not alone:
        await entered.wait()
    else:
        await asyncio.sleep(0)  # it has its place before the door
    get_model(second).gate.opened.set()
    assert await helping
    await entered.wait()
    assert get_model(second).embedded == 2
    assert not await help_others(second, get_sharing(second))
    await end_tasks(own_work)

    get_model(first).gate.opened.set()
    assert await work is Outcome.DONE


@pytest.mark.parametrize("error", [OSError("no memory"), ZeroDivisionError()])
async def test_a_helpers_error_is_not_the_documents_fault(
    first: IngestDependencies, second: IngestDependencies, tmp_path: Path, error: Exception
) -> None:
    """Its range is free at once, and the document becomes ready without it."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    get_model(second).error = error
    with pytest.raises(type(error)):
        await help_others(second, get_sharing(second))
    assert not await get_sharing(first).ranges.has_helpers(job)
    get_model(first).gate.opened.set()

    assert await work is Outcome.DONE
    assert (await get_record(first, job)).status is DocumentStatus.READY


async def test_a_helper_that_is_stopped_gives_its_range_back(
    first: IngestDependencies, second: IngestDependencies, tmp_path: Path
) -> None:
    """Nobody waits until its claim has run out."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    helping = await begin_help(second, get_model(second).gate)
    await end_tasks(helping)
    get_model(first).gate.opened.set()

    assert await work is Outcome.DONE


async def test_who_would_make_another_version_does_not_help(
    first: IngestDependencies, second: IngestDependencies, tmp_path: Path
) -> None:
    """As when workers of two releases run side by side; it leaves the ranges to others."""
    job = await accept(first, tmp_path)
    lease = await first.registry.claim(job, "other release", 600_000)
    assert isinstance(lease, Lease)
    plan = RangePlan("version of the other release", "title", 20, 2, lease.text_key)
    await get_sharing(first).ranges.open(lease, plan)
    with pytest.raises(CannotHelpError):
        await help_others(second, get_sharing(second))
    assert not await get_sharing(first).ranges.has_helpers(job)


async def test_the_limit_of_who_has_the_document_counts(
    first: IngestDependencies, second: IngestDependencies, tmp_path: Path
) -> None:
    """A helper whose own limit is lower, as while a setting is being changed, makes the same passages."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    second = replace(second, max_chunks=1)
    assert await help_others(second, get_sharing(second))
    get_model(first).gate.opened.set()

    assert await work is Outcome.DONE
    assert get_model(second).embedded > get_model(first).embedded


async def test_who_would_make_more_passages_does_not_help(
    first: IngestDependencies, second: IngestDependencies, tmp_path: Path
) -> None:
    """Its model counts otherwise; it says so by the document's name, and gives the range back."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    second.embedder.max_tokens = 40
    with pytest.raises(CannotHelpError, match=f"more than .* of {job.document_id}"):
        await help_others(second, get_sharing(second))
    get_model(first).gate.opened.set()

    assert await work is Outcome.DONE


async def test_a_refusal_to_help_is_logged_once(
    first: IngestDependencies, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large document takes minutes, and whoever cannot help with it looks again every ten seconds."""
    reasons, ended = ["one", "one", "one", "another"], asyncio.Event()

    async def refuse(deps: IngestDependencies, sharing: Sharing) -> bool:
        if not reasons:
            ended.set()
            await asyncio.Event().wait()
        raise CannotHelpError(reasons.pop(0))

    monkeypatch.setattr(worker, "help_others", refuse)
    monkeypatch.setattr(worker, "HELP_FAULT_S", 0)
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    with capture_logs() as logs:
        working = asyncio.create_task(IngestWorker(IngestSettings(redis_url=redis_url), first, queue).run())
        await ended.wait()
        await end_tasks(working)
    await queue.close()

    assert [log["reason"] for log in logs if log["event"] == "help_refused"] == ["one", "another"]


async def test_a_document_deleted_while_it_is_shared_leaves_no_points(
    first: IngestDependencies, second: IngestDependencies, index: WatchedIndex, tmp_path: Path
) -> None:
    """The purge is repeated as long as a helper may be writing."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    helping = await begin_help(second, index.gate)
    await first.registry.delete("t", job.document_id)
    get_model(first).gate.opened.set()
    await end_tasks(work)
    assert await run_purge_job(job, first) is Outcome.HELD
    index.gate.opened.set()
    await helping

    assert await collect(first.registry.find_purgeable()) == [job]
    assert await run_purge_job(job, first) is Outcome.DONE
    assert await index.count("t") == 0


async def test_a_helper_that_writes_long_after_its_time_has_it_purged(
    first: IngestDependencies, second: IngestDependencies, index: WatchedIndex, redis: Redis, tmp_path: Path
) -> None:
    """It was paused before its write, and meanwhile the document was deleted, purged and forgotten."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    helping = await begin_help(second, index.gate)
    await first.registry.delete("t", job.document_id)
    await end_tasks(work)
    await redis.delete(KEYS.helpers(job))
    assert await run_purge_job(job, first) is Outcome.DONE
    assert not await redis.exists(KEYS.ranges(job))
    index.gate.opened.set()
    await helping

    assert await collect(first.registry.find_purgeable()) == [job]
    assert await run_purge_job(job, first) is Outcome.DONE
    assert await index.count("t") == 0


async def test_a_document_that_fails_while_it_is_shared_leaves_no_points(
    first: IngestDependencies, second: IngestDependencies, index: WatchedIndex, tmp_path: Path
) -> None:
    """Its points are removed when no helper writes any more."""
    job = await accept(first, tmp_path)
    work = await begin(job, first)
    helping = await begin_help(second, index.gate)
    await end_tasks(work)
    lease = await first.registry.claim(job, "finds it damaged", 600_000)
    assert isinstance(lease, Lease)
    failing = asyncio.create_task(fail_document(lease, FAILURE, first))
    while (await get_record(first, job)).status is not DocumentStatus.FAILED:
        await asyncio.sleep(0.005)
    index.gate.opened.set()
    await asyncio.gather(helping, failing)

    assert index.written
    assert await index.count("t") == 0
