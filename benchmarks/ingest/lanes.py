"""How long a one-page PDF waits behind ten filings: `python -m benchmarks.ingest.lanes`.

One worker, the real model, parser, Redis and Qdrant Edge. The filings are queued, and when the first is being embedded
the one-page PDF is. Twice in one run: with the lanes as they are, and with all documents in one lane, in the order in
which they came, as it was before there were lanes. The clock stops when the one page can be searched.
"""

import argparse
import asyncio
import fcntl
import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.relay.report import describe_machine
from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.worker import IngestWorker
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentRecord
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.private_redis import start_private_redis
from shared.queue.arq_queue import SMALL_BYTES, ArqJobQueue
from shared.queue.port import INGEST
from shared.redis_client import connect_redis
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex
from tests.pdfs import make_pdf

FILINGS = Path(__file__).parents[3] / "shared" / "data" / "financebench" / "pdfs"
TENANT = "default"


class Bench:
    """A worker on an empty system, and what a gateway does with uploads."""

    def __init__(self, folder: Path, redis_url: str, embedder: DenseEmbedder, *, lanes: bool) -> None:
        self._lanes = lanes
        settings = IngestSettings(redis_url=redis_url, data_dir=folder)
        self._redis = connect_redis(redis_url, timeout_s=5)
        self.registry = RedisDocumentRegistry(self._redis)
        self.blobs = ObstoreBlobStore((folder / "blobs").as_uri())
        self.index = EdgeIndex(folder / "index", embedder.dimension)
        self.queue = ArqJobQueue(redis_url, timeout_s=5)
        parser = ProcessPdfParser(settings.make_parse_limits())
        dependencies = IngestDependencies(self.registry, self.blobs, parser, embedder, Bm25Encoder(), self.index)
        self.worker = IngestWorker(settings, dependencies, self.queue)

    async def add(self, path: Path) -> str:
        """Store, record and queue a PDF; return its id."""
        content = await asyncio.to_thread(path.read_bytes)
        size = len(content) if self._lanes else SMALL_BYTES + 1
        new = NewDocument(TENANT, make_document_id(), path.name, hashlib.sha256(content).hexdigest(), size)
        await self.blobs.put_file(make_blob_key(TENANT, new.sha256, new.document_id), path)
        await self.registry.create(new)
        await self.queue.enqueue(INGEST, DocumentJob(tenant=TENANT, document_id=new.document_id), size)
        return new.document_id

    async def wait_until(self, document_ids: Sequence[str], reached: Callable[[DocumentRecord], bool]) -> None:
        """Return when one of the documents has come so far."""
        while True:
            records = [await self.registry.get(TENANT, document_id) for document_id in document_ids]
            if any(map(reached, records)):
                return
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End everything but the model, and forget what Redis has."""
        await self.index.close()
        await self.queue.close()
        await self.registry.close()
        await self._redis.flushall()
        await self._redis.aclose()


async def measure(bench: Bench, filings: Sequence[Path], small: Path) -> tuple[float, int]:
    """Return the seconds until the small one is ready, and how many filings were by then."""
    await bench.index.prepare()
    working = asyncio.create_task(bench.worker.run())
    try:
        large = [await bench.add(path) for path in filings]
        await bench.wait_until(large, lambda record: record.chunks_done > 0)
        started = time.perf_counter()
        await bench.wait_until([await bench.add(small)], lambda record: record.status.final)
        waited = time.perf_counter() - started
        return waited, (await bench.registry.count(TENANT))[1] - 1
    finally:
        await end_tasks(working)
        await bench.close()


def main() -> None:
    """Measure both ways, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filings", type=Path, default=FILINGS, help="a folder of PDFs; the largest are taken")
    parser.add_argument("--count", type=int, default=10, help="how many of them")
    parser.add_argument("--results", type=Path, help="a folder for the table")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    arguments = parser.parse_args()
    filings = sorted(arguments.filings.glob("*.pdf"), key=lambda path: -path.stat().st_size)[: arguments.count]
    embedder = DenseEmbedder("all-MiniLM-L6-v2")
    loaded = ", **in use by others meanwhile**" if arguments.loaded else ""
    lines = [
        f"# A one-page PDF behind {len(filings)} filings\n",
        "`python -m benchmarks.ingest.lanes`: one worker, the filings of `financebench` that are no small documents.\n",
        f"Machine: {describe_machine()}{loaded}.\n",
        "| queue | seconds until the one page can be searched | filings ready by then |\n|---|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as root, (Path(root) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        small = Path(root) / "small.pdf"
        small.write_bytes(make_pdf(["The crane lifts forty tonnes."]))
        with start_private_redis(Path(root) / "redis", lock.fileno()) as redis:
            for name, lanes in (("lanes by size", True), ("one lane, as it was", False)):
                bench = Bench(Path(root) / name, redis.url, embedder, lanes=lanes)
                waited, ready = asyncio.run(measure(bench, filings, small))
                lines.append(f"| {name} | {waited:.1f} | {ready} |")
                print(lines[-1], flush=True)
    embedder.close()
    if arguments.results is not None:
        (arguments.results / "lanes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
