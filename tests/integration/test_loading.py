"""The standalone system while its models load: what it takes, what it says, and what waits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry

from services.gateway.api.answers import start_run
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import create_app
from services.gateway.ports import PassageSearch
from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.ingest.worker import build_parser
from services.retrieval.settings import RetrievalSettings
from services.standalone_parts import StandaloneParts
from services.standalone_settings import StandaloneSettings
from services.standalone_system import PartNotUsableError, open_standalone
from shared.contracts.questions import QueryRequest
from shared.contracts.runs import Finished
from shared.contracts.search import SearchRequest, SearchResponse
from shared.embedding.dense import DenseEmbedder
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.loaded_system import LoadedParts
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf

WAIT_S = 0.1
"""How long a search waits for the models here."""


@dataclass(frozen=True)
class LoadingSystem:
    """A system that has begun to load, and goes on when `may_load` is set."""

    client: httpx.AsyncClient
    may_load: threading.Event
    loaded: asyncio.Event


@pytest.fixture
async def system(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, embedder: DenseEmbedder, request: pytest.FixtureRequest
) -> AsyncIterator[LoadingSystem]:
    """The system; a search waits for the models as long as the test's parameter says."""
    standalone = StandaloneSettings(
        gateway=settings.model_copy(update={"retrieval_timeout_s": request.param}),
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )
    may_load, loaded = threading.Event(), asyncio.Event()

    def load(settings: StandaloneSettings) -> StandaloneParts:
        may_load.wait()
        return LoadedParts(settings, embedder, build_parser(settings.ingest))

    def open_system() -> AbstractAsyncContextManager[GatewayDependencies]:
        return open_standalone(standalone, load=load, on_loaded=loaded.set)

    app = await asyncio.to_thread(create_app, open_system)
    try:
        async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
            yield LoadingSystem(client, may_load, loaded)
    finally:
        may_load.set()


@pytest.mark.parametrize("system", [WAIT_S], indirect=True)
async def test_while_it_loads_it_answers_takes_uploads_and_says_what_is_missing(system: LoadingSystem) -> None:
    """Health is ok, readiness names what loads, an upload queues, a question is refused with when to ask again."""
    client = system.client

    assert (await client.get("/health")).json()["status"] == "ok"
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "loading")
    assert ready.json()["parts"] == {
        "embedder": "loading",
        "index": "loading",
        "reranker": "loading",
        "registry": "ok",
        "llm": "extractive",
    }
    first = await client.post("/documents", files={"file": ("otter.pdf", make_pdf(["The otter weighs nine kilos."]))})
    assert (first.status_code, first.json()["status"]) == (202, "queued")

    system.may_load.set()
    await system.loaded.wait()

    assert (await client.get("/health/ready")).status_code == 200
    again = await client.post(
        "/documents", params={"wait": 60}, files={"file": ("owl.pdf", make_pdf(["The owl weighs two kilos."]))}
    )
    assert again.json()["status"] == "ready"
    # The first was queued before: it has been worked on, too.
    record = f"/documents/{first.json()['document_id']}"
    while (await client.get(record)).json()["status"] != "ready":
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("system", [WAIT_S], indirect=True)
async def test_a_question_that_waited_in_vain_says_so(system: LoadingSystem, ready_document: str) -> None:
    """503 `models_loading`, when to ask again, whole and as a stream."""
    body = {"question": "How heavy is the otter?"}

    refused = await system.client.post("/query", json=body)
    streamed = await system.client.post("/query/stream", json=body)

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "models_loading")
    assert int(refused.headers["retry-after"]) > 0
    assert '"code":"models_loading"' in streamed.text.replace(" ", "")


@pytest.mark.parametrize("system", [60], indirect=True)
async def test_a_question_waits_for_the_models(system: LoadingSystem, ready_document: str) -> None:
    """It is answered as soon as they are loaded, like any other."""
    asking = asyncio.create_task(system.client.post("/query", json={"question": "How heavy is the otter?"}))
    await asyncio.wait({asking}, timeout=WAIT_S)
    assert not asking.done()

    system.may_load.set()

    assert (await asking).status_code == 200


async def test_a_part_that_cannot_be_loaded_stops_the_system(
    redis_url: str, tmp_path: Path, settings: GatewaySettings
) -> None:
    """The system is told to stop, with the error; what the log says of it is left to the last word."""
    standalone = StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path, embedding_model="/no/such/model"),
    )
    stopped: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    with structlog.testing.capture_logs() as logs:
        async with open_standalone(standalone, load=StandaloneParts.load, stop=stopped.set_result):
            error = await stopped

    assert isinstance(error, PartNotUsableError)
    assert "'/no/such/model'" in str(error)
    assert "PAGEWIRE_EMBEDDING_MODEL" in str(error)
    assert "\n" not in str(error)
    assert [line["event"] for line in logs if line["log_level"] == "critical"] == []


async def test_an_index_that_is_damaged_stops_the_system(
    redis_url: str, tmp_path: Path, settings: GatewaySettings
) -> None:
    """With one line that says what to do, and not when the first document is written."""
    (tmp_path / "index" / "shard-3").mkdir(parents=True)
    standalone = StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model="off"),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )
    stopped: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async with open_standalone(standalone, load=StandaloneParts.load, stop=stopped.set_result):
        error = await stopped

    assert isinstance(error, PartNotUsableError)
    assert "services.standalone_rebuild" in str(error)


class HeldSearch(CannedSearch):
    """Has begun to search, and goes on when `may_search` is set."""

    def __init__(self, document_id: str) -> None:
        super().__init__(document_id, count=1)
        self.searching, self.may_search, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def search(self, request: SearchRequest) -> SearchResponse:
        self.searching.set()
        await self.may_search.wait()
        if self.closed.is_set():
            raise RuntimeError("searched in what is closed")
        return await super().search(request)


@dataclass(frozen=True)
class HeldParts:
    """Parts with such a search and nothing to ingest."""

    search: HeldSearch

    async def _work(self) -> None:
        await asyncio.Event().wait()

    @asynccontextmanager
    async def open(
        self, metrics: CollectorRegistry
    ) -> AsyncIterator[tuple[PassageSearch, Callable[[], Awaitable[None]]]]:
        try:
            yield self.search, self._work
        finally:
            self.search.closed.set()

    def close(self) -> None:
        return


async def test_answers_that_nobody_waits_for_search_until_the_system_ends(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, ready_document: str
) -> None:
    """SIGTERM leaves runs with `continue` their time; they hold up no request, and what they search in stays open."""
    standalone = StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )
    search = HeldSearch(ready_document)
    async with open_standalone(standalone, load=lambda _: HeldParts(search)) as gateway:
        body = QueryRequest(question="How much were the net sales?", on_disconnect="continue")
        run = await start_run(body, gateway, "default")
        await search.searching.wait()
        draining = asyncio.create_task(gateway.runs.shut_down(60))  # what stopping the server begins with
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(WAIT_S, search.may_search.set)

    await draining
    assert run.task is not None
    assert isinstance(await run.task, Finished)
    assert search.closed.is_set()
