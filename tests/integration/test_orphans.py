"""What does not belong together is found and repaired, and nothing that an upload or a job needs is touched."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from services.gateway.documents.accept_document import DocumentDependencies, accept_document, delete_document
from services.gateway.documents.received_file import ReceivedFile
from services.gateway.documents.spool import Spool
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.repair import report
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.find_orphans import Orphan, OrphanKind, UpkeepDependencies, find_orphans
from services.ingest.use_cases.repair_orphans import collect_blobs, repair_orphan
from services.ingest.use_cases.run_job import Outcome, run_ingest_job, run_purge_job
from services.ingest.worker import IngestWorker
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id, make_point_id
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.port import Lease
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.spool_folder import prepare_folder
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint, SparseVector
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf

OLD_S = 7200.0


@dataclass(frozen=True)
class System:
    """A gateway's and a worker's parts in one folder."""

    folder: Path
    redis: Any
    registry: RedisDocumentRegistry
    index: EdgeIndex
    documents: DocumentDependencies
    ingest: IngestDependencies
    upkeep: UpkeepDependencies
    spool: Spool

    async def upload(self, text: str) -> DocumentJob:
        """What the gateway does with an upload."""
        content = make_pdf([text])
        async with self.spool.reserve(len(content)) as path:
            await asyncio.to_thread(path.write_bytes, content)
            sha256 = hashlib.sha256(content).hexdigest()
            received = ReceivedFile(path, f"{text}.pdf", sha256, len(content), content[:1024])
            record, _ = await accept_document("t", received, self.documents)
        return DocumentJob(tenant="t", document_id=record.document_id)

    async def upload_and_ingest(self, text: str) -> DocumentJob:
        job = await self.upload(text)
        assert await run_ingest(job, self.ingest) is Outcome.DONE
        return job

    async def find(self) -> list[Orphan]:
        return [orphan async for orphan in find_orphans(self.upkeep)]

    async def find_blob(self, job: DocumentJob) -> Path:
        record = await self.registry.get(job.tenant, job.document_id)
        return self.folder / "blobs" / make_blob_key(job.tenant, record.sha256, job.document_id)


async def run_ingest(job: DocumentJob, deps: IngestDependencies) -> Outcome:
    async def keep_in_progress() -> None:
        return None

    return await run_ingest_job(job, deps, lease_s=30, max_attempts=3, keep_in_progress=keep_in_progress)


@pytest.fixture
async def system(redis_url: str, embedder: DenseEmbedder, tmp_path: Path) -> AsyncIterator[System]:
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    upkeep = RedisRegistryUpkeep(redis, deadline_s=PATIENT_S)
    index, queue = EdgeIndex(tmp_path / "index", 384), ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    await index.prepare()
    blobs = await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri())
    spool = await asyncio.to_thread(prepare_folder, tmp_path / "spool")
    parser = ProcessPdfParser(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=1000))
    yield System(
        tmp_path,
        redis,
        registry,
        index,
        DocumentDependencies(registry, blobs, queue),
        IngestDependencies(registry, blobs, parser, embedder, Bm25Encoder(), index),
        UpkeepDependencies(upkeep, blobs, index, spool),
        Spool(spool, max_uploads=100, min_free_bytes=0),
    )
    await queue.close()
    await index.close()
    await upkeep.close()
    await registry.close()
    await redis.aclose()


def age(path: Path, seconds: float = OLD_S) -> None:
    """Make a file look as if it had been written so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def plant(path: Path, seconds: float = OLD_S) -> None:
    """A file that somebody who was killed has left so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"%PDF-")
    age(path, seconds)


def make_point(document_id: str, version: str) -> IndexPoint:
    payload = ChunkPayload(document_id, version, 0, "title", 1, 0, 4, "text")
    return IndexPoint(
        make_point_id("t", document_id, version, 0), payload, [1.0, *[0.0] * 383], SparseVector([1], [1.0])
    )


async def break_everything(system: System) -> None:
    """One orphan of each kind, and of some two, beside two sound documents."""
    keep = await system.upload_and_ingest("a sound document")
    twin = await system.upload_and_ingest("another sound document")
    gone = make_document_id()
    blobs = system.folder / "blobs"
    for path in (
        blobs / "t" / "aa" / "aaaa" / f"{gone}.pdf",
        blobs / "t" / "aa" / "aabb" / f"{gone}.pdf#123",
        blobs / "t" / "aa" / "aaaa" / "parses" / "7",
        system.folder / "spool" / f"{'0' * 32}.7.upload",
    ):
        await asyncio.to_thread(plant, path)
    await system.index.upsert("t", [make_point(gone, "v1"), make_point(keep.document_id, "of old")])
    await system.redis.xadd(f"pagewire:t:document:{gone}:events", {"events": "[]"})
    await system.redis.zadd("pagewire:t:documents", {gone: 1})
    await system.redis.sadd("pagewire:t:ready", gone)
    await system.redis.hset("pagewire:t:identities", "aaaa\na.pdf", gone)
    await system.redis.sadd("pagewire:t:cards", gone)
    await system.redis.zadd("pagewire:t:cards:.a:b", {gone: 1})
    await asyncio.to_thread((await system.find_blob(twin)).unlink)


async def test_orphans_of_every_kind_are_listed_and_nothing_is_touched(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run: twice the same report, and the exit status says that there is something."""
    assert await report(system.upkeep, repair=False) == 0
    await break_everything(system)
    capsys.readouterr()

    assert await report(system.upkeep, repair=False) == 1
    first = capsys.readouterr().out
    assert await report(system.upkeep, repair=False) == 1
    assert capsys.readouterr().out == first

    counts = {kind: first.count(f"{kind}: ") for kind in OrphanKind}
    assert counts == {
        OrphanKind.BLOB: 2,
        OrphanKind.UNFINISHED_BLOB: 1,
        OrphanKind.LOST_BLOB: 1,
        OrphanKind.POINTS: 2,
        OrphanKind.SPOOLED: 1,
        OrphanKind.STRAY: 6,
    }


async def test_orphans_of_every_kind_are_repaired(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    """All but a record whose bytes are nowhere else: that is said, and what to do. Sound documents stay as they are."""
    await break_everything(system)

    assert await report(system.upkeep, repair=True) == 1
    assert "upload the file again" in capsys.readouterr().out

    left = await system.find()
    assert [orphan.kind for orphan in left] == [OrphanKind.LOST_BLOB]
    records = (await system.registry.list("t", 0, 10)).records
    assert len(records) == 2
    assert await system.index.count("t") == sum(record.chunks_done for record in records)
    keep = next(record for record in records if record.filename == "a sound document.pdf")
    assert (await system.find_blob(DocumentJob(tenant="t", document_id=keep.document_id))).exists()


async def test_lost_bytes_come_back_from_another_document_with_the_same(system: System) -> None:
    """Another name, the same content; one whose bytes are not what they should be is no help."""
    first = await system.upload_and_ingest("twins")
    lost = await system.find_blob(first)
    sha256 = lost.parent.name
    twin, damaged = make_document_id(), make_document_id()
    for document_id, name in ((damaged, "c.pdf"), (twin, "b.pdf")):
        await system.redis.hset(
            f"pagewire:t:document:{document_id}", mapping={"status": "ready", "sha256": sha256, "filename": name}
        )
    await asyncio.to_thread((lost.parent / f"{damaged}.pdf").write_bytes, b"%PDF- damaged")
    await asyncio.to_thread(lost.rename, lost.parent / f"{twin}.pdf")
    orphan = Orphan(OrphanKind.LOST_BLOB, "", first)

    assert await repair_orphan(orphan, system.upkeep) is True

    assert hashlib.sha256(await asyncio.to_thread(lost.read_bytes)).hexdigest() == sha256


async def test_a_purge_that_got_lost_is_repeated(system: System) -> None:
    """The record says that it is deleted, and nobody was to purge it any more."""
    job = await system.upload_and_ingest("some text")
    await delete_document("t", job.document_id, system.documents)
    await system.redis.delete("pagewire:purging")

    kinds = {orphan.kind for orphan in await system.find()}
    assert OrphanKind.STRAY in kinds
    for orphan in await system.find():
        await repair_orphan(orphan, system.upkeep)
    assert await run_purge_job(job, system.ingest) is Outcome.DONE
    assert await system.index.count("t") == 0


async def test_young_bytes_are_left_alone(system: System) -> None:
    """Their upload may be about to be recorded; the grace over, they are collected."""
    path = system.folder / "blobs" / "t" / "aa" / "aaaa" / f"{make_document_id()}.pdf"
    await asyncio.to_thread(plant, path, 60)

    assert await collect_blobs(system.upkeep) == 0
    assert path.exists()
    assert await collect_blobs(replace(system.upkeep, grace_s=30)) == 1
    assert not path.exists()


@pytest.mark.parametrize("hours", [3, -3])
async def test_ages_of_bytes_are_told_by_the_stores_clock(
    system: System, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The clock of the worker that looks may be hours ahead of it or behind."""
    young, old = (system.folder / "blobs" / "t" / "aa" / "aaaa" / f"{make_document_id()}.pdf" for _ in range(2))
    await asyncio.to_thread(plant, young, 60)
    await asyncio.to_thread(plant, old)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)

    assert await collect_blobs(system.upkeep) == 1
    assert (young.exists(), old.exists()) == (True, False)


Change = Callable[[System, DocumentJob], Any]


async def begin_ingest(system: System, job: DocumentJob) -> None:
    """It has failed and is tried again: a worker has it."""
    await system.redis.hset(f"pagewire:t:document:{job.document_id}", "status", "failed")
    await system.registry.requeue(job)
    assert isinstance(await system.registry.claim(job, "w", 30_000), Lease)


async def wait_for_worker(system: System, job: DocumentJob) -> None:
    """It has failed and is to be tried again: the last try's points may be this one's."""
    await system.redis.hset(f"pagewire:t:document:{job.document_id}", "status", "failed")
    await system.registry.requeue(job)


async def wait_for_purge(system: System, job: DocumentJob) -> None:
    """It is deleted; the purge will remove what there is."""
    await delete_document("t", job.document_id, system.documents)


@pytest.mark.parametrize("change", [begin_ingest, wait_for_worker, wait_for_purge])
async def test_what_a_worker_has_or_is_to_have_is_no_orphan(system: System, change: Change) -> None:
    """Also when it becomes a worker's between the look and the repair."""
    job = await system.upload_and_ingest("some text")
    await system.index.upsert("t", [make_point(job.document_id, "of old")])
    await asyncio.to_thread(age, await system.find_blob(job))
    seen = await system.find()
    assert [orphan.kind for orphan in seen] == [OrphanKind.POINTS]

    await change(system, job)

    assert await system.find() == []
    assert await repair_orphan(seen[0], system.upkeep) is False
    assert await system.index.count("t") > 1


async def test_a_repair_under_way_keeps_workers_off(system: System) -> None:
    """A worker that comes meanwhile finds the document held, and gets it afterwards."""
    job = await system.upload("some text")
    redis, hold = system.redis, system.upkeep.registry.hold
    await redis.srem("pagewire:pending", f"t/{job.document_id}")
    assert await hold(job, "repair", 30_000) is not None
    assert await hold(job, "other repair", 30_000) is None

    assert await run_ingest(job, system.ingest) is Outcome.HELD
    await system.upkeep.registry.let_go(job, "other repair")
    assert await run_ingest(job, system.ingest) is Outcome.HELD
    await system.upkeep.registry.let_go(job, "repair")
    assert await run_ingest(job, system.ingest) is Outcome.DONE


async def test_a_worker_collects_the_blobs_of_killed_uploads(system: System, redis_url: str) -> None:
    """By itself, while it works."""
    path = system.folder / "blobs" / "t" / "aa" / "aaaa" / f"{make_document_id()}.pdf"
    await asyncio.to_thread(plant, path)
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)

    worker = asyncio.create_task(
        IngestWorker(IngestSettings(redis_url=redis_url), system.ingest, queue, system.upkeep).run()
    )
    try:
        while path.exists():
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(worker)
        await queue.close()


async def test_a_worker_removes_what_one_that_ended_behind_a_publication_has_left(
    system: System, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The points of the version before, which nobody would look for."""
    job = await system.upload("crane")
    assert await run_ingest(job, system.ingest) is Outcome.DONE
    ((_, version),) = (await system.registry.get_active_versions("t", [job.document_id])).items()
    assert await system.registry.reindex(job, version)

    async def stop(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("services.ingest.use_cases.ingest_document.tidy_document", stop)
        with pytest.raises(asyncio.CancelledError):
            await run_ingest(job, system.ingest)
    assert [orphan.kind for orphan in await system.find()] == [OrphanKind.POINTS]

    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    settings = IngestSettings(redis_url=redis_url, reconcile_interval_s=0.2)
    worker = asyncio.create_task(IngestWorker(settings, system.ingest, queue).run())
    try:
        while await system.find():
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(worker)
        await queue.close()
    assert await system.index.count("t") == 1


async def test_repair_in_a_loop_loses_nothing_of_a_system_at_work(system: System, redis_url: str) -> None:
    """Uploads, ingests and deletions, with a repair after the other meanwhile: all that was accepted is whole.

    What was planted is gone, and in the end nothing is an orphan.
    """
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    worker = asyncio.create_task(IngestWorker(IngestSettings(redis_url=redis_url), system.ingest, queue).run())
    harsh = replace(system.upkeep, grace_s=PATIENT_S)  # no upload's record comes later after its bytes
    looks = 0
    kept: list[DocumentJob] = []

    async def repair_for_ever() -> None:
        nonlocal looks
        while True:
            async for orphan in find_orphans(harsh):
                await repair_orphan(orphan, harsh)
            looks += 1

    async def work(number: int) -> None:
        jobs = [await system.upload(f"document {number} {part}") for part in range(3)]
        for job in jobs:
            # As if it had been uploaded long ago: from here on only its record protects it.
            await asyncio.to_thread(age, await system.find_blob(job))
        while number % 2 and not (await system.registry.get("t", jobs[0].document_id)).status.final:
            await asyncio.sleep(0.02)
        for job in jobs[: 1 + number % 2]:
            await delete_document("t", job.document_id, system.documents)
        await asyncio.to_thread(plant, system.folder / "blobs" / "t" / "aa" / f"{number}" / f"{number}.pdf")
        kept.extend(jobs[1 + number % 2 :])

    repairing = asyncio.create_task(repair_for_ever())
    try:
        await asyncio.gather(*(work(number) for number in range(4)))
        while not all([(await system.registry.get("t", job.document_id)).status.final for job in kept]):
            await asyncio.sleep(0.02)
        while await system.redis.scard("pagewire:purging"):
            await asyncio.sleep(0.02)
        enough = looks + 2
        while looks < enough and not repairing.done():
            await asyncio.sleep(0.02)
    finally:
        await end_tasks(repairing, worker)
        await queue.close()

    records = [await system.registry.get("t", job.document_id) for job in kept]
    assert {record.status for record in records} == {DocumentStatus.READY}
    assert await system.index.count("t") == sum(record.chunks_done for record in records) == len(kept) == 6
    for job, record in zip(kept, records, strict=True):
        content = await asyncio.to_thread((await system.find_blob(job)).read_bytes)
        assert hashlib.sha256(content).hexdigest() == record.sha256
    assert len(await asyncio.to_thread(lambda: list((system.folder / "blobs").rglob("*.pdf")))) == len(kept)
    assert await system.find() == []
