"""What a worker does with a job on a real Redis, with the real parser, model and index: leases, retries, crashes."""

import asyncio
import dataclasses
import hashlib
import resource
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from arq import Retry
from numpy.typing import NDArray
from redis.asyncio import Redis

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.metrics import CountedIngest, MetricsPortError, serve_metrics
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.exclusive_gate import ExclusiveGate
from services.ingest.use_cases.run_job import Outcome, run_ingest_job, run_purge_job
from services.ingest.worker import IngestWorker, try_again_unless_done
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.errors import DependencyUnavailable, DiskFull, NotFound
from shared.identifiers import make_document_id, make_point_id
from shared.metrics import make_registry
from shared.queue.arq_queue import SMALL_BYTES, ArqJobQueue, LaneNames, make_job_id
from shared.queue.port import INGEST, PURGE
from shared.registry.port import Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint, SparseVector
from tests.batches import collect
from tests.patience import PATIENT_S
from tests.pdfs import make_long_pdf, make_pdf
from tests.scraped import pick, scrape, scrape_until

LANES = LaneNames()


class GatedEmbedder:
    """The real embedder, but it waits at a gate, so that a test can act in the middle of an ingest."""

    def __init__(self, embedder: DenseEmbedder) -> None:
        self._embedder = embedder
        self.max_tokens = embedder.max_tokens
        self.model_id = embedder.model_id
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.gated_word = ""  # which is in every text

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any(self.gated_word in text for text in texts):
            self.reached.set()
            await self.gate.wait()
        return await self._embedder.embed_passages(texts)


class FlakyIndex(EdgeIndex):
    """The real index, which does not answer as long as this is set: a fault that Edge cannot be made to have."""

    unreachable = False

    async def check(self) -> None:
        if self.unreachable:
            raise DependencyUnavailable("The vector index does not answer now; try again.")
        await super().check()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[FlakyIndex]:
    index = FlakyIndex(tmp_path / "index", 384)
    await index.prepare()
    yield index
    await index.close()


@pytest.fixture
async def gated(embedder: DenseEmbedder) -> GatedEmbedder:
    gated = GatedEmbedder(embedder)
    gated.gate.set()
    return gated


@pytest.fixture
async def deps(
    registry: RedisDocumentRegistry, index: FlakyIndex, gated: GatedEmbedder, tmp_path: Path
) -> IngestDependencies:
    return IngestDependencies(
        registry=registry,
        blobs=await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri()),
        parser=ProcessPdfParser(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=1000)),
        embedder=gated,
        bm25=Bm25Encoder(),
        index=index,
    )


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[ArqJobQueue]:
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    yield queue
    await queue.close()


async def accept(
    deps: IngestDependencies, tmp_path: Path, content: bytes, filename: str = "a.pdf", *, size: int | None = None
) -> DocumentJob:
    """A document as the gateway leaves it: bytes stored, recorded, not yet queued; `size` is what it records."""
    sha256 = hashlib.sha256(content).hexdigest()
    new = NewDocument("t", make_document_id(), filename, sha256, size or len(content))
    path = tmp_path / new.document_id
    await asyncio.to_thread(path.write_bytes, content)
    await deps.blobs.put_file(make_blob_key("t", new.sha256, new.document_id), path)
    await deps.registry.create(new)
    return DocumentJob(tenant="t", document_id=new.document_id)


async def run(job: DocumentJob, deps: IngestDependencies, lease_s: float = 30, max_attempts: int = 3) -> Outcome:
    async def keep_in_progress() -> None:
        return None

    return await run_ingest_job(
        job, deps, lease_s=lease_s, max_attempts=max_attempts, keep_in_progress=keep_in_progress
    )


async def get_status(deps: IngestDependencies, job: DocumentJob) -> DocumentStatus:
    return (await deps.registry.get(job.tenant, job.document_id)).status


async def test_an_ingest_twice_is_an_ingest_once(
    deps: IngestDependencies, registry: RedisDocumentRegistry, index: FlakyIndex, tmp_path: Path
) -> None:
    """Run again after it crashed at the very end, it writes the same points over the old ones."""
    job = await accept(deps, tmp_path, make_long_pdf("crane", 5))
    assert await run(job, deps) is Outcome.DONE
    points = await index.count("t")
    record = await deps.registry.get("t", job.document_id)
    assert record.chunks_done == record.chunks_total == points > 5

    # As if the worker had died before it published.
    redis: Any = registry._redis
    await redis.hset(f"pagewire:t:document:{job.document_id}", "status", "embedding")
    assert await run(job, deps) is Outcome.DONE

    assert await index.count("t") == points
    assert await get_status(deps, job) is DocumentStatus.READY


async def test_a_document_that_the_index_refuses_is_failed_with_a_code(
    deps: IngestDependencies, gated: GatedEmbedder, tmp_path: Path
) -> None:
    """Its vectors have another length than the index takes: it would be refused however often it is tried."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    narrow = EdgeIndex(tmp_path / "narrow", 8)
    await narrow.prepare()

    assert await run(job, dataclasses.replace(deps, index=narrow)) is Outcome.DONE

    record = await deps.registry.get("t", job.document_id)
    assert record.failure is not None
    assert (record.status, record.failure.code) == (DocumentStatus.FAILED, "index_rejected")
    await narrow.close()


def find_pause(outcome: Outcome, tries: int) -> float:
    """Seconds until a job is tried again."""
    with pytest.raises(Retry) as caught:
        try_again_unless_done(outcome, tries)
    assert caught.value.defer_score is not None
    return caught.value.defer_score / 1000


def test_pauses_after_faults_grow_up_to_a_limit() -> None:
    """5, 10, 20 … 300 s, each up to a half less by chance; a document that another worker has is looked at soon."""
    for tries, longest in ((1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (500, 300)):
        pauses = {find_pause(Outcome.RETRY, tries) for _ in range(50)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1
    assert find_pause(Outcome.HELD, 500) == 5
    try_again_unless_done(Outcome.DONE, 500)


async def test_a_worker_puts_a_job_back_after_a_fault(
    deps: IngestDependencies, index: FlakyIndex, queue: ArqJobQueue, redis_url: str, tmp_path: Path
) -> None:
    """It stays in its queue, to be tried at a later time."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    index.unreachable = True
    await queue.enqueue(INGEST, job)
    place = await queue.arq.zscore(LANES.small, make_job_id(INGEST, job))
    assert place == 1

    worker = asyncio.create_task(IngestWorker(IngestSettings(redis_url=redis_url), deps, queue).run())
    try:
        while (await queue.arq.zscore(LANES.small, make_job_id(INGEST, job)) or 0) < time.time() * 1000 + 500:
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(worker)


async def test_a_worker_tells_what_becomes_of_its_jobs(
    deps: IngestDependencies,
    index: FlakyIndex,
    gated: GatedEmbedder,
    queue: ArqJobQueue,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """On a port of its own: under way, ready, failed with a code, interrupted by a fault or by its end."""
    registry = make_registry()
    counted = dataclasses.replace(deps, metrics=CountedIngest(registry))
    worker = asyncio.create_task(IngestWorker(IngestSettings(redis_url=redis_url), counted, queue).run())
    async with (
        serve_metrics(registry, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENT_S) as prometheus,
    ):

        async def work_on(content: bytes, what: str) -> None:
            await queue.enqueue(INGEST, await accept(deps, tmp_path, content))
            await scrape_until(prometheus, lambda told: what in pick(told, "pagewire_jobs_total"))

        await work_on(make_pdf(["some text"]), "ready")
        await work_on(make_pdf([""]), "no_text failed")
        gated.gate.clear()
        gated.reached.clear()
        await queue.enqueue(INGEST, await accept(deps, tmp_path, make_pdf(["other text"])))
        await gated.reached.wait()
        working = await scrape(prometheus)
        index.unreachable = True
        await work_on(make_pdf(["third text"]), "interrupted")  # and again, where the machine is slow
        before = pick(await scrape(prometheus), "pagewire_jobs_total")
        await end_tasks(worker)
        samples = await scrape(prometheus)

    assert working["pagewire_jobs_in_progress"] == 1
    assert samples["pagewire_jobs_in_progress"] == 0
    jobs = pick(samples, "pagewire_jobs_total")
    assert (jobs["ready"], jobs["no_text failed"]) == (1, 1)
    assert jobs["interrupted"] > before["interrupted"] >= 1
    assert pick(samples, "pagewire_ingest_seconds_count") == {"parse": 3, "embed": 2, "write": 1}
    assert samples["process_cpu_seconds_total"] > 0


async def test_a_port_that_is_taken_is_said() -> None:
    """And without a port nobody listens."""
    registry = make_registry()
    async with serve_metrics(registry, "127.0.0.1", 0) as port:
        with pytest.raises(MetricsPortError, match="PAGEWIRE_METRICS_PORT"):
            await serve_metrics(registry, "127.0.0.1", port).__aenter__()
    async with serve_metrics(registry, "127.0.0.1", None) as port:
        assert port is None


async def test_a_machine_without_file_descriptors_is_not_the_documents_fault(
    deps: IngestDependencies, tmp_path: Path
) -> None:
    """No child can be started: the document stays unfinished, and is ready once the shortage is over."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    with pytest.raises(NotFound):  # the blob store's runtime, which takes files when it is used first, is there
        await deps.blobs.get("t/none", 1)
    # Connections that are open stay so: Redis is to be there, to take the lease back.
    await asyncio.gather(*[deps.registry.ping() for _ in range(4)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert await run(job, deps) is Outcome.RETRY
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert await run(job, deps) is Outcome.DONE
    assert await get_status(deps, job) is DocumentStatus.READY


async def die(job: DocumentJob, registry: RedisDocumentRegistry, times: int) -> None:
    """Workers that claim the document and are killed."""
    for attempt in range(times):
        claimed = await registry.claim(job, f"dies-{attempt}", 30_000)
        assert not isinstance(claimed, str)
        await registry.drop_all_leases()


async def test_a_document_that_kills_its_workers_is_failed(
    deps: IngestDependencies, registry: RedisDocumentRegistry, index: FlakyIndex, tmp_path: Path
) -> None:
    """A worker that dies does not give its attempt back; after the last one alone it fails, and its points go."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    await index.upsert("t", [make_point(job)])
    await die(job, registry, 6)

    assert await run(job, deps, max_attempts=3) is Outcome.DONE

    record = await deps.registry.get("t", job.document_id)
    assert record.failure is not None
    assert (record.status, record.failure.code) == (DocumentStatus.FAILED, "crashes_worker")
    assert await index.count("t") == 0


def make_point(job: DocumentJob) -> IndexPoint:
    """What a worker had written before it died."""
    payload = ChunkPayload(job.document_id, "v", 0, "title", 1, 0, 4, "text")
    return IndexPoint(
        make_point_id("t", job.document_id, "v", 0), payload, [1.0] + [0.0] * 383, SparseVector([1], [1.0])
    )


class AlertGate(ExclusiveGate):
    """The real gate, where who waits looks around at once, and not only when a third of a lease is over."""

    @asynccontextmanager
    async def enter(
        self, *, alone: bool, while_waiting: Callable[[], Awaitable[None]], every_s: float
    ) -> AsyncIterator[None]:
        async with super().enter(alone=alone, while_waiting=while_waiting, every_s=min(every_s, 0.1)):
            yield


async def test_a_document_whose_workers_were_killed_from_outside_is_not_failed(
    deps: IngestDependencies, registry: RedisDocumentRegistry, gated: GatedEmbedder, tmp_path: Path
) -> None:
    """Once it has lost too many it waits until nothing else is at work, and then it is processed alone."""
    deps = dataclasses.replace(deps, gate=AlertGate())
    innocent, other, later = [await accept(deps, tmp_path, make_pdf([text])) for text in ("one", "two", "three")]
    await die(innocent, registry, 3)
    gated.gate.clear()
    working = asyncio.create_task(run(other, deps))
    await gated.reached.wait()

    waits = asyncio.Event()

    async def keep_in_progress() -> None:
        waits.set()

    trying = asyncio.create_task(
        run_ingest_job(innocent, deps, lease_s=30, max_attempts=3, keep_in_progress=keep_in_progress)
    )
    await waits.wait()
    following = asyncio.create_task(run(later, deps))
    assert not await deps.registry.is_leased(innocent)
    assert await deps.registry.count_attempts(innocent) == 3
    gated.reached.clear()
    gated.gate.set()

    assert set(await asyncio.gather(working, trying, following)) == {Outcome.DONE}
    for job in (innocent, other, later):
        assert await get_status(deps, job) is DocumentStatus.READY


class GenerousRegistry(RedisDocumentRegistry):
    """The real registry, but its leases are so long that no machine stands still for as long."""

    LONG_MS = 600_000

    async def claim(self, job: DocumentJob, token: str, lease_ms: int) -> Lease | Literal["held", "gone"]:
        return await super().claim(job, token, self.LONG_MS)

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        assert lease_ms == 300
        return await super().renew(lease, self.LONG_MS)


async def test_a_lease_is_renewed_as_long_as_the_work_takes(
    deps: IngestDependencies, registry: RedisDocumentRegistry, gated: GatedEmbedder, tmp_path: Path
) -> None:
    """An ingest is given its full lease again and again, however long it takes: nobody else can claim its document."""
    deps = dataclasses.replace(deps, registry=GenerousRegistry(registry._redis, deadline_s=PATIENT_S))
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    gated.gate.clear()
    redis: Any = registry._redis
    lease = f"pagewire:t:lease:{job.document_id}"
    work = asyncio.create_task(run(job, deps, lease_s=0.3))
    await gated.reached.wait()

    for _ in range(2):
        await redis.pexpire(lease, GenerousRegistry.LONG_MS // 2)
        while await redis.pttl(lease) <= GenerousRegistry.LONG_MS // 2:
            assert await registry.claim(job, "other", 1000) == "held"
            await asyncio.sleep(0.01)
    gated.gate.set()

    assert await work is Outcome.DONE
    assert await get_status(deps, job) is DocumentStatus.READY


async def test_a_document_deleted_during_its_ingest_leaves_no_points(
    deps: IngestDependencies, gated: GatedEmbedder, index: FlakyIndex, tmp_path: Path
) -> None:
    """The delete wins, also when the purge has run before the worker writes its next points."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    gated.gate.clear()
    work = asyncio.create_task(run(job, deps))
    await gated.reached.wait()
    await deps.registry.delete("t", job.document_id)
    assert await run_purge_job(job, deps) is Outcome.HELD  # the worker may write in this moment: not yet forgotten
    gated.gate.set()

    assert await work is Outcome.DONE
    assert await collect(deps.registry.find_purgeable()) == [job]
    assert await run_purge_job(job, deps) is Outcome.DONE

    assert await index.count("t") == 0
    assert not await deps.registry.exists(job)


async def test_nothing_of_a_deleted_document_stays_in_the_blob_store(
    deps: IngestDependencies, registry: RedisDocumentRegistry, tmp_path: Path
) -> None:
    """Neither its PDF nor what was read of it, once the last document of these bytes is purged; nor a key in Redis."""
    content = make_pdf(["some text"])
    first, second = await accept(deps, tmp_path, content), await accept(deps, tmp_path, content, "b.pdf")
    for job in (first, second):
        assert await run(job, deps) is Outcome.DONE
    assert len(await list_files(tmp_path / "blobs")) == 3  # two PDFs, and one parse for both

    for job, left in ((first, 2), (second, 0)):
        await deps.registry.delete("t", job.document_id)
        assert await run_purge_job(job, deps) is Outcome.DONE
        assert len(await list_files(tmp_path / "blobs")) == left
    redis: Any = registry._redis
    assert await redis.keys("pagewire:t:content:*") == []


async def list_files(folder: Path) -> list[Path]:
    return await asyncio.to_thread(lambda: [path for path in folder.rglob("*") if path.is_file()])


async def test_a_worker_that_is_stopped_hands_its_document_over(
    deps: IngestDependencies, gated: GatedEmbedder, tmp_path: Path
) -> None:
    """Cancelled in the middle, it lets the lease go at once and costs no attempt."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    gated.gate.clear()
    for _ in range(5):
        gated.reached.clear()
        work = asyncio.create_task(run(job, deps, max_attempts=3))
        await gated.reached.wait()
        await end_tasks(work)
    gated.gate.set()

    assert await run(job, deps, max_attempts=3) is Outcome.DONE
    assert await get_status(deps, job) is DocumentStatus.READY


async def test_a_purge_does_not_wait_for_ingests(
    deps: IngestDependencies,
    gated: GatedEmbedder,
    index: FlakyIndex,
    queue: ArqJobQueue,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """Three ingests have all places of the worker and end only after the purge has."""
    deleted = await accept(deps, tmp_path, make_pdf(["some text"]))
    assert await run(deleted, deps) is Outcome.DONE
    gated.reached.clear()
    gated.gate.clear()
    long = [await accept(deps, tmp_path, make_pdf([text])) for text in ("one", "two", "three")]
    for job in long:
        await queue.enqueue(INGEST, job)
    settings = IngestSettings(redis_url=redis_url, ingest_concurrency=2)

    worker = asyncio.create_task(IngestWorker(settings, deps, queue).run())
    try:
        await gated.reached.wait()
        await deps.registry.delete("t", deleted.document_id)
        await queue.enqueue(PURGE, deleted)
        while await collect(deps.registry.find_purgeable()):
            await asyncio.sleep(0.02)
        assert await index.count("t") == 0
        assert not any([(await deps.registry.get("t", job.document_id)).status.final for job in long])
        gated.gate.set()
        while not all([(await deps.registry.get("t", job.document_id)).status.final for job in long]):
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(worker)


async def test_a_small_document_does_not_wait_for_large_ones(
    deps: IngestDependencies, gated: GatedEmbedder, queue: ArqJobQueue, redis_url: str, tmp_path: Path
) -> None:
    """Ten large ones came before it and have all their places, and end only after it is ready."""
    gated.gated_word, size = "boulder", 10 * SMALL_BYTES
    gated.gate.clear()
    large = [await accept(deps, tmp_path, make_pdf([f"boulder {number}"]), size=size) for number in range(10)]
    for job in large:
        await queue.enqueue(INGEST, job, size)

    worker = asyncio.create_task(IngestWorker(IngestSettings(redis_url=redis_url), deps, queue).run())
    try:
        await gated.reached.wait()
        small = await accept(deps, tmp_path, make_pdf(["pebble"]))
        await queue.enqueue(INGEST, small, 1)
        while await get_status(deps, small) is not DocumentStatus.READY:
            await asyncio.sleep(0.02)
        assert not any([(await get_status(deps, job)).final for job in large])
        gated.gate.set()
        while not all([(await get_status(deps, job)).final for job in large]):
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(worker)


class StumblingRegistry(RedisDocumentRegistry):
    """The real registry, but its first look for lost documents ends in a bug."""

    stumbled = False

    async def find_unleased(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        if not self.stumbled:
            self.stumbled = True
            raise ZeroDivisionError
        async for jobs in super().find_unleased():
            yield jobs


async def test_a_bug_does_not_end_the_reconciler(
    deps: IngestDependencies, registry: RedisDocumentRegistry, queue: ArqJobQueue, redis_url: str, tmp_path: Path
) -> None:
    """It looks again: a document that nobody queued is ready in the end."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    settings = IngestSettings(redis_url=redis_url, reconcile_interval_s=0.05)
    stumbling = dataclasses.replace(deps, registry=StumblingRegistry(registry._redis))

    worker = asyncio.create_task(IngestWorker(settings, stumbling, queue).run())
    try:
        while await get_status(deps, job) is not DocumentStatus.READY:
            await asyncio.sleep(0.05)
    finally:
        await end_tasks(worker)


class CrowdedRegistry(RedisDocumentRegistry):
    """The real registry, but no lease can be let go as long as this is set."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, deadline_s=PATIENT_S)
        self.full = True
        self.refused = asyncio.Event()

    async def release(self, lease: Lease) -> None:
        if self.full:
            self.refused.set()
            raise DiskFull("The server can record nothing now.")
        await super().release(lease)


async def test_a_worker_that_stops_lets_go_of_what_it_could_not_before(
    deps: IngestDependencies, redis: Redis, queue: ArqJobQueue, redis_url: str, tmp_path: Path
) -> None:
    """The next worker need not wait for the lease to run out, and the document has lost no attempt."""
    registry = CrowdedRegistry(redis)
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    lease = await registry.claim(job, "w", 600_000)
    assert isinstance(lease, Lease)
    crowded = dataclasses.replace(deps, registry=registry, unreleased=[lease])

    worker = asyncio.create_task(IngestWorker(IngestSettings(redis_url=redis_url), crowded, queue).run())
    await registry.refused.wait()
    registry.full = False
    await end_tasks(worker)

    assert not await registry.is_leased(job)
    assert await registry.count_attempts(job) == 0


async def test_a_worker_finishes_what_a_dead_one_left(
    deps: IngestDependencies, queue: ArqJobQueue, redis_url: str, tmp_path: Path
) -> None:
    """A job that arq believes to be running for its whole timeout is taken over when the lease has run out."""
    job = await accept(deps, tmp_path, make_pdf(["some text"]))
    await queue.enqueue(INGEST, job)
    await deps.registry.claim(job, "dead worker", 300)
    await queue.arq.psetex("arq:in-progress:" + f"{INGEST}:t:{job.document_id}", 3_600_000, b"1")
    # A worker that is too slow for so short a lease begins again, as often as need be.
    settings = IngestSettings(redis_url=redis_url, lease_s=0.3, max_attempts=1000, reconcile_interval_s=0.1)

    worker = asyncio.create_task(IngestWorker(settings, deps, queue).run())
    try:
        while await get_status(deps, job) is not DocumentStatus.READY:
            await asyncio.sleep(0.05)
    finally:
        await end_tasks(worker)

    assert (await deps.registry.get("t", job.document_id)).chunks_done == 1
