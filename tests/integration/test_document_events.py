"""The progress of a document as a stream: what its record says, in order, from any gateway, until it is final."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from redis.asyncio import Redis

from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from shared.contracts.documents import DocumentFailure, DocumentStatus, DocumentWarning
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.redis_client import connect_redis
from shared.registry.port import DocumentRegistry, Lease, NewDocument, Progress
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.integration.conftest import StreamEvent, read_stream
from tests.patience import PATIENT_S

PAGES = 60
WARNING = DocumentWarning(code="pages_without_text", detail="Run OCR.", pages=[3])
FAILURE = DocumentFailure(code="damaged", detail="Save a new copy.")


@pytest.fixture
async def clients(settings: GatewaySettings) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two gateways on one Redis."""
    async with AsyncExitStack() as stack:
        search = CannedSearch("doc", count=1)
        opened = []
        for _ in range(2):
            app = await asyncio.to_thread(create_app, lambda: open_gateway(settings, search), settings)
            server = await stack.enter_async_context(serve_app(app))
            opened.append(await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S)))
        yield opened


@pytest.fixture
async def document(registry: DocumentRegistry) -> DocumentJob:
    """One that was uploaded and waits for a worker."""
    new = NewDocument("default", make_document_id(), "filing.pdf", "aa", size_bytes=1)
    await registry.create(new)
    return DocumentJob(tenant="default", document_id=new.document_id)


async def ingest(registry: DocumentRegistry, job: DocumentJob, *, fails: bool = False) -> None:
    """What a worker tells the registry, with a second worker that begins anew in the middle."""
    lease: Lease | str = "none yet"
    for token in ("first", "second"):
        lease = await registry.claim(job, token, 30_000)
        assert isinstance(lease, Lease)
        await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=PAGES))
        for page in range(20, PAGES + 1, 20):
            await registry.update(lease, Progress(DocumentStatus.PARSING, pages_done=page))
        await registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_total=128))
        await registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_done=64))
        if token == "first":
            await registry.release(lease)
    assert isinstance(lease, Lease)
    await registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_done=128))
    if fails:
        await registry.fail(lease, FAILURE)
    else:
        await registry.publish(lease, "v1", [WARNING])


async def watch(client: httpx.AsyncClient, job: DocumentJob, after: str | None = None) -> list[StreamEvent]:
    """All events up to the end of the stream."""
    headers = {"Last-Event-ID": after} if after is not None else {}
    async with client.stream("GET", f"/documents/{job.document_id}/events", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in read_stream(response)]


@pytest.mark.parametrize("fails", [False, True])
async def test_progress_is_monotone_and_ends_with_what_became_of_it(
    clients: list[httpx.AsyncClient], registry: DocumentRegistry, document: DocumentJob, fails: bool
) -> None:
    """The same from both gateways, also when a second worker begins anew; numbers from 1, each once."""
    watching = [asyncio.create_task(watch(client, document)) for client in clients]
    await ingest(registry, document, fails=fails)
    events, others = await asyncio.gather(*watching)

    assert events == others
    assert [event.id for event in events] == [str(n) for n in range(1, len(events) + 1)]
    assert [event.event for event in events] == ["progress"] * (len(events) - 1) + ["failed" if fails else "ready"]
    for name in ("pages_total", "pages_done", "chunks_total", "chunks_done"):
        counts = [event.data[name] for event in events]
        assert counts == sorted(counts)
    order = ["queued", "parsing", "embedding", "failed" if fails else "ready"]
    stages = [order.index(event.data["status"]) for event in events]
    assert stages == sorted(stages)
    told = events[-1].data
    if fails:
        assert told["failure"] == FAILURE.model_dump(exclude_none=True)
    else:
        assert (told["pages_done"], told["chunks_done"], told["warnings"]) == (PAGES, 128, [WARNING.model_dump()])


async def test_progress_can_be_read_again_from_any_event(
    clients: list[httpx.AsyncClient], registry: DocumentRegistry, document: DocumentJob
) -> None:
    """Behind `Last-Event-ID`, at either gateway; 204 when all has arrived, so that a browser stops asking."""
    await ingest(registry, document)
    events = await watch(clients[0], document)

    for position, event in enumerate(events[:-1]):
        assert await watch(clients[position % 2], document, event.id) == events[position + 1 :]
    response = await clients[1].get(
        f"/documents/{document.document_id}/events", headers={"Last-Event-ID": events[-1].id}
    )
    assert response.status_code == 204


async def test_a_document_that_ended_long_ago_says_how(
    clients: list[httpx.AsyncClient], registry: DocumentRegistry, document: DocumentJob, redis_url: str
) -> None:
    """Its stream has expired: the record tells the last event, with its number."""
    await ingest(registry, document)
    *_, last = await watch(clients[0], document)
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        assert await redis.delete(f"pagewire:default:document:{document.document_id}:events")

    assert await watch(clients[0], document) == [last]


async def test_watching_a_deleted_document_ends(clients: list[httpx.AsyncClient], document: DocumentJob) -> None:
    """Whoever watches it is told; whoever comes later finds none."""
    async with clients[0].stream("GET", f"/documents/{document.document_id}/events") as response:
        events = read_stream(response)
        await anext(events)
        assert (await clients[1].delete(f"/documents/{document.document_id}")).status_code == 204
        *_, last = [event async for event in events]

    assert (last.event, last.data["failure"]["code"]) == ("failed", "deleted")
    assert (await clients[0].get(f"/documents/{document.document_id}/events")).status_code == 404


async def test_an_upload_that_waits_asks_redis_little_and_ends_with_its_client(
    clients: list[httpx.AsyncClient], redis_url: str
) -> None:
    """It waits for an event: twenty of them cost some commands a second, and none when their clients have left."""
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        files = [{"file": (f"{n}.pdf", b"%%PDF-1.4 %d" % n)} for n in range(20)]
        uploads = [asyncio.create_task(clients[0].post("/documents?wait=60", files=file)) for file in files]
        while len(await redis.keys("pagewire:default:document:*:events")) < len(uploads):
            await asyncio.sleep(0.01)
        while await count_reads(redis, seconds=1) >= len(uploads):  # until the last one has begun to wait
            pass
        for upload in uploads:
            upload.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)
        while await count_reads(redis, seconds=0.5):
            pass


async def count_reads(redis: Redis, *, seconds: float) -> int:
    """How many commands read documents and their events in this time."""
    await redis.config_resetstat()
    await asyncio.sleep(seconds)
    stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hgetall", "xrange", "xread"))
