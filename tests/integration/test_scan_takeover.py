"""A worker that is killed in the midst of a scan: who takes over reads the pages that are left, and no others."""

import asyncio
import hashlib
import io
import json
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis
from reportlab.pdfgen.canvas import Canvas

from services.ingest.adapters.kept_readings import find_readings
from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.use_cases import recognized_pages
from services.ingest.use_cases.read_document import find_stored_parse, read_document
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import make_blob_key, make_parse_key, make_recognized_key
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.redis_client import connect_redis
from shared.registry.port import Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.patience import PATIENT_S
from tests.standalone_process import ROOT

PAGES = 12
KILLED_AT = 9
LIMITS = ParseLimits(memory_mb=2048, cpu_s=60, wall_s=120, max_pages=100)

# Reads a page as its number, and notes that it was asked; the page at which the worker is killed it never ends.
ENGINE = """#!/bin/sh
cat >/dev/null
echo >>{folder}/calls
number=$(wc -l <{folder}/calls)
if [ "$number" = {killed_at} ]; then exec sleep 600; fi
printf 'level\\n5\\t1\\t1\\t1\\t1\\t1\\t100\\t100\\t90\\t20\\t95\\tpage\\n'
printf '5\\t1\\t1\\t1\\t1\\t2\\t200\\t100\\t90\\t20\\t95\\tread-%s\\n' "$number"
"""


def make_drawings() -> bytes:
    """Pages with a drawing each, which might say something."""
    canvas = Canvas(buffer := io.BytesIO(), invariant=1)
    for _ in range(PAGES):
        canvas.rect(50, 700, 100, 50, fill=1)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@pytest.fixture
def options(tmp_path: Path) -> OcrOptions:
    """Text recognition with an engine of this test."""
    program = tmp_path / "engine"
    program.write_text(ENGINE.format(folder=tmp_path, killed_at=KILLED_AT))
    program.chmod(0o755)
    return OcrOptions(str(program), None, "eng", dpi=50, page_s=600, document_s=600, pictures=False)


async def read(job: DocumentJob, redis: Redis, blobs: ObstoreBlobStore, options: OcrOptions) -> list[str]:
    """What a worker that claims the document reads on its pages."""
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    lease = await registry.claim(job, make_document_id(), 600_000)
    assert isinstance(lease, Lease)
    document = await read_document(lease, registry=registry, blobs=blobs, parser=ProcessPdfParser(LIMITS, options))
    return [page.text for page in document.pages]


async def work(redis_url: str, folder: Path, document_id: str, options: OcrOptions) -> None:
    """Be a worker until killed."""
    recognized_pages.KEEP_S = recognized_pages.KEEP_SHARE = 0  # each page is kept as it comes
    blobs = await asyncio.to_thread(ObstoreBlobStore, (folder / "blobs").as_uri())
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        await read(DocumentJob(tenant="t", document_id=document_id), redis, blobs, options)


async def test_who_takes_over_reads_the_rest(redis: Redis, redis_url: str, options: OcrOptions, tmp_path: Path) -> None:
    """Nine pages were begun, eight read and kept; the engine is asked for four more, and what it read first stays."""
    content = make_drawings()
    new = NewDocument("t", make_document_id(), "a.pdf", hashlib.sha256(content).hexdigest(), len(content))
    job = DocumentJob(tenant="t", document_id=new.document_id)
    blobs = await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri())
    await asyncio.to_thread((tmp_path / "a.pdf").write_bytes, content)
    await blobs.put_file(make_blob_key("t", new.sha256, new.document_id), tmp_path / "a.pdf")
    await RedisDocumentRegistry(redis, deadline_s=PATIENT_S).create(new)
    version = ProcessPdfParser(LIMITS, options).version
    kept = tmp_path / "blobs" / make_recognized_key("t", new.sha256, version)

    arguments = [redis_url, str(tmp_path), new.document_id, json.dumps(vars(options))]
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.test_scan_takeover", *arguments, cwd=ROOT
    )
    try:
        while await asyncio.to_thread(count_kept, kept) < KILLED_AT - 1 or count_calls(tmp_path) < KILLED_AT:
            assert worker.returncode is None
            await asyncio.sleep(0.02)
    finally:
        worker.kill()
        await worker.wait()

    await redis.delete(f"pagewire:t:lease:{new.document_id}")
    texts = await read(job, redis, blobs, options)

    assert count_calls(tmp_path) == PAGES + 1
    assert texts == [f"page read-{n}" for n in range(1, PAGES + 2) if n != KILLED_AT]
    assert await find_stored_parse(make_parse_key("t", new.sha256, version), blobs) is not None
    assert not await asyncio.to_thread(kept.exists)


def count_kept(path: Path) -> int:
    """Pages that a worker that takes over would not read."""
    return len(find_readings(path.read_bytes()[hashlib.sha256().digest_size :])) if path.exists() else 0


def count_calls(folder: Path) -> int:
    """Pages for which the engine was asked."""
    calls = folder / "calls"
    return len(calls.read_text().splitlines()) if calls.exists() else 0


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2]), sys.argv[3], OcrOptions(**json.loads(sys.argv[4]))))
