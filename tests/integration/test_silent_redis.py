"""A Redis that takes commands and does not answer: everybody gets a clear error soon, and later all works again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable
from shared.identifiers import make_document_id
from shared.queue.arq_queue import ArqJobQueue
from shared.queue.port import INGEST
from shared.redis_client import connect_redis
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.http_server import serve_app
from tests.patience import PATIENT_S
from tests.scraped import scrape

DEADLINE_S = 1.0
MANY = 250
"""More than there are connections."""
AGAIN = 25
SLACK = 6
"""Deadlines until all have their error: the machine is slow, not the code."""


@contextmanager
def silence(process: int) -> Iterator[None]:
    """Redis takes connections and commands, and answers when the block has ended."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


async def read_process(url: str) -> int:
    async with connect_redis(url, timeout_s=PATIENT_S) as redis:
        return int((await redis.info("server"))["process_id"])


async def count_refused(calls: Sequence[Coroutine[Any, Any, Any]], slack: float = SLACK) -> int:
    """How many end with the error that becomes a 503; all must end in time."""
    async with asyncio.timeout(slack * DEADLINE_S):
        results = await asyncio.gather(*calls, return_exceptions=True)
    return sum(isinstance(result, DependencyUnavailable) for result in results)


@pytest.fixture
async def registry(own_redis: str) -> AsyncIterator[RedisDocumentRegistry]:
    redis = connect_redis(own_redis, timeout_s=DEADLINE_S)
    registry = RedisDocumentRegistry(redis, deadline_s=DEADLINE_S)
    yield registry
    await registry.close()
    await redis.aclose()


@pytest.fixture
async def queue(own_redis: str) -> AsyncIterator[ArqJobQueue]:
    queue = ArqJobQueue(own_redis, timeout_s=DEADLINE_S)
    yield queue
    await queue.close()


async def wait_until_idle(registry: RedisDocumentRegistry, queue: ArqJobQueue) -> None:
    """Calls that nobody waits for any more are answered, too."""
    async with asyncio.timeout(PATIENT_S):
        while registry._calls._running or queue._calls._running:
            await asyncio.wait({*registry._calls._running, *queue._calls._running})


async def test_every_call_has_one_deadline(own_redis: str, registry: RedisDocumentRegistry, queue: ArqJobQueue) -> None:
    """One call or many at once, to registry and queue: each fails at its deadline; afterwards all are answered."""
    process = await read_process(own_redis)
    new = NewDocument("t", make_document_id(), "a.pdf", "aa", 1)
    await registry.create(new)
    job = DocumentJob(tenant="t", document_id=new.document_id)
    before = asyncio.all_tasks()

    with silence(process):
        assert await count_refused([registry.get("t", new.document_id)], slack=3) == 1
        assert await count_refused([registry.get("t", new.document_id) for _ in range(MANY)]) == MANY
        # Those that went before still wait for an answer; that is nobody else's trouble.
        calls = [registry.list("t", 0, 9), registry.count("t"), *(queue.enqueue(INGEST, job) for _ in range(MANY))]
        assert await count_refused(calls) == len(calls)

    await wait_until_idle(registry, queue)
    records = await asyncio.gather(*(registry.get("t", new.document_id) for _ in range(MANY)))
    assert {record.document_id for record in records} == {new.document_id}
    await queue.enqueue(INGEST, job)
    assert await queue.find_unqueued(INGEST, [job], 30_000) == []
    assert asyncio.all_tasks() == before
    assert not registry._redis.connection_pool._in_use_connections
    assert not queue.arq.connection_pool._in_use_connections


async def test_a_burst_waits_for_connections(registry: RedisDocumentRegistry) -> None:
    """More calls than connections are no error as long as Redis answers."""
    results = await asyncio.gather(*(registry.count("t") for _ in range(MANY)))
    assert results == [(0, 0)] * MANY


async def test_a_registry_closes_while_redis_is_silent(own_redis: str, registry: RedisDocumentRegistry) -> None:
    """Calls under way are no reason not to stop."""
    process = await read_process(own_redis)
    with silence(process):
        assert await count_refused([registry.ping() for _ in range(MANY)]) == MANY
        await registry.close()
        assert not registry._calls._running


async def get(url: str, path: str) -> tuple[int, str]:
    """Status and response as text. Not by httpx, whose pool takes seconds of CPU for so many at once."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n\r\n".encode())
    response = (await reader.read()).decode()
    writer.close()
    return int(response.split()[1]), response


async def test_a_scrape_is_answered_while_redis_is_silent(own_redis: str, tmp_path: Path) -> None:
    """Without the queue, which nobody knows then; it is told again as soon as Redis answers."""
    settings = GatewaySettings(redis_url=own_redis, redis_timeout_s=DEADLINE_S, data_dir=tmp_path / "data")
    search = RetrievalClient("http://127.0.0.1:9", timeout_s=1)
    app = await asyncio.to_thread(create_app, lambda: open_gateway(settings, search), settings)
    process = await read_process(own_redis)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        assert "pagewire_queued_jobs small" in await scrape(client)
        with silence(process):
            async with asyncio.timeout(SLACK * DEADLINE_S):
                samples = await scrape(client)
        assert "pagewire_queued_jobs small" in await scrape(client)

    assert "pagewire_runs_in_progress" in samples
    assert not [name for name in samples if name.startswith("pagewire_queued_jobs")]


async def test_many_requests_get_their_503(own_redis: str, tmp_path: Path) -> None:
    """Through the whole gateway: each answer comes soon, names the error and says when to try again."""
    settings = GatewaySettings(redis_url=own_redis, redis_timeout_s=DEADLINE_S, data_dir=tmp_path / "data")
    process = await read_process(own_redis)

    def open_it() -> AbstractAsyncContextManager[GatewayDependencies]:
        return open_gateway(settings, RetrievalClient("http://127.0.0.1:9", timeout_s=1))

    app = await asyncio.to_thread(create_app, open_it, settings)
    paths = ("/documents", f"/documents/{make_document_id()}", "/health/ready")
    async with serve_app(app) as server:
        assert [(await get(server.url, path))[0] for path in paths] == [200, 404, 503]
        with silence(process):
            async with asyncio.timeout(SLACK * DEADLINE_S):
                responses = await asyncio.gather(*(get(server.url, paths[n % 2]) for n in range(MANY)))
            async with asyncio.timeout(SLACK * DEADLINE_S):
                responses.append(await get(server.url, "/health/ready"))

        assert {status for status, _ in responses} == {503}
        assert all('"code":"dependency_unavailable"' in text and "retry-after: 5" in text for _, text in responses[:-1])
        for _ in range(MANY // AGAIN):  # a few at a time: a second for 250 would be a test of the machine
            responses = await asyncio.gather(*(get(server.url, "/documents") for _ in range(AGAIN)))
            assert {status for status, _ in responses} == {200}
