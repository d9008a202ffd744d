"""The trace of a request, over real HTTP: from whoever asks to the retrieval, in logs, answers and errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from shared.contracts.search import RerankerState, SearchResponse, SearchTimings
from shared.request_id import RequestIdMiddleware
from tests.canned_search import make_passage
from tests.http_server import serve_app
from tests.integration.conftest import ask_stream
from tests.llm_server import LlmServer, Scenario, at_once
from tests.patience import PATIENT_S

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = {"traceparent": f"00-{ID}-00f067aa0ba902b7-01"}


class Retrieval:
    """A retrieval service that notes what headers it gets."""

    def __init__(self, document_id: str) -> None:
        self.headers: list[httpx.Headers] = []
        self.app = FastAPI()
        self.app.add_middleware(RequestIdMiddleware)

        @self.app.post("/search")
        async def search(request: Request) -> SearchResponse:
            self.headers.append(httpx.Headers(request.headers.raw))
            return SearchResponse(
                passages=[make_passage(document_id, 0)],
                timings_ms=SearchTimings(embed=1, search=2, rerank=3, total=6),
                reranker=RerankerState(status="on", model="m"),
            )


@pytest.fixture
def retrieval(ready_document: str) -> Retrieval:
    return Retrieval(ready_document)


@pytest.fixture
async def client(settings: GatewaySettings, llm: LlmServer, retrieval: Retrieval) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that asks a retrieval service over HTTP; its provider is well, and groq's is not."""
    chosen = {
        "openai_api_key": SecretStr("sk-ours"),
        "openai_base_url": llm.urls["openai"],
        "openai_model": str(Scenario.OK),
        "groq_api_key": SecretStr("sk-ours"),
        "groq_base_url": llm.urls["groq"],
        "groq_model": at_once(Scenario.ERROR_EVENT),
        "llm_idle_timeout_s": 30,
    }
    configured = settings.model_copy(update=chosen)
    async with serve_app(retrieval.app) as behind:

        def open_it() -> AbstractAsyncContextManager[GatewayDependencies]:
            return open_gateway(configured, RetrievalClient(behind.url, timeout_s=PATIENT_S))

        app = await asyncio.to_thread(create_app, open_it, configured)
        async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
            yield client


async def test_a_trace_goes_through(
    client: httpx.AsyncClient, retrieval: Retrieval, llm: LlmServer, caplog: pytest.LogCaptureFixture
) -> None:
    """To the retrieval as the same trace of another caller, into the log and the answer; to no provider."""
    client.headers.update(TRACE)
    end = (await ask_stream(client))[-1].data

    assert end["trace_id"] == ID
    _, trace_id, caller, flags = retrieval.headers[0]["traceparent"].split("-")
    assert (trace_id, flags) == (ID, "01")
    assert caller != "00f067aa0ba902b7"
    assert "traceparent" not in llm.requests[0].headers
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["trace_id"] for line in logged if line["event"] == "question_answered"] == [ID]
    timings = end["timings_ms"]
    assert (timings["embed"], timings["search"], timings["rerank"], timings["retrieval"]) == (1, 2, 3, 6)


async def test_errors_name_the_trace(client: httpx.AsyncClient) -> None:
    """In all forms that they have."""
    refused = await client.post("/query", json={"question": ""}, headers=TRACE)
    assert refused.json()["error"]["trace_id"] == ID
    other_form = await client.post("/v1/chat/completions", json={}, headers=TRACE)
    assert other_form.json()["error"]["trace_id"] == ID
    failed = await client.post("/query", json={"question": "How much?", "provider": "groq"}, headers=TRACE)
    assert (failed.status_code, failed.json()["error"]["trace_id"]) == (502, ID)
    client.headers.update(TRACE)
    events = await ask_stream(client, provider="groq")
    assert (events[-1].event, events[-1].data["error"]["trace_id"]) == ("error", ID)


async def test_without_a_trace_one_begins(client: httpx.AsyncClient, retrieval: Retrieval) -> None:
    """Another one for each question."""
    ids = [(await ask_stream(client))[-1].data["trace_id"] for _ in range(2)]
    assert len({*ids}) == 2
    assert [headers["traceparent"].split("-")[1] for headers in retrieval.headers] == ids
