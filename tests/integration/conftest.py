"""Fixtures of the integration tests: a gateway in front of real parts, and a client that reads its streams."""

import fcntl
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from services.gateway.settings import GatewaySettings
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.private_redis import start_private_redis
from shared.redis_client import connect_redis
from shared.registry.port import DocumentRegistry, Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.canned_search import CannedSearch
from tests.certificates import make_certificate
from tests.llm_server import LlmServer, run_llm_server
from tests.patience import PATIENT_S, be_patient


@dataclass(frozen=True)
class StreamEvent:
    """An event of `/query/stream` with its data parsed."""

    event: str
    data: dict[str, Any]
    id: str


async def read_stream(response: httpx.Response) -> AsyncIterator[StreamEvent]:
    """The events of a response as they arrive."""
    async for event in EventSource(response).aiter_sse():
        if event.data:  # a heartbeat, too, ends with a blank line
            yield StreamEvent(event.event, json.loads(event.data), event.id)


async def ask_stream(client: httpx.AsyncClient, question: str = "How much?", **body: Any) -> list[StreamEvent]:
    """All events of one question."""
    async with client.stream("POST", "/query/stream", json={"question": question, **body}) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in read_stream(response)]


@pytest.fixture(scope="session", autouse=True)
def few_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody here speaks TLS, and each HTTP client reads 140 root certificates: 20 to 40 ms, several times a test."""
    path = tmp_path_factory.mktemp("certificates") / "roots.pem"
    path.write_bytes(make_certificate()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """No deadline is over that the test does not choose."""
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        yield


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[str]:
    """A server of this test alone, with its data in `redis`."""
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(tmp_path / "redis", lock.fileno()) as running:
            yield running.url


@pytest.fixture
async def registry(redis_url: str) -> AsyncIterator[RedisDocumentRegistry]:
    """A registry on an empty Redis."""
    redis = connect_redis(redis_url, timeout_s=PATIENT_S)
    yield RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    await redis.aclose()


@pytest.fixture
async def ready_document(registry: RedisDocumentRegistry) -> str:
    """The id of a document that can be searched."""
    return await publish_document(registry)


async def publish_document(registry: DocumentRegistry) -> str:
    """Makes a document that can be searched, without any points; returns its id."""
    lease = await claim_document(registry)
    await registry.publish(lease, "v1", [])
    return lease.job.document_id


async def claim_document(registry: DocumentRegistry) -> Lease:
    """Makes a document that is like no other, and takes its lease."""
    document_id = make_document_id()
    await registry.create(NewDocument("default", document_id, "filing.pdf", sha256=document_id, size_bytes=1))
    lease = await registry.claim(DocumentJob(tenant="default", document_id=document_id), "w", 30_000)
    assert isinstance(lease, Lease)
    return lease


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewaySettings:
    """A gateway's settings without any provider."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return GatewaySettings(redis_url=redis_url, data_dir=tmp_path, llm_idle_timeout_s=60)


@pytest.fixture
async def llm() -> AsyncIterator[LlmServer]:
    """A local language model that speaks the providers' wire formats."""
    async with run_llm_server() as server:
        yield server


@pytest.fixture
def search(ready_document: str) -> CannedSearch:
    """A search that always finds three passages of one document."""
    return CannedSearch(ready_document, count=3)
