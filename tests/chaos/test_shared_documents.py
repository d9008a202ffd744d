"""Workers in processes of their own share a large document, and are killed in the middle of it (SIGKILL).

The processes take long to start on a busy machine: each loads torch.
"""

import asyncio
import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.queue.arq_queue import ArqJobQueue
from shared.queue.port import INGEST
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import IndexQuery, SparseVector
from tests.chaos.worker_process import DIMENSION, start_worker
from tests.patience import PATIENT_S
from tests.pdfs import make_long_pdf

pytestmark = pytest.mark.timeout(300)


class Workers:
    """Worker processes on a Redis, and a document that they have in common."""

    def __init__(self, redis: Any, redis_url: str, folder: Path) -> None:
        self._redis, self._redis_url, self._folder = redis, redis_url, folder
        self._registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.job = DocumentJob(tenant="t", document_id=make_document_id())

    async def add_document(self) -> None:
        """Store, record and queue it, as the gateway does."""
        content = make_long_pdf("crane", 4)
        sha256, document_id = hashlib.sha256(content).hexdigest(), self.job.document_id
        path = self._folder / "crane.pdf"
        await asyncio.to_thread(path.write_bytes, content)
        blobs = await asyncio.to_thread(ObstoreBlobStore, (self._folder / "blobs").as_uri())
        await blobs.put_file(make_blob_key("t", sha256, document_id), path)
        await self._registry.create(NewDocument("t", document_id, "crane.pdf", sha256, len(content)))
        queue = ArqJobQueue(self._redis_url, timeout_s=PATIENT_S)
        await queue.enqueue(INGEST, self.job, len(content))
        await queue.close()

    def start(self, name: str) -> None:
        """Start one."""
        self._processes[name] = start_worker(name, self._redis_url, self._folder)

    async def wait_until_asked(self, *names: str) -> str:
        """Return which of these workers is about to embed its next range."""
        asked = await self._redis.blpop([f"asks:{name}" for name in names], timeout=0)
        return str(asked[0]).removeprefix("asks:")

    async def let(self, name: str, ranges: int = 1) -> None:
        """Let a worker embed so many ranges more."""
        await self._redis.rpush(f"go:{name}", *([1] * ranges))

    async def kill(self, name: str) -> None:
        """End one as the kernel does."""
        process = self._processes.pop(name)
        process.kill()
        await asyncio.to_thread(process.wait)

    async def get_record(self) -> DocumentRecord:
        """The document's record."""
        return await self._registry.get("t", self.job.document_id)

    async def wait_until_ready(self) -> DocumentRecord:
        """Return the record when the document is final."""
        while not (record := await self.get_record()).status.final:
            await asyncio.sleep(0.02)
        return record

    async def wait_until_done(self, chunks: int) -> None:
        """Return when so many passages are done."""
        while (await self.get_record()).chunks_done < chunks:
            await asyncio.sleep(0.02)

    async def find_written(self, name: str) -> set[int]:
        """Which passages a worker that has ended has in its index."""
        index = EdgeIndex(self._folder / name, DIMENSION)
        await index.prepare()
        hits = await index.search("t", IndexQuery([0.5] * DIMENSION, SparseVector([1], [1.0]), limit=1000))
        await index.close()
        return {hit.payload.chunk_id for hit in hits.dense}

    def kill_all(self) -> None:
        """End what is left."""
        for process in self._processes.values():
            process.kill()
            process.wait()


@pytest.fixture
async def workers(redis_url: str, tmp_path: Path) -> AsyncIterator[Workers]:
    redis: Any = Redis.from_url(redis_url, decode_responses=True)
    workers = Workers(redis, redis_url, tmp_path)
    yield workers
    await asyncio.to_thread(workers.kill_all)
    await redis.aclose()


async def test_killed_workers_cost_the_range_that_they_are_at(workers: Workers) -> None:
    """A helper is killed, and then the worker that has the document: what both have done counts, and the third one,
    which helped until then, does what is left, none of it twice."""
    names = {"one", "two", "three"}
    for name in names:
        workers.start(name)
    await workers.add_document()
    owner = await workers.wait_until_asked(*names)
    helper = await workers.wait_until_asked(*names)
    (last,) = names - {owner, helper}
    await workers.wait_until_asked(last)

    for name, done in ((helper, 4), (owner, 8)):
        await workers.let(name, 2)
        await workers.wait_until_asked(name)
        await workers.wait_until_asked(name)
        await workers.wait_until_done(done)
        await workers.kill(name)
    await workers.let(last, 100)

    record = await workers.wait_until_ready()
    assert record.status is DocumentStatus.READY
    assert record.chunks_done == record.chunks_total
    await workers.kill(last)
    written = [await workers.find_written(name) for name in (owner, helper, last)]
    assert [len(each) for each in written] == [4, 4, record.chunks_total - 8]
    assert set().union(*written) == set(range(record.chunks_total))
