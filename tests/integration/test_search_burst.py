"""More questions at one instant than the gateway sends to the retrieval service at once; both ends are real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI

from services.gateway import retrieval_client
from services.gateway.retrieval_client import RetrievalClient
from shared.contracts.search import RerankerState, SearchRequest, SearchResponse, SearchTimings
from shared.errors import BUSY_RETRY_AFTER_S, DependencyUnavailable
from tests.http_server import RunningServer, serve_app
from tests.patience import PATIENT_S

FOUND = SearchResponse(
    passages=[],
    timings_ms=SearchTimings(embed=1, search=1, rerank=None, total=2),
    reranker=RerankerState(status="off", reason="disabled"),
)


@dataclass
class HeldService:
    """A retrieval service whose searches wait until they are let go."""

    server: RunningServer
    go_on: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    under_way: int = 0
    most: int = 0

    async def wait_for(self, count: int) -> None:
        while self.under_way < count:
            await asyncio.sleep(0.01)


@pytest.fixture
async def service() -> AsyncIterator[HeldService]:
    app = FastAPI()

    @app.post("/search")
    async def search() -> SearchResponse:
        held.under_way += 1
        held.most = max(held.most, held.under_way)
        await held.go_on.acquire()
        held.under_way -= 1
        return FOUND

    @app.get("/health/ready")
    async def check() -> dict[str, object]:
        return {"status": "ok", "parts": {"index": "ok"}}

    async with serve_app(app) as server:
        held = HeldService(server)
        yield held
        for _ in range(1000):
            held.go_on.release()


@pytest.fixture
async def open_client(service: HeldService) -> AsyncIterator[Callable[[float], RetrievalClient]]:
    clients: list[RetrievalClient] = []

    def make(timeout_s: float) -> RetrievalClient:
        clients.append(RetrievalClient(service.server.url, timeout_s=timeout_s))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


OpenClient = Callable[[float], RetrievalClient]


def ask(client: RetrievalClient, count: int) -> "list[asyncio.Task[SearchResponse]]":
    return [asyncio.create_task(client.search(SearchRequest(tenant="t", query="q"))) for _ in range(count)]


async def test_searches_of_one_instant_wait_for_their_turn(
    service: HeldService, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes within their time, and all are answered. What asks how the service is need not wait."""
    monkeypatch.setattr(retrieval_client, "_SEARCHES_AT_ONCE", 2)
    monkeypatch.setattr(retrieval_client, "_CONNECT_S", 0.5)
    client = open_client(120)
    searches = ask(client, 10)
    await service.wait_for(2)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 2 * retrieval_client._CONNECT_S:
        assert await client.check_ready() == {"index": "ok"}

    for _ in searches:
        service.go_on.release()
    assert await asyncio.gather(*searches) == [FOUND] * len(searches)
    assert service.most == 2


async def test_five_hundred_at_one_instant_are_all_answered(service: HeldService, open_client: OpenClient) -> None:
    """With the limit as it is: the service sees no more than that many of them."""
    searches = ask(open_client(120), 500)
    await service.wait_for(retrieval_client._SEARCHES_AT_ONCE)
    for _ in searches:
        service.go_on.release()

    assert await asyncio.gather(*searches) == [FOUND] * len(searches)
    assert service.most == retrieval_client._SEARCHES_AT_ONCE


@pytest.mark.parametrize("closes", ["politely", "by a reset"])
async def test_a_service_that_is_stopped_fails_no_search(closes: str) -> None:
    """It closes connections on which a search has just come: another connection is another try, and the last one."""
    asked = 0

    async def close_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        content = FOUND.model_dump_json().encode()
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked += 1
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            if asked in closing:
                if closes == "by a reset":
                    writer.transport.abort()
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))

    server = await asyncio.start_server(close_second, "127.0.0.1", 0)
    client = RetrievalClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=PATIENT_S)
    closing = {2}
    for _ in range(3):
        assert await asyncio.gather(*ask(client, 1)) == [FOUND]
    assert asked == 4

    closing = {5, 6}
    (away,) = await asyncio.gather(*ask(client, 1), return_exceptions=True)
    assert isinstance(away, DependencyUnavailable)
    assert (away.error_code, asked) == ("search_unavailable", 6)
    await client.close()
    server.close()


async def test_a_search_for_which_there_was_no_time_says_so(
    service: HeldService, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are answered the gateway is busy; where none is, the search is away."""
    monkeypatch.setattr(retrieval_client, "_SEARCHES_AT_ONCE", 2)
    client = open_client(2)
    searches = ask(client, 4)
    await service.wait_for(2)
    service.go_on.release()

    results = await asyncio.gather(*searches, return_exceptions=True)
    (silent,) = await asyncio.gather(*ask(client, 1), return_exceptions=True)

    assert results.count(FOUND) == 1
    refused = [result for result in results if isinstance(result, DependencyUnavailable)]
    assert [(error.error_code, error.retry_after) for error in refused] == [("server_busy", BUSY_RETRY_AFTER_S)] * 3
    assert isinstance(silent, DependencyUnavailable)
    assert silent.error_code == "search_unavailable"
