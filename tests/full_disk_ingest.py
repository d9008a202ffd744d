"""What an ingest does on a full disk: scenarios that run where `small_disk.mount` has mounted one.

`python -m tests.full_disk_ingest SCENARIO FOLDER REDIS`: FOLDER/disk is the small disk. Each scenario fills it at the
moment that it is about, and frees it later. `tests/integration/test_full_disk_ingest.py` runs them.
"""

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from services.ingest.domain.pages import Layout
from services.ingest.domain.stored_parse import PARSER_VERSION, DocumentFacts, ParseWriter
from services.ingest.ports import ParseProgress
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import EMBED_CHUNKS, IngestDependencies, Sharing
from services.ingest.use_cases.run_job import Outcome, run_ingest_job
from services.ingest.worker import IngestWorker
from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.private_redis import find_redis_server
from shared.queue.arq_queue import ArqJobQueue
from shared.queue.port import INGEST
from shared.redis_client import connect_redis
from shared.registry.port import Lease, NewDocument
from shared.registry.redis_ranges import RedisDocumentRanges
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import VectorIndex
from tests.patience import PATIENT_S
from tests.small_disk import SmallDisk

PAGES = 100
DIMENSION = 256
"""As much as fills a disk's last pages with a few points."""
RANGE = 8
BM25 = Bm25Encoder()

Hook = Callable[[int], Awaitable[None]]


async def do_nothing(call: int) -> None:
    return


class Parser:
    """Reads any file as a hundred pages of a passage each; `before` is called when it has begun."""

    version = PARSER_VERSION
    before: Hook = staticmethod(do_nothing)
    calls = 0

    async def parse(self, path: Path, recognized: bytes = b"") -> AsyncGenerator[ParseProgress | bytes, None]:
        self.calls += 1
        await self.before(self.calls)
        name = (await asyncio.to_thread(path.read_bytes)).decode()
        writer = ParseWriter()
        texts = [f"Page {page} of {name}. " + f"The crane lifts {page} tonnes. " * 60 for page in range(PAGES)]
        pages = [writer.add_page(text, [], Layout(612, 792)) for text in texts]
        yield ParseProgress(PAGES, PAGES)
        yield b"".join([writer.begin(), *pages, writer.end(DocumentFacts())])


class Embedder:
    """Gives all texts the same vector; `before` is called before each batch, with its number."""

    max_tokens, model_id = 256, "none"
    before: Hook = staticmethod(do_nothing)
    calls = 0

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        await self.before(self.calls)
        self.embedded += texts
        return np.random.default_rng(len(self.embedded)).random((len(texts), DIMENSION), dtype=np.float32)

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.full(DIMENSION, 0.5, dtype=np.float32)


class Registry(RedisDocumentRegistry):
    """The real one; it remembers which try of its document each lease was."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.tries: list[int] = []

    async def claim(self, job: DocumentJob, token: str, lease_ms: int) -> Lease | Literal["held", "gone"]:
        claimed = await super().claim(job, token, lease_ms)
        self.tries += [claimed.attempts] if isinstance(claimed, Lease) else []
        return claimed


@dataclass(frozen=True)
class System:
    """A worker, with its parser and its model."""

    deps: IngestDependencies
    registry: Registry
    parser: Parser
    embedder: Embedder
    folder: Path

    async def accept(self, name: str) -> DocumentJob:
        """A document as the gateway leaves it."""
        content = name.encode()
        new = NewDocument("t", make_document_id(), name, hashlib.sha256(content).hexdigest(), len(content))
        path = self.folder / name
        await asyncio.to_thread(path.write_bytes, content)
        await self.deps.blobs.put_file(make_blob_key("t", new.sha256, new.document_id), path)
        await self.registry.create(new)
        return DocumentJob(tenant="t", document_id=new.document_id)

    async def run(self, job: DocumentJob) -> Outcome:
        """One try of a worker."""
        return await run_ingest_job(job, self.deps, lease_s=60, max_attempts=3, keep_in_progress=_keep)

    async def check_waits(self, job: DocumentJob) -> None:
        """A full disk ends each try of a document, and costs it no attempt."""
        for _ in range(4):
            with capture_logs() as logs:
                assert await self.run(job) is Outcome.RETRY
            assert [log["code"] for log in logs if log["event"] == "ingest_interrupted"] == ["disk_full"]
            assert await self.registry.count_attempts(job) == 0

    async def wait_until_ready(self, job: DocumentJob) -> None:
        """Return when a worker has made the document ready; the test's timeout is the limit."""
        while (await self.registry.get("t", job.document_id)).status is not DocumentStatus.READY:
            await asyncio.sleep(0.02)

    async def count_found(self, job: DocumentJob) -> int:
        """How many passages of a document a search finds."""
        options = SearchOptions(candidates=1000, rerank_count=1, fusion=FusionWeights())
        deps = SearchDependencies(self.embedder, BM25, self.deps.index, self.registry, NoReranker(), options)
        request = SearchRequest(tenant="t", query="What does the crane lift?", top_k=50)
        passages = (await search_passages(request, deps)).passages
        return sum(passage.document_id == job.document_id for passage in passages)

    async def check_whole(self, job: DocumentJob) -> None:
        """All points of a document are there, each once, and a search finds it."""
        record = await self.registry.get("t", job.document_id)
        assert record.status is DocumentStatus.READY
        assert record.chunks_done == record.chunks_total >= PAGES
        assert await self.deps.index.count("t", job.document_id) == record.chunks_total
        assert await self.count_found(job)


async def _keep() -> None:
    return


@asynccontextmanager
async def open_system(folder: Path, redis: Redis, *, blobs: Path, index: Path) -> AsyncIterator[System]:
    """A worker with an index of its own."""
    edge = EdgeIndex(index, DIMENSION)
    await edge.prepare()
    try:
        yield await make_system(folder, redis, blobs=blobs, index=edge)
    finally:
        await edge.close()


async def make_system(folder: Path, redis: Redis, *, blobs: Path, index: VectorIndex) -> System:
    """A worker whose documents are shared from four passages on, in ranges of eight."""
    registry, parser, embedder = Registry(redis), Parser(), Embedder()
    deps = IngestDependencies(
        registry=registry,
        blobs=await asyncio.to_thread(ObstoreBlobStore, blobs.as_uri()),
        parser=parser,
        embedder=embedder,
        bm25=BM25,
        index=index,
        sharing=Sharing(RedisDocumentRanges(redis), lease_ms=60_000, from_chunks=4, range_chunks=RANGE),
    )
    return System(deps, registry, parser, embedder, folder)


def fill_at(disk: SmallDisk, number: int) -> Hook:
    """Fills the disk when something is called for this time."""

    async def fill(call: int) -> None:
        if call == number:
            await asyncio.to_thread(disk.fill)

    return fill


async def fill_before_the_parse_is_stored(folder: Path, redis: Redis, disk: SmallDisk) -> None:
    """The stored parse does not fit: the document is tried again, nothing of it is left, and others are found."""
    async with open_system(folder, redis, blobs=disk.folder / "blobs", index=folder / "index") as system:
        other = await system.accept("other")
        assert await system.run(other) is Outcome.DONE
        job = await system.accept("report")
        before = await asyncio.to_thread(list_files, disk.folder)
        system.parser.before = fill_at(disk, 2)
        await system.check_waits(job)
        assert await asyncio.to_thread(list_files, disk.folder) == before
        assert (await system.registry.get("t", job.document_id)).status is DocumentStatus.PARSING
        assert await system.count_found(other)

        await asyncio.to_thread(disk.free)
        assert await system.run(job) is Outcome.DONE
        await system.check_whole(job)
        await system.check_whole(other)


async def fill_while_points_are_written(folder: Path, redis: Redis, disk: SmallDisk, *, shared: bool = False) -> None:
    """The index's disk is full in the midst of a document: what was written of it is not seen, and is not done again.

    The engine writes through memory maps, so its process dies of it; no other document is harmed.
    """
    async with open_system(folder, redis, blobs=folder / "blobs", index=disk.folder / "index") as system:
        if not shared:
            system = replace(system, deps=replace(system.deps, sharing=None))
        other = await system.accept("other")
        assert await system.run(other) is Outcome.DONE
        job = await system.accept("report")
        system.embedder.embedded.clear()
        system.embedder.before = fill_at(disk, system.embedder.calls + 2)
        await system.check_waits(job)
        record = await system.registry.get("t", job.document_id)
        assert (record.status, 0 < record.chunks_done < record.chunks_total) == (DocumentStatus.EMBEDDING, True)
        assert await system.registry.get_active_versions("t", [job.document_id]) == {}

        await asyncio.to_thread(disk.free)
        assert await system.run(job) is Outcome.DONE
        await system.check_whole(job)
        await system.check_whole(other)
        again = RANGE if shared else EMBED_CHUNKS  # what was embedded and did not fit
        assert len(system.embedder.embedded) <= record.chunks_total + again


def list_files(folder: Path) -> list[str]:
    """All files below a folder but the ballast."""
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and path.name != "ballast")


async def fill_between_ranges(folder: Path, redis: Redis, disk: SmallDisk) -> None:
    """The same in a document that workers share: the ranges that are done stay done."""
    await fill_while_points_are_written(folder, redis, disk, shared=True)


async def fill_while_redis_writes(folder: Path, redis: Redis, disk: SmallDisk) -> None:
    """Redis cannot write its file while a worker has a document: the worker goes on by itself when there is space.

    Its lease cannot be let go either; but the document has cost no worker, and the next try is its first.
    """
    async with (
        run_redis(disk.folder) as url,
        connect_redis(url, timeout_s=PATIENT_S) as crowded,
        open_system(folder, crowded, blobs=folder / "blobs", index=folder / "index") as system,
    ):
        queue, full = ArqJobQueue(url, timeout_s=PATIENT_S), asyncio.Event()
        settings = IngestSettings(redis_url=url, lease_s=10, reconcile_interval_s=0.2)
        working = asyncio.create_task(IngestWorker(settings, system.deps, queue).run())
        other = await system.accept("other")
        await queue.enqueue(INGEST, other)
        await system.wait_until_ready(other)
        job = await system.accept("report")

        async def fill(call: int) -> None:
            if not full.is_set():
                await asyncio.to_thread(disk.fill)
                await write_until_refused(crowded)
                full.set()

        system.embedder.before = fill
        with capture_logs() as logs:
            await queue.enqueue(INGEST, job)
            await full.wait()
            while not any(log["event"] == "ingest_interrupted" for log in logs):
                await asyncio.sleep(0.02)
        assert {log["code"] for log in logs if log["event"] == "ingest_interrupted"} == {"disk_full"}
        assert await system.count_found(other)
        assert (await system.registry.get("t", job.document_id)).status is DocumentStatus.EMBEDDING

        await asyncio.to_thread(disk.free)
        await system.wait_until_ready(job)
        await end_tasks(working)
        await queue.close()
        assert system.registry.tries[2:]  # after those of the other one and of the one that was interrupted
        assert set(system.registry.tries) == {1}
        await system.check_whole(job)
        await system.check_whole(other)


@asynccontextmanager
async def run_redis(folder: Path) -> AsyncIterator[str]:
    """A redis-server with its data in a folder, which refuses to write where it cannot write its file."""
    with tempfile.TemporaryDirectory(prefix="pagewire-") as sockets:  # a short path, not on the disk
        options = ("--port", "0", "--unixsocket", f"{sockets}/redis", "--dir", str(folder), "--save", "")
        durable = ("--appendonly", "yes", "--appendfsync", "everysec", "--logfile", "/dev/null")
        server = await asyncio.to_thread(find_redis_server)
        process = await asyncio.create_subprocess_exec(server, *options, *durable)
        url = f"unix://{sockets}/redis"
        async with connect_redis(url, timeout_s=PATIENT_S) as redis:
            while not await asyncio.to_thread(Path(f"{sockets}/redis").exists):
                await asyncio.sleep(0.02)
            await redis.ping()
        try:
            yield url
        finally:
            process.terminate()
            await process.wait()


async def write_until_refused(redis: Redis) -> None:
    """Return when Redis has found that its disk is full."""
    with suppress(ResponseError):  # MISCONF
        while True:
            await redis.set("ballast", "x" * 10_000)
            await asyncio.sleep(0.02)


async def run_scenario(name: str, folder: Path, redis_url: str) -> None:
    """Run one of these by its name."""
    scenarios: dict[str, Callable[[Path, Redis, SmallDisk], Awaitable[None]]] = {
        scenario.__name__: scenario
        for scenario in (
            fill_before_the_parse_is_stored,
            fill_while_points_are_written,
            fill_between_ranges,
            fill_while_redis_writes,
        )
    }
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    try:
        await scenarios[name](folder, redis, SmallDisk(folder / "disk"))
    finally:
        await redis.aclose()


if __name__ == "__main__":
    asyncio.run(run_scenario(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
