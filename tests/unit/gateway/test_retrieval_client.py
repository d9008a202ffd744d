"""Whatever goes wrong on the way to the search is one error, which says that it passes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.gateway.retrieval_client import RetrievalClient
from shared.contracts.search import GlossaryTerm, SearchRequest
from shared.errors import DependencyUnavailable
from tests.patience import PATIENT_S

REQUEST = SearchRequest(tenant="t", query="What?", top_k=5)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


@dataclass
class Service:
    """A server that answers every request with these bytes and hangs up; None: it says nothing."""

    answer: bytes | None
    url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        if self.answer is not None:
            writer.write(self.answer)
        else:
            await reader.read()
            self.left.set()
        writer.close()


@asynccontextmanager
async def run_service(answer: bytes | None) -> AsyncIterator[Service]:
    service = Service(answer)
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service


@asynccontextmanager
async def open_client(url: str, timeout_s: float = 30) -> AsyncIterator[RetrievalClient]:
    client = RetrievalClient(url, timeout_s=timeout_s)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"9\r\n\r\n{}",
        OK + b"2\r\n\r\n{}",
        OK + b"3\r\n\r\n\xff{]",
        b"what?",
        b"",
    ],
)
async def test_an_answer_that_is_none_is_an_error_that_passes(answer: bytes) -> None:
    """Statuses, what breaks off, what is no JSON and no HTTP."""
    async with run_service(answer) as service, open_client(service.url) as client:
        with pytest.raises(DependencyUnavailable) as caught:
            await client.search(REQUEST)
        assert await client.check_ready() == {"retrieval": "unavailable"}
    assert (caught.value.error_code, caught.value.retry_after) == ("search_unavailable", 5)


@pytest.mark.parametrize(
    ("more", "terms"),
    [
        ({}, []),
        ({"terms": [{"term": "capex", "phrases": ["purchases"]}]}, [GlossaryTerm(term="capex", phrases=["purchases"])]),
        ({"terms": [{"term": "capex", "phrases": [], "new": 1}], "new": {}}, [GlossaryTerm(term="capex", phrases=[])]),
    ],
)
async def test_services_of_before_and_after_are_understood(more: dict[str, Any], terms: list[GlossaryTerm]) -> None:
    """While they are replaced one after the other: what one does not tell is empty, what is unknown is passed over."""
    timings = {"embed": 1, "search": 1, "rerank": None, "total": 2}
    body = json.dumps({"passages": [], "timings_ms": timings, "reranker": {"status": "off"}, **more}).encode()
    async with run_service(OK + b"%d\r\n\r\n%b" % (len(body), body)) as service, open_client(service.url) as client:
        found = await client.search(REQUEST)

    assert (found.passages, found.terms, found.fingerprint) == ([], terms, "")


async def test_a_silent_or_missing_service_is_one_too() -> None:
    """Nobody waits longer than the timeout, and nobody's port is no other error."""
    async with run_service(None) as service, open_client(service.url, timeout_s=0.1) as client:
        with pytest.raises(DependencyUnavailable):
            await client.search(REQUEST)
    async with open_client(service.url) as client:  # the server is gone
        with pytest.raises(DependencyUnavailable):
            await client.search(REQUEST)


async def test_a_search_that_is_cancelled_closes_its_connection() -> None:
    """The service works for nobody otherwise."""
    async with run_service(None) as service, open_client(service.url) as client:
        searching = asyncio.create_task(client.search(REQUEST))
        await service.asked.wait()
        searching.cancel()
        await asyncio.wait_for(service.left.wait(), PATIENT_S)
