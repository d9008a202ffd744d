"""The retrieval service behind the gateway's client of it, on a real socket: who leaves is seen, ids are passed on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from services.gateway.retrieval_client import RetrievalClient
from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.domain.glossary import read_glossary
from services.retrieval.main import create_app
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions
from services.retrieval.use_cases.search_permits import SearchPermits
from shared.contracts.search import GlossaryTerm, SearchRequest
from shared.embedding.dense import DenseEmbedder
from shared.embedding.port import Kind
from shared.embedding.sparse import Bm25Encoder
from shared.errors import BUSY_RETRY_AFTER_S, DependencyUnavailable
from shared.registry.port import DocumentRegistry
from shared.vector_index.port import IndexQuery, LegHits
from tests.http_server import serve_app
from tests.patience import PATIENT_S
from tests.scraped import pick, scrape_until

PERMITS = 8


class EmptyIndex:
    """Finds nothing, and counts how often it is asked."""

    searches = 0
    broken = False

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        if self.broken:
            raise DependencyUnavailable("The vector index does not answer now; try again.")
        self.searches += 1
        return LegHits(dense=[], bm25=[])


@dataclass
class HeldModel:
    """The real embedder, whose forward passes wait until they may go on."""

    embedder: DenseEmbedder
    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    passes: list[list[str]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [text for texts in self.passes for text in texts]

    def embed(self, texts: list[str], kind: Kind) -> Any:
        self.passes.append(sorted(texts))
        self.begun.release()
        self.go_on.wait(30)
        return DenseEmbedder._embed(self.embedder, texts, kind)


@pytest.fixture
def model(embedder: DenseEmbedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldModel]:
    held = HeldModel(embedder)
    monkeypatch.setattr(embedder, "_embed", held.embed)
    yield held
    held.go_on.set()


@pytest.fixture
def index() -> EmptyIndex:
    return EmptyIndex()


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


@pytest.fixture
async def client(model: HeldModel, index: EmptyIndex, registry: DocumentRegistry) -> AsyncIterator[RetrievalClient]:
    glossary = read_glossary("capex = purchases of property | additions")
    options = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights(), glossary=glossary)
    deps = SearchDependencies(
        model.embedder,
        Bm25Encoder(),
        cast("Any", index),
        registry,
        NoReranker(),
        options,
        identity="this code",
        permits=SearchPermits(PERMITS),
    )
    app = await asyncio.to_thread(create_app, RetrievalSettings(), deps)
    async with serve_app(app) as server:
        client = RetrievalClient(server.url, timeout_s=PATIENT_S)
        yield client
        model.go_on.set()
        await client.close()


def begin_search(client: RetrievalClient, query: str) -> "asyncio.Task[Any]":
    """A search on behalf of a request whose id is the query."""
    with structlog.contextvars.bound_contextvars(request_id=query):
        return asyncio.create_task(client.search(SearchRequest(tenant="default", query=query)))


async def leave(task: "asyncio.Task[Any]", logs: list[EventDict]) -> EventDict:
    """What the gateway does when its own client leaves; returns the service's line about it, once it is there."""
    task.cancel()
    while not (lines := [line for line in logs if line["event"] == "client_left"]):
        await asyncio.sleep(0.01)
    return lines[0]


async def test_a_search_whose_client_left_goes_no_further(
    client: RetrievalClient, model: HeldModel, index: EmptyIndex, logs: list[EventDict]
) -> None:
    """The forward pass that runs cannot be stopped; nothing comes after it, and the next search is served."""
    left = begin_search(client, "left")
    await asyncio.to_thread(model.begun.acquire)
    line = await leave(left, logs)
    assert index.searches == 0

    model.go_on.set()
    await begin_search(client, "stayed")

    assert line["request_id"] == "left"
    assert model.texts == ["left", "stayed"]
    assert index.searches == 1


async def test_a_search_that_waits_for_the_model_gives_up_its_turn(
    client: RetrievalClient, model: HeldModel, index: EmptyIndex, logs: list[EventDict]
) -> None:
    """A queue of searches that nobody wants any more would keep out those that somebody waits for."""
    first = begin_search(client, "first")
    await asyncio.to_thread(model.begun.acquire)
    second, third = begin_search(client, "second"), begin_search(client, "third")
    while model.embedder._queries.waiting < 2:
        await asyncio.sleep(0.01)
    await leave(second, logs)
    model.go_on.set()
    await asyncio.gather(first, third)

    assert model.texts == ["first", "third"]
    assert index.searches == 2


async def test_more_searches_than_the_service_takes_are_refused_at_once(
    client: RetrievalClient, model: HeldModel, index: EmptyIndex
) -> None:
    """With what to do; those it has are answered, together, and so are later ones."""
    held = [begin_search(client, "first")]
    await asyncio.to_thread(model.begun.acquire)
    held += [begin_search(client, f"question {n}") for n in range(1, PERMITS)]
    while model.embedder._queries.waiting < PERMITS - 1:
        await asyncio.sleep(0.01)
    with pytest.raises(DependencyUnavailable) as refused:
        await begin_search(client, "one too many")
    model.go_on.set()
    await asyncio.gather(*held)
    await begin_search(client, "a later one")

    assert (refused.value.error_code, refused.value.retry_after) == ("server_busy", BUSY_RETRY_AFTER_S)
    assert model.passes == [["first"], sorted(f"question {n}" for n in range(1, PERMITS)), ["a later one"]]
    assert index.searches == PERMITS + 1


async def test_searches_are_counted_by_what_comes_of_them(
    client: RetrievalClient, model: HeldModel, logs: list[EventDict], index: EmptyIndex
) -> None:
    """Answered, left, refused, failed: each once; only one that was answered has durations."""
    async with httpx.AsyncClient(base_url=client._url) as prometheus:
        held = [begin_search(client, f"question {n}") for n in range(PERMITS)]
        await asyncio.to_thread(model.begun.acquire)
        samples = await scrape_until(prometheus, lambda told: told["pagewire_searches_in_progress"] == PERMITS)
        assert pick(samples, "pagewire_searches_total") == {}
        with pytest.raises(DependencyUnavailable):
            await begin_search(client, "one too many")
        await leave(held.pop(), logs)
        model.go_on.set()
        await asyncio.gather(*held)
        index.broken = True
        with pytest.raises(DependencyUnavailable):
            await begin_search(client, "in vain")
        samples = await scrape_until(prometheus, lambda told: told["pagewire_searches_in_progress"] == 0)

    assert pick(samples, "pagewire_searches_total") == {"none": PERMITS - 1, "left": 1, "busy": 1, "failed": 1}
    answered = dict.fromkeys(("embed", "search", "whole"), PERMITS - 1)
    assert pick(samples, "pagewire_search_seconds_count") == answered
    assert pick(samples, "pagewire_reranker_info") == {"disabled off": 1}


async def test_a_question_is_read_as_pages_are(client: RetrievalClient, model: HeldModel) -> None:
    """What is copied has hyphens that nobody sees, spaces without width, accents apart; the text of pages has none."""
    model.go_on.set()
    copied = "\ufeffWie lang ist die Ku\u0308ndi\u00adgungs\u200bfrist?"
    await client.search(SearchRequest(tenant="default", query=copied))

    assert model.texts == ["Wie lang ist die Kündigungsfrist?"]


async def test_the_id_of_a_request_is_passed_on(
    client: RetrievalClient, model: HeldModel, logs: list[EventDict]
) -> None:
    """What both services log about a question can be found by it."""
    model.go_on.set()
    await begin_search(client, "some-id")
    await client.search(SearchRequest(tenant="default", query="outside of any request"))

    ids = [line["request_id"] for line in logs if line["event"] == "search_answered"]
    assert ids[0] == "some-id"
    assert len(ids) == 2
    assert ids[1] != "some-id"


async def test_the_service_tells_what_documents_may_say(client: RetrievalClient, model: HeldModel) -> None:
    """For the terms of the question that its glossary knows."""
    model.go_on.set()
    found = await client.search(SearchRequest(tenant="t", query="What was the Capex of 2018?"))

    assert found.terms == [GlossaryTerm(term="Capex", phrases=["purchases of property", "additions"])]
    assert (await client.search(SearchRequest(tenant="t", query="What was it?"))).terms == []


async def test_the_service_says_how_it_searches(client: RetrievalClient, model: HeldModel) -> None:
    """As its results do; one that cannot be reached says nothing, at once."""
    model.go_on.set()
    fingerprint = await client.read_fingerprint()
    assert fingerprint
    assert (await client.search(SearchRequest(tenant="t", query="anything"))).fingerprint == fingerprint

    away = RetrievalClient("http://127.0.0.1:9", timeout_s=30)
    assert await away.read_fingerprint() is None
    await away.close()
