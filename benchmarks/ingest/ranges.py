"""What a second worker is worth for one large document: `python -m benchmarks.ingest.ranges --results FOLDER`.

The filing with the most pages, the real parser, model, Redis and Qdrant Edge; each worker is a process of its own with
one thread for the model. Twice in one run: one worker, then two. The clock runs from the moment at which the document
is queued, with its parse stored already, until it is ready: the parse is done by one worker in either case, and takes
a few seconds. Each worker has an index of its own, as Edge has one process at a time; nothing is read from it.
"""

import argparse
import asyncio
import fcntl
import hashlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium

from benchmarks.relay.report import describe_machine
from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.domain.stored_parse import PARSER_VERSION
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.worker import IngestWorker, build_sharing
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key, make_parse_key
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id
from shared.private_redis import start_private_redis
from shared.queue.arq_queue import ArqJobQueue
from shared.queue.port import INGEST
from shared.redis_client import connect_redis
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.vector_index.edge import EdgeIndex

FILINGS = Path(__file__).parents[3] / "shared" / "data" / "financebench" / "pdfs"
TENANT = "default"
READY = "benchmark:ready"
"""A list to which each worker adds itself when its model is loaded."""


async def work(redis_url: str, folder: Path, name: str) -> None:
    """Be a worker until killed."""
    settings = IngestSettings(redis_url=redis_url, data_dir=folder, embedding_threads=1)
    redis: Any = connect_redis(redis_url, timeout_s=5)
    embedder = DenseEmbedder(settings.embedding_model, threads=1)
    index = EdgeIndex(folder / name, embedder.dimension)
    await index.prepare()
    await embedder.embed_passages(["warm"])
    dependencies = IngestDependencies(
        registry=RedisDocumentRegistry(redis),
        blobs=ObstoreBlobStore((folder / "blobs").as_uri()),
        parser=ProcessPdfParser(settings.make_parse_limits()),
        embedder=embedder,
        bm25=Bm25Encoder(),
        index=index,
        sharing=build_sharing(settings, redis),
    )
    await redis.rpush(READY, name)
    await IngestWorker(settings, dependencies, ArqJobQueue(redis_url, timeout_s=5)).run()


async def measure(redis_url: str, folder: Path, filing: Path, parse: bytes, workers: int) -> tuple[float, int]:
    """Return the seconds until the filing is ready with so many workers, and its passages."""
    redis: Any = connect_redis(redis_url, timeout_s=600)
    registry, queue = RedisDocumentRegistry(redis), ArqJobQueue(redis_url, timeout_s=5)
    content = await asyncio.to_thread(filing.read_bytes)
    new = NewDocument(TENANT, make_document_id(), filing.name, hashlib.sha256(content).hexdigest(), len(content))
    blobs = ObstoreBlobStore((folder / "blobs").as_uri())
    await blobs.put_file(make_blob_key(TENANT, new.sha256, new.document_id), filing)
    await blobs.put(make_parse_key(TENANT, new.sha256, PARSER_VERSION), parse)
    command = [sys.executable, "-m", "benchmarks.ingest.ranges", "--work", redis_url, str(folder)]
    processes = [await asyncio.create_subprocess_exec(*command, f"worker{number}") for number in range(workers)]
    try:
        for _ in processes:
            await redis.blpop([READY], timeout=0)
        started = time.perf_counter()
        await registry.create(new)
        await queue.enqueue(INGEST, DocumentJob(tenant=TENANT, document_id=new.document_id), len(content))
        record = await wait_until_final(registry, new.document_id)
        assert record.status is DocumentStatus.READY, record.failure
        return time.perf_counter() - started, record.chunks_total
    finally:
        for process in processes:
            process.kill()
            await process.wait()
        await redis.flushall()
        await queue.close()
        await redis.aclose()


async def wait_until_final(registry: RedisDocumentRegistry, document_id: str) -> DocumentRecord:
    """Return the record when the document is ready or has failed."""
    while True:
        record = await registry.get(TENANT, document_id)
        if record.status.final:
            return record
        await asyncio.sleep(0.1)


async def read_pdf(filing: Path) -> bytes:
    """Return the stored parse of a PDF."""
    parse = b""
    async for message in ProcessPdfParser(IngestSettings().make_parse_limits()).parse(filing):
        if isinstance(message, bytes):
            parse = message
    return parse


def count_pages(path: Path) -> int:
    """Return how many pages a PDF has."""
    document = pdfium.PdfDocument(path)
    try:
        return len(document)
    finally:
        document.close()


def main() -> None:
    """Measure one worker and two, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filings", type=Path, default=FILINGS, help="a folder of PDFs; the longest is taken")
    parser.add_argument("--results", type=Path, help="a folder for the table")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    parser.add_argument("--work", nargs=3, metavar=("REDIS", "FOLDER", "NAME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        redis_url, folder, name = arguments.work
        asyncio.run(work(redis_url, Path(folder), name))
        return
    pages, filing = max((count_pages(path), path) for path in arguments.filings.glob("*.pdf"))
    parse = asyncio.run(read_pdf(filing))
    loaded = ", **in use by others meanwhile**" if arguments.loaded else ""
    found = []
    with tempfile.TemporaryDirectory() as root, (Path(root) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(root) / "redis", lock.fileno()) as redis:
            for workers in (1, 2):
                folder = Path(root) / str(workers)
                found.append(asyncio.run(measure(redis.url, folder, filing, parse, workers)))
                print(workers, *found[-1], flush=True)
    lines = [
        "# One large document, one worker and two\n",
        f"`python -m benchmarks.ingest.ranges`: {filing.name}, {pages} pages, {found[0][1]} passages; one thread"
        " a worker.\n",
        f"Machine: {describe_machine()}{loaded}.\n",
        "| workers | seconds from its stored parse until it can be searched | times as fast |\n|--:|--:|--:|",
        *(f"| {n + 1} | {seconds:.1f} | {found[0][0] / seconds:.2f} |" for n, (seconds, _) in enumerate(found)),
    ]
    print("\n".join(lines))
    if arguments.results is not None:
        (arguments.results / "ranges.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
