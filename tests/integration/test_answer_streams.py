"""`/query/stream` and `/query` over real HTTP, with each provider's real SDK against a server of its wire format."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.redis_client import connect_redis
from tests.canned_search import CannedSearch, make_passage
from tests.http_server import RunningServer, serve_app
from tests.integration.conftest import StreamEvent, ask_stream, read_stream
from tests.llm_server import (
    INPUT_TOKENS,
    MANY_TOKENS,
    SECRET,
    TOKENS,
    LlmServer,
    Scenario,
    choose_idle_timeout_s,
    end_with,
    find_refusing_urls,
)
from tests.patience import PATIENT_S

PROVIDERS = ("openai", "anthropic", "groq")


OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def servers() -> list[RunningServer]:
    """The gateways that `open_client` started, the newest last."""
    return []


@pytest.fixture
def open_client(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer, servers: list[RunningServer]
) -> OpenClient:
    """Opens a gateway whose three providers all play a scenario, and a client to it."""

    @asynccontextmanager
    async def open_it(scenario: str, *, refused: bool = False) -> AsyncIterator[httpx.AsyncClient]:
        urls = find_refusing_urls() if refused else llm.urls
        chosen: dict[str, object] = {}
        for provider in PROVIDERS:
            chosen[f"{provider}_api_key"] = SecretStr("sk-ours")
            chosen[f"{provider}_base_url"] = urls[provider]
            chosen[f"{provider}_model"] = str(scenario)
        configured = settings.model_copy(update=chosen)
        app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search))
        async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
            servers.append(server)
            yield client

    return open_it


def check_form(events: list[StreamEvent]) -> StreamEvent:
    """What holds for every stream: tokens, then exactly one terminal event, last. Returns that one."""
    names = [event.event for event in events]
    assert names[-1] in ("sources", "error")
    assert set(names[:-1]) <= {"token", "passages"}
    assert SECRET not in str(events)
    return events[-1]


def join_tokens(events: list[StreamEvent]) -> str:
    return "".join(event.data["token"] for event in events if event.event == "token")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("scenario", [Scenario.OK, Scenario.SPLIT_CHARACTER, Scenario.MANY_TOKENS])
async def test_every_token_arrives_in_order_and_sources_come_last(
    open_client: OpenClient, provider: str, scenario: Scenario
) -> None:
    """The concatenation of the tokens is the model's answer to the last character; usage is reported."""
    async with open_client(scenario) as client:
        events = await ask_stream(client, provider=provider)

    end = check_form(events)
    assert end.event == "sources"
    assert join_tokens(events) == "".join(MANY_TOKENS if scenario is Scenario.MANY_TOKENS else TOKENS)
    # 1 and 2 are the run's beginning and its passages, which nobody has asked for
    assert [event.id for event in events] == [str(n) for n in range(3, len(events) + 3)]
    assert end.data["finish_reason"] == "stop"
    assert end.data["usage"]["provider"] == provider
    assert end.data["usage"]["input_tokens"] == INPUT_TOKENS
    assert [source["n"] for source in end.data["sources"]] == [1, 2, 3]
    assert [source["page"] for source in end.data["sources"]] == [1, 2, 3]
    cited = [source["n"] for source in end.data["sources"] if source["cited"]]
    assert cited == ([] if scenario is Scenario.MANY_TOKENS else [1])


ENDS = [
    # provider, its word, ours
    ("openai", "length", "length"),
    ("openai", "content_filter", "filtered"),
    ("groq", "length", "length"),
    ("anthropic", "max_tokens", "length"),
    ("anthropic", "refusal", "filtered"),
]


@pytest.mark.parametrize(("provider", "word", "meaning"), ENDS)
async def test_an_answer_that_was_cut_off_says_so(
    open_client: OpenClient, provider: str, word: str, meaning: str
) -> None:
    """What the model wrote arrives, and nobody can take it for the whole answer."""
    async with open_client(end_with(word, tokens=3)) as client:
        events = await ask_stream(client, provider=provider)
        whole = await client.post("/query", json={"question": "How much?", "provider": provider})

    assert join_tokens(events) == whole.json()["answer"] == "".join(TOKENS[:3])
    assert check_form(events).data["finish_reason"] == whole.json()["finish_reason"] == meaning


@pytest.mark.parametrize(
    ("provider", "word"), [*(ends[:2] for ends in ENDS), ("openai", "stop"), ("openai", "tool_calls")]
)
async def test_an_answer_without_any_text_is_an_error(open_client: OpenClient, provider: str, word: str) -> None:
    """The model has thought and written nothing: the client gets a reason and what to do, not an empty answer."""
    async with open_client(end_with(word)) as client:
        events = await ask_stream(client, provider=provider)
        whole = await client.post("/query", json={"question": "How much?", "provider": provider})

    assert [event.event for event in events] == ["error"]
    assert events[0].data["error"]["code"] == whole.json()["error"]["code"] == "llm_empty"
    assert whole.status_code == 502
    about_limit = word in ("length", "max_tokens")
    assert ("PAGEWIRE_LLM_MAX_OUTPUT_TOKENS" in events[0].data["error"]["message"]) == about_limit


FAILURES = [
    # scenario, code, whether tokens come before it
    (Scenario.STATUS_401, "llm_rejected", False),
    (Scenario.STATUS_429, "llm_busy", False),
    (Scenario.STATUS_500, "llm_unavailable", False),
    (Scenario.STALL_BEFORE_TEXT, "llm_timeout", False),
    (Scenario.ERROR_EVENT, None, True),
    (Scenario.OVERLOADED_EVENT, None, None),
    (Scenario.RESET, None, True),
    (Scenario.CUT_OFF, "llm_incomplete", True),
    (Scenario.STALL_MIDWAY, "llm_timeout", True),
    (Scenario.BROKEN_JSON, None, None),
    (Scenario.GIANT_LINE, None, None),
]


@pytest.mark.parametrize(("scenario", "code", "partial"), FAILURES)
async def test_a_provider_that_fails_is_one_error_event(
    open_client: OpenClient, settings: GatewaySettings, scenario: Scenario, code: str | None, partial: bool | None
) -> None:
    """However a provider fails, the client gets what came before it and exactly one error, last. All three at once."""
    settings.llm_idle_timeout_s = choose_idle_timeout_s(scenario)
    async with open_client(scenario) as client:
        answers = await asyncio.gather(*(ask_stream(client, provider=provider) for provider in PROVIDERS))

    for provider, events in zip(PROVIDERS, answers, strict=True):
        end = check_form(events)
        assert end.event == "error", provider
        error = end.data["error"]
        assert error["message"], provider
        assert error["partial"] == any(event.event == "token" for event in events), provider
        assert error["code"] == (code or error["code"]), provider
        assert partial in (None, error["partial"]), provider


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_unreachable_provider_is_one_error_event(open_client: OpenClient, provider: str) -> None:
    """Nobody listens: a retryable error, no token."""
    async with open_client(Scenario.OK, refused=True) as client:
        events = await ask_stream(client, provider=provider)

    assert [event.event for event in events] == ["error"]
    assert events[0].data["error"] == {
        "code": "llm_unavailable",
        "message": events[0].data["error"]["message"],
        "retryable": True,
        "partial": False,
        "trace_id": events[0].data["error"]["trace_id"],
    }


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_client_that_leaves_closes_the_provider(open_client: OpenClient, llm: LlmServer, provider: str) -> None:
    """Tokens that nobody reads are not generated: the upstream connection ends when the client's does."""
    async with open_client(Scenario.ENDLESS) as client:
        body = {"question": "How much?", "provider": provider}
        async with client.stream("POST", "/query/stream", json=body) as response:
            async for event in read_stream(response):
                assert event.event == "token"
                break
        request = await llm.wait_for_request()
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_client_that_leaves_a_silent_provider_closes_it(
    open_client: OpenClient, llm: LlmServer, provider: str, settings: GatewaySettings
) -> None:
    """Also while nothing flows: before the provider's idle timeout has any say."""
    async with open_client(Scenario.STALL_MIDWAY) as client:
        body = {"question": "How much?", "provider": provider}
        async with client.stream("POST", "/query/stream", json=body) as response:
            async for _ in read_stream(response):
                break
        request = await llm.wait_for_request()
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_client_that_leaves_a_whole_answer_closes_the_provider(
    open_client: OpenClient, llm: LlmServer, provider: str
) -> None:
    """Also without a stream: nobody pays for an answer that nobody waits for."""
    async with open_client(Scenario.ENDLESS) as client:
        asking = asyncio.create_task(client.post("/query", json={"question": "How much?", "provider": provider}))
        request = await llm.wait_for_request()
        await request.started.wait()
        asking.cancel()
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)


async def test_a_server_that_stops_says_so_in_every_stream(
    open_client: OpenClient, settings: GatewaySettings, llm: LlmServer, servers: list[RunningServer]
) -> None:
    """A stream that is open when the server stops ends with a retryable error, also while the provider is silent."""
    events: list[StreamEvent] = []

    async def listen(client: httpx.AsyncClient) -> None:
        body = {"question": "How much?", "provider": "openai"}
        async with client.stream("POST", "/query/stream", json=body) as response:
            events.extend([event async for event in read_stream(response)])

    async with open_client(Scenario.STALL_MIDWAY) as client:
        listener = asyncio.create_task(listen(client))
        request = await llm.wait_for_request()
        await request.started.wait()
        servers[-1].begin_stop()
        await asyncio.wait_for(listener, PATIENT_S)

    assert check_form(events).data["error"]["code"] == "server_shutdown"
    assert events[-1].data["error"]["retryable"] is True


async def test_a_server_that_stops_says_so_in_a_whole_answer(
    open_client: OpenClient, settings: GatewaySettings, llm: LlmServer, servers: list[RunningServer]
) -> None:
    """A question without a stream that outlasts the grace period is a retryable 503 with our body, and no traceback."""
    async with open_client(Scenario.STALL_MIDWAY) as client:
        servers[-1].server.config.timeout_graceful_shutdown = 1
        asking = asyncio.create_task(client.post("/query", json={"question": "How much?", "provider": "openai"}))
        request = await llm.wait_for_request()
        await request.started.wait()
        servers[-1].begin_stop()
        response = await asyncio.wait_for(asking, PATIENT_S)
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (503, "server_shutdown")
    assert error["request_id"] == response.headers["x-request-id"]
    assert int(response.headers["retry-after"]) > 0


async def test_a_client_that_reads_nothing_is_hung_up_on_quietly(
    open_client: OpenClient, settings: GatewaySettings, llm: LlmServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs one line in the log, not a stack trace, and the provider is left at once."""
    settings.send_timeout_s = 0.3
    settings.max_answer_characters = 10**9
    llm.script = (b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % (b"x" * 8000),) * 1000
    async with open_client(Scenario.OK) as client:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, (client.base_url.host, client.base_url.port))
            body = b'{"question": "How much?", "provider": "openai"}'
            head = b"POST /query/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            await loop.sock_sendall(slow, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            request = await llm.wait_for_request()
            await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)

    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["event"] for line in logged if line["event"] == "client_too_slow"] == ["client_too_slow"]
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_passages_come_first_when_asked_for(open_client: OpenClient) -> None:
    """`include: ["passages"]` shows the passages before the first token, not yet cited."""
    async with open_client(Scenario.OK) as client:
        events = await ask_stream(client, provider="openai", include=["passages"], top_k=2)

    assert [event.event for event in events[:2]] == ["passages", "token"]
    assert [passage["cited"] for passage in events[0].data["passages"]] == [False, False]
    assert check_form(events).event == "sources"


async def test_the_end_says_whether_a_citation_is_supported(open_client: OpenClient, search: CannedSearch) -> None:
    """With the places of what was looked up: in the answer, and in the passage's text as the source shows it."""
    async with open_client(Scenario.OK) as client:
        streamed = await ask_stream(client, provider="openai")
        response = await client.post("/query", json={"question": "How much?", "provider": "openai"})
        search.passages = [make_passage("doc", n).model_copy(update={"text": "It was 388.3 billion."}) for n in (0, 1)]
        wrong = check_form(await ask_stream(client, provider="openai")).data

    for end, answer in (
        (check_form(streamed).data, join_tokens(streamed)),
        (response.json(), response.json()["answer"]),
    ):
        (citation,) = end["citations"]
        (span,) = citation["evidence"]
        assert (citation["n"], citation["supported"], citation["missing"]) == (1, True, [])
        assert end["sources"][0]["text"][span["start"] : span["end"]] == "383.3 billion"
        assert answer[citation["start"] : citation["end"]] == "[1]"
        assert [source["supported"] for source in end["sources"]] == [True, None, None]
    assert wrong["citations"][0]["supported"] is False
    assert [source["supported"] for source in wrong["sources"]] == [False, None]


@pytest.mark.parametrize("asked", [True, False])
async def test_an_unsupported_citation_is_removed_on_demand(
    open_client: OpenClient, search: CannedSearch, settings: GatewaySettings, asked: bool
) -> None:
    """Of one question, or of all whose question does not say; the rest of the answer stays."""
    search.passages = [make_passage("doc", 0).model_copy(update={"text": "It was 388.3 billion."})]
    if not asked:
        settings.unsupported_citations = "remove"
    async with open_client(Scenario.OK) as client:
        events = await ask_stream(client, provider="openai", **({"unsupported_citations": "remove"} if asked else {}))
        kept = await ask_stream(client, provider="openai", unsupported_citations="keep")
        chat = {"messages": [{"role": "user", "content": "How much?"}], "unsupported_citations": "remove"}
        other = await client.post("/v1/chat/completions", json=chat)

    assert join_tokens(events) == "".join(TOKENS).replace(" [1]", "")
    assert check_form(events).data["citations"] == []
    assert [source["cited"] for source in events[-1].data["sources"]] == [False]
    assert join_tokens(kept) == "".join(TOKENS)
    assert "[1]" not in other.json()["choices"][0]["message"]["content"]


async def test_answers_that_outlive_their_clients_are_bounded(
    open_client: OpenClient, settings: GatewaySettings, llm: LlmServer, redis_url: str
) -> None:
    """One too many is refused in every dialect, and nothing of it has begun; what ends makes room."""
    settings.max_continued_runs = 2
    body = {"question": "How much?", "provider": "openai", "on_disconnect": "continue"}
    messages = [{"role": "user", "content": "How much?"}]
    parts = [{"role": "user", "parts": [{"type": "text", "text": "How much?"}]}]
    routes = {
        "/query": body,
        "/query/stream": body,
        "/v1/chat/completions": {"messages": messages, "stream": True, "on_disconnect": "continue"},
        "/v1/responses": {"input": "How much?", "on_disconnect": "continue"},
        "/api/chat": {"id": "c", "messages": parts, "on_disconnect": "continue"},
    }
    async with open_client(Scenario.STALL_MIDWAY) as client, connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        for number in range(2):
            async with client.stream("POST", "/query/stream", json=body) as response:
                run_id = response.headers["X-Run-Id"]
            await llm.wait_for_request(number)
        refused = {path: await client.post(path, json=asked) for path, asked in routes.items()}
        keys = await redis.keys("*")
        async with client.stream("POST", "/query/stream", json={**body, "on_disconnect": "cancel"}) as response:
            assert response.status_code == 200
        assert (await client.delete(f"/runs/{run_id}")).status_code == 204
        async with client.stream("POST", "/query/stream", json=body) as response:
            assert response.status_code == 200

    for path, response in refused.items():
        assert (response.status_code, response.json()["error"]["code"]) == (503, "too_many_runs"), path
        assert int(response.headers["Retry-After"]) > 0
    assert len({key.split(":")[3] for key in keys if ":run:" in key}) == 2
    assert [key for key in keys if ":chat:" in key] == []


async def test_a_search_that_fails_is_one_error_event(open_client: OpenClient, search: CannedSearch) -> None:
    """No passages, no call to the provider, one error."""
    search.broken = True
    async with open_client(Scenario.OK) as client:
        events = await ask_stream(client, provider="openai")
        whole = await client.post("/query", json={"question": "How much?"})

    assert [event.event for event in events] == ["error"]
    assert events[0].data["error"]["code"] == "search_unavailable"
    assert (whole.status_code, whole.json()["error"]["code"]) == (503, "search_unavailable")


async def test_no_passages_means_not_found_without_a_provider(
    open_client: OpenClient, search: CannedSearch, llm: LlmServer
) -> None:
    """Nothing was retrieved: the fixed answer, no sources, and no money spent."""
    search.passages = []
    async with open_client(Scenario.OK) as client:
        events = await ask_stream(client, provider="openai")

    assert join_tokens(events) == NOT_FOUND_ANSWER
    assert check_form(events).data["sources"] == []
    assert llm.requests == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_whole_answer_in_one_call(open_client: OpenClient, provider: str) -> None:
    """`/query` gives the same answer, sources and usage without a stream."""
    async with open_client(Scenario.OK) as client:
        response = await client.post("/query", json={"question": "How much?", "provider": provider})

    body = response.json()
    assert response.status_code == 200
    assert body["answer"] == "".join(TOKENS).strip()
    assert body["usage"]["input_tokens"] == INPUT_TOKENS
    assert [source["cited"] for source in body["sources"]] == [True, False, False]
    assert body["run_id"].startswith("run_")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [(Scenario.STATUS_401, 502, "llm_rejected"), (Scenario.STATUS_429, 503, "llm_busy")],
)
async def test_a_provider_that_fails_is_a_status_without_a_stream(
    open_client: OpenClient, provider: str, scenario: Scenario, status: int, code: str
) -> None:
    """`/query` answers with the error body, without what the provider said."""
    async with open_client(scenario) as client:
        response = await client.post("/query", json={"question": "How much?", "provider": provider})

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert SECRET not in response.text


async def test_the_headers_let_streams_through_proxies(open_client: OpenClient) -> None:
    """Event-stream, not cached, not buffered by nginx, with the request's id."""
    async with (
        open_client(Scenario.OK) as client,
        client.stream("POST", "/query/stream", json={"question": "How much?"}, headers={"X-Request-ID": "my-id"}) as r,
    ):
        await r.aread()

    assert r.headers["content-type"].startswith("text/event-stream")
    assert r.headers["cache-control"] == "no-store"
    assert r.headers["x-accel-buffering"] == "no"
    assert r.headers["x-request-id"] == "my-id"


async def test_the_form_of_the_wire(open_client: OpenClient) -> None:
    """`event:`, `id:` and one `data:` line of JSON, ended by a blank line: what simple clients can split."""
    async with open_client(Scenario.OK) as client:
        response = await client.post("/query/stream", json={"question": "How much?", "provider": "openai"})

    first, second, *_ = response.text.split("\n\n")
    assert first == 'event: token\nid: 3\ndata: {"token": "Net"}'
    assert second == 'event: token\nid: 4\ndata: {"token": " sales"}'
    assert response.text.endswith("}\n\n")


async def test_a_silent_provider_is_bridged_by_heartbeats(open_client: OpenClient, settings: GatewaySettings) -> None:
    """While no token comes, comments do: proxies cut connections that say nothing."""
    settings.heartbeat_s = 1
    settings.llm_idle_timeout_s = 1.5
    async with open_client(Scenario.STALL_BEFORE_TEXT) as client:
        response = await client.post("/query/stream", json={"question": "How much?", "provider": "openai"})

    assert ": ping\n\n" in response.text
    assert "event: error" in response.text
