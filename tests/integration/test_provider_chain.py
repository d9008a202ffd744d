"""The chain of providers over real HTTP, with the real SDKs against a server of their wire formats."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.main import create_app, open_gateway
from services.gateway.providers.breaker import FAILURES_TO_OPEN
from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.integration.conftest import ask_stream, read_stream
from tests.integration.test_answer_streams import check_form, join_tokens
from tests.llm_server import (
    MANY_TOKENS,
    RETRY_AFTER_S,
    SECRET,
    TOKENS,
    LlmServer,
    Scenario,
    at_once,
    choose_idle_timeout_s,
)
from tests.patience import PATIENT_S

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def open_client(settings: GatewaySettings, ready_document: str, llm: LlmServer) -> OpenClient:
    """Opens a gateway whose chain is anthropic, openai, groq, each of which plays its scenario."""

    @asynccontextmanager
    async def open_it(
        anthropic: str, openai: str = Scenario.OK, groq: str = Scenario.OK, **more: object
    ) -> AsyncIterator[httpx.AsyncClient]:
        chosen: dict[str, object] = {"llm_chain": "anthropic, openai, groq", **more}
        for provider, scenario in (("anthropic", anthropic), ("openai", openai), ("groq", groq)):
            chosen[f"{provider}_api_key"] = SecretStr("sk-ours")
            chosen[f"{provider}_base_url"] = llm.urls[provider]
            chosen[f"{provider}_model"] = str(scenario)
        configured = settings.model_copy(update=chosen)
        search = CannedSearch(ready_document, count=3)
        app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search))
        async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
            yield client

    return open_it


def list_asked(llm: LlmServer) -> list[str]:
    return [request.provider for request in llm.requests]


@pytest.mark.parametrize(
    "scenario", [Scenario.STATUS_429, Scenario.STATUS_529, Scenario.STATUS_401, Scenario.STALL_BEFORE_TEXT]
)
async def test_the_next_answers_and_usage_says_so(open_client: OpenClient, llm: LlmServer, scenario: Scenario) -> None:
    """The client sees an answer like any other."""
    async with open_client(scenario, llm_idle_timeout_s=choose_idle_timeout_s(scenario)) as client:
        events = await ask_stream(client)

    end = check_form(events)
    assert join_tokens(events) == "".join(TOKENS)
    assert (end.event, end.data["usage"]["provider"], end.data["usage"]["model"]) == ("sources", "openai", "ok")
    assert list_asked(llm) == ["anthropic", "openai"]


async def test_a_named_provider_is_asked_alone(open_client: OpenClient, llm: LlmServer) -> None:
    """Who names one wants that one, and gets its error."""
    async with open_client(Scenario.STATUS_500) as client:
        events = await ask_stream(client, provider="anthropic")

    assert [event.event for event in events] == ["error"]
    assert "anthropic" in events[0].data["error"]["message"]
    assert list_asked(llm) == ["anthropic"]


async def test_after_the_first_token_nobody_else_is_asked(open_client: OpenClient, llm: LlmServer) -> None:
    """Tokens of the one and then of the other would be no answer: one error, `partial`."""
    async with open_client(Scenario.RESET) as client:
        events = await ask_stream(client)

    error = check_form(events).data["error"]
    assert (error["code"], error["partial"], error["retryable"]) == ("llm_interrupted", True, True)
    assert list_asked(llm) == ["anthropic"]


async def test_a_stop_names_who_was_answering(open_client: OpenClient, llm: LlmServer) -> None:
    """Also where the provider never came to say so itself."""
    async with open_client(Scenario.STATUS_500, openai=Scenario.STALL_MIDWAY) as client:
        body = {"question": "How much?"}
        async with client.stream("POST", "/query/stream", json=body) as response:
            stream = read_stream(response)
            await anext(stream)
            await client.delete(f"/runs/{response.headers['X-Run-Id']}")
            events = [event async for event in stream]

    assert (events[-1].data["finish_reason"], events[-1].data["usage"]["provider"]) == ("stopped", "openai")


async def test_all_that_fail_are_one_error_with_the_shortest_wait(open_client: OpenClient, llm: LlmServer) -> None:
    """With a status and Retry-After where there is no stream; without what the providers said."""
    async with open_client(Scenario.STATUS_401, Scenario.STATUS_429, Scenario.STATUS_500) as client:
        response = await client.post("/query", json={"question": "How much?"})
        again = await client.post("/query", json={"question": "How much?"})

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (503, "llm_busy")
    assert response.headers["retry-after"] == str(RETRY_AFTER_S)
    codes = {"anthropic": "llm_rejected", "openai": "llm_busy", "groq": "llm_unavailable"}
    assert error["details"] == {"provider": "openai", "upstream_status": 429, "chain": codes}
    assert SECRET not in response.text + again.text
    assert 1 <= int(again.headers["retry-after"]) <= RETRY_AFTER_S
    assert list_asked(llm) == ["anthropic", "openai", "groq", "anthropic", "groq"], "asked before Retry-After"


async def test_a_hedge_closes_the_silent_ones_connection_at_the_first_token(
    open_client: OpenClient, llm: LlmServer
) -> None:
    """While the answer of the other still comes: nobody pays for two."""
    llm.tokens, llm.delay_s = MANY_TOKENS, 0.01
    async with open_client(Scenario.STALL_BEFORE_HEADERS, llm_hedge_ms=50) as client:
        async with client.stream("POST", "/query/stream", json={"question": "How much?"}) as response:
            stream = read_stream(response)
            assert (await anext(stream)).event == "token"
            silent = await llm.wait_for_request(0)
            await asyncio.wait_for(silent.disconnected.wait(), PATIENT_S)
            assert not llm.requests[1].disconnected.is_set()
        await asyncio.wait_for(llm.requests[1].disconnected.wait(), PATIENT_S)

    assert list_asked(llm) == ["anthropic", "openai"]


async def test_a_client_that_leaves_closes_all_that_were_asked(open_client: OpenClient, llm: LlmServer) -> None:
    """Also while none has said a word."""
    silent = {"anthropic": Scenario.STALL_BEFORE_HEADERS, "openai": Scenario.STALL_BEFORE_TEXT}
    async with open_client(**silent, llm_hedge_ms=20) as client:
        asking = asyncio.create_task(client.post("/query", json={"question": "How much?"}))
        await llm.wait_for_request(1)
        asking.cancel()
        for request in llm.requests:
            await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)

    assert list_asked(llm) == ["anthropic", "openai"]


@pytest.mark.parametrize("scenario", [Scenario.STATUS_400, at_once(Scenario.TOO_LONG_EVENT)])
async def test_questions_that_are_too_long_open_no_circuit(
    open_client: OpenClient, llm: LlmServer, scenario: str
) -> None:
    """With a status or within the stream: each is asked of the first and answered by the next."""
    async with open_client(scenario) as client:
        for _ in range(FAILURES_TO_OPEN + 1):
            assert check_form(await ask_stream(client)).data["usage"]["provider"] == "openai"
        parts = (await client.get("/health/ready")).json()["parts"]

    assert list_asked(llm) == ["anthropic", "openai"] * (FAILURES_TO_OPEN + 1)
    assert parts["llm.anthropic"] == "ok"


async def test_the_last_resort_is_no_model_at_all(open_client: OpenClient) -> None:
    """With `extractive` at the end a question is answered from the passages though every provider is away."""
    async with open_client(Scenario.STATUS_500, llm_chain="anthropic,extractive") as client:
        events = await ask_stream(client)

    assert check_form(events).data["usage"]["provider"] == "extractive"


async def test_readiness_shows_a_provider_whose_key_is_wrong(open_client: OpenClient) -> None:
    """The chain hides it from those who ask, and must not hide it from those who run it; the service is ready."""
    async with open_client(Scenario.STATUS_401) as client:
        before = await client.get("/health/ready")
        await ask_stream(client)
        after = await client.get("/health/ready")

    assert {key: state for key, state in before.json()["parts"].items() if key.startswith("llm")} == {
        "llm": "anthropic",
        "llm.anthropic": "ok",
        "llm.openai": "ok",
        "llm.groq": "ok",
    }
    assert (after.status_code, after.json()["parts"]["llm.anthropic"]) == (200, "failing: llm_rejected")
