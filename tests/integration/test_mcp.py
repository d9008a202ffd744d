"""`/mcp` with the official client over a real socket: tools, resources, errors, a client that leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from pydantic import SecretStr

from services.gateway.api import mcp_tools
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.identifiers import make_document_id
from shared.registry.port import DocumentRegistry, NewDocument
from tests.gateway_process import run_canned_search
from tests.http_server import RunningServer, serve_app
from tests.llm_server import SECRET, TOKENS, LlmServer, Scenario
from tests.patience import PATIENT_S

MODES = ("legacy", "auto")
"""Protocol revisions with a handshake, and the newest, which has none."""

OpenServers = Callable[..., AbstractAsyncContextManager[list[RunningServer]]]


@pytest.fixture
def open_servers(settings: GatewaySettings, ready_document: str, llm: LlmServer) -> OpenServers:
    """Starts gateways on one Redis, whose provider plays a scenario."""

    @asynccontextmanager
    async def open_them(
        scenario: str = Scenario.OK, *, gateways: int = 1, passages: int = 3, search: str | None = None, **chosen: Any
    ) -> AsyncIterator[list[RunningServer]]:
        chosen |= {"openai_api_key": SecretStr("sk"), "openai_base_url": llm.urls["openai"], "openai_model": scenario}
        configured = settings.model_copy(update=chosen)
        async with AsyncExitStack() as stack:
            canned = await stack.enter_async_context(run_canned_search(ready_document, passages))
            url = search or canned

            def open_one() -> AbstractAsyncContextManager[GatewayDependencies]:
                return open_gateway(configured, RetrievalClient(url, timeout_s=PATIENT_S))

            servers = []
            for _ in range(gateways):
                app = await asyncio.to_thread(create_app, open_one, configured)
                servers.append(await stack.enter_async_context(serve_app(app)))
            yield servers

    return open_them


def connect(url: str, mode: str = "auto") -> Client:
    return Client(f"{url}/mcp", mode=mode, read_timeout_seconds=PATIENT_S)


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """The value that a tool returns; its text is the same."""
    result = await client.call_tool(name, arguments)
    assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]
    assert not result.is_error, result
    value: dict[str, Any] = result.structured_content
    return value


async def fail(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """The error that a tool returns."""
    result = await client.call_tool(name, arguments)
    assert result.is_error
    assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]
    error: dict[str, Any] = result.structured_content["error"]
    return error


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_says_what_it_is_and_does_it(
    open_servers: OpenServers, ready_document: str, mode: str
) -> None:
    """In both kinds of revisions. The client checks each result against the schema that the tool announces."""
    async with open_servers() as (server,), connect(server.url, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await call(client, "search", query="How much?", limit=3)
        answered = await call(client, "ask", question="How much?")
        listed = await call(client, "list_documents")

    assert set(tools) == {"search", "ask", "list_documents"}
    for tool in tools.values():
        assert tool.output_schema is not None
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert len(tool.description or "") > 100
        assert tool.input_schema["additionalProperties"] is False
    assert [passage["page"] for passage in found["passages"]] == [1, 2, 3]
    assert found["passages"][0]["text"] == "Net sales of unit 0 were 383.3 billion euro."
    assert answered["answer"] == "".join(TOKENS).strip()
    assert answered["finish_reason"] == "stop"
    assert [(source["n"], source["page"]) for source in answered["sources"]] == [(1, 1)]
    assert [document["document_id"] for document in listed["documents"]] == [ready_document]
    assert (listed["total"], listed["next_cursor"], listed["next_offset"]) == (1, None, None)


async def test_an_answer_says_which_passages_support_it(open_servers: OpenServers, llm: LlmServer) -> None:
    """And in words what stands in none, so that an assistant can leave it out."""
    llm.tokens = ("Sales were 383.3 billion [1]", " and 12.5 billion [2].", " Fine [3].")
    async with open_servers() as (server,), connect(server.url) as client:
        answered = await call(client, "ask", question="How much?")

    told = [(source["supported"], source["missing"]) for source in answered["sources"]]
    assert told == [(True, []), (False, ["12.5 billion"]), ("unknown", [])]


@pytest.mark.parametrize("mode", MODES)
async def test_documents_are_resources(open_servers: OpenServers, registry: DocumentRegistry, mode: str) -> None:
    """All of them, page by page; each can be read, also under the name that a tool gave it."""
    for n in range(60):
        await registry.create(NewDocument("default", make_document_id(), f"{n}.pdf", "aa", size_bytes=1))
    async with open_servers() as (server,), connect(server.url, mode) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        templates = (await client.list_resource_templates()).resource_templates
        found = await call(client, "search", query="How much?")
        (content,) = (await client.read_resource(found["passages"][0]["uri"])).contents
        with pytest.raises(MCPError) as foreign:
            await client.read_resource("file:///etc/passwd")
        with pytest.raises(MCPError) as unknown:
            await client.read_resource("pagewire://documents/doc_0")
        with pytest.raises(MCPError):
            await client.list_resources(cursor="x")

    uris = {resource.uri for resource in (*first.resources, *second.resources)}
    assert (len(first.resources), len(uris), second.next_cursor) == (50, 61, None)
    assert templates[0].uri_template == "pagewire://documents/{document_id}"
    assert content.uri in uris
    assert json.loads(content.text)["status"] == "ready"  # type: ignore[union-attr]
    assert foreign.value.data["code"] == unknown.value.data["code"] == "not_found"


@pytest.mark.parametrize("mode", MODES)
async def test_any_replica_answers_any_request(open_servers: OpenServers, mode: str) -> None:
    """A client behind a proxy that spreads its requests over two gateways needs no session at either."""
    async with open_servers(gateways=2) as servers:
        turn = 0

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal turn
            turn += 1
            port = int(servers[turn % 2].url.rpartition(":")[2])
            inner, outer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(copy(reader, outer), copy(inner, writer))

        listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with listener, connect(url, mode) as client:
            for _ in range(4):
                assert (await call(client, "list_documents"))["total"] == 1
                asked = [call(client, "ask", question="How much?") for _ in range(3)]  # more than one connection
                assert {answer["finish_reason"] for answer in await asyncio.gather(*asked)} == {"stop"}

    assert turn > 1


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What comes from the one goes to the other, until one is gone."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("mode", MODES)
async def test_an_answer_reports_how_it_grows(
    open_servers: OpenServers, llm: LlmServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a client that wants to know: what was found, then how much is written, ever more."""
    monkeypatch.setattr(mcp_tools, "PROGRESS_S", 0.1)
    reports: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, message))

    llm.delay_s = 0.03
    async with open_servers() as (server,), connect(server.url, mode) as client:
        await client.call_tool("ask", {"question": "How much?"}, progress_callback=note)

    assert reports[0][1] == "3 passages found"
    assert len(reports) >= 3
    assert [progress for progress, _ in reports] == sorted({progress for progress, _ in reports})


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_leaves_closes_the_provider(open_servers: OpenServers, llm: LlmServer, mode: str) -> None:
    """Nobody pays for an answer that nobody waits for."""
    async with open_servers(Scenario.ENDLESS) as (server,):

        async def ask() -> None:
            async with connect(server.url, mode) as client:
                await client.call_tool("ask", {"question": "How much?"})

        asking = asyncio.create_task(ask())
        request = await llm.wait_for_request()
        await request.started.wait()
        asking.cancel()
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("ask", {}, "invalid_value"),
        ("ask", {"question": "a", "qestion": "b"}, "invalid_value"),
        ("ask", {"question": "x" * 4001}, "invalid_value"),
        ("ask", {"question": "a", "document_ids": ["doc_0"]}, "not_found"),
        ("search", {"query": " "}, "invalid_value"),
        ("search", {"query": "a", "limit": 21}, "invalid_value"),
        ("search", {"query": "a", "document_ids": []}, "invalid_value"),
        ("list_documents", {"limit": 0}, "invalid_value"),
    ],
)
async def test_a_call_that_cannot_succeed_is_an_error_with_our_code(
    open_servers: OpenServers, mode: str, name: str, arguments: dict[str, Any], code: str
) -> None:
    """As the tool's result, so that the assistant reads it and mends its call."""
    async with open_servers() as (server,), connect(server.url, mode) as client:
        error = await fail(client, name, **arguments)

    assert (error["code"], error["retryable"]) == (code, False)
    assert error["message"]


async def test_arguments_full_of_faults_are_refused_for_few_of_them(open_servers: OpenServers) -> None:
    """An assistant reads the error: a list of all of them would fill its context."""
    async with open_servers() as (server,), connect(server.url) as client:
        error = await fail(client, "search", query="a", **{f"x{n}": 1 for n in range(20_000)})

    assert error["code"] == "invalid_value"
    assert len(error["message"]) < 1000


@pytest.mark.parametrize(
    ("scenario", "code"), [(Scenario.STATUS_429, "llm_busy"), (Scenario.CUT_OFF, "llm_incomplete")]
)
async def test_a_provider_that_fails_is_a_retryable_error(open_servers: OpenServers, scenario: str, code: str) -> None:
    """Never half an answer that looks whole, and nothing of what the provider said."""
    async with open_servers(scenario) as (server,), connect(server.url) as client:
        error = await fail(client, "ask", question="How much?")

    assert (error["code"], error["retryable"]) == (code, True)
    assert SECRET not in str(error)


async def test_a_search_that_is_away_is_a_retryable_error(open_servers: OpenServers) -> None:
    """For search and for ask."""
    async with open_servers(search="http://127.0.0.1:9") as (server,), connect(server.url) as client:
        errors = [await fail(client, "search", query="a"), await fail(client, "ask", question="a")]

    assert {(error["code"], error["retryable"]) for error in errors} == {("search_unavailable", True)}


async def test_an_empty_find_is_an_answer_without_sources(open_servers: OpenServers) -> None:
    """The fixed sentence."""
    async with open_servers(passages=0) as (server,), connect(server.url) as client:
        assert (await call(client, "search", query="a"))["passages"] == []
        answered = await call(client, "ask", question="a")

    assert (answered["answer"], answered["sources"]) == (NOT_FOUND_ANSWER, [])


async def test_a_tool_that_is_not_there_is_the_protocols_error(open_servers: OpenServers) -> None:
    """There is nothing whose result it could be."""
    async with open_servers() as (server,), connect(server.url) as client:
        with pytest.raises(MCPError):
            await client.call_tool("delete_everything", {})


async def test_a_server_that_stops_says_so(open_servers: OpenServers, settings: Any, llm: LlmServer) -> None:
    """The call that is under way ends with a retryable error, also while the provider is silent."""
    async with open_servers(Scenario.STALL_MIDWAY) as (server,), connect(server.url) as client:
        asking = asyncio.create_task(fail(client, "ask", question="How much?"))
        request = await llm.wait_for_request()
        await request.started.wait()
        server.begin_stop()
        error = await asyncio.wait_for(asking, PATIENT_S)

    assert (error["code"], error["retryable"]) == ("server_shutdown", True)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 403, "foreign_host"),
        ({"Origin": "https://evil.example"}, 403, "foreign_origin"),
    ],
)
async def test_another_website_cannot_use_it(
    open_servers: OpenServers, headers: dict[str, str], status: int, code: str
) -> None:
    """Our check of host and origin holds for this route as for all."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    async with open_servers() as (server,), httpx.AsyncClient(base_url=server.url) as client:
        refused = await client.post("/mcp", json=body, headers={**accept, **headers})
        allowed = await client.post("/mcp", json=body, headers={**accept, "Origin": server.url})
        other = await client.get("/mcp", headers=accept)

    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert allowed.status_code == 200
    assert (other.status_code, other.headers["allow"]) == (405, "POST")


async def test_a_body_that_stalls_is_no_hung_request(
    open_servers: OpenServers, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets the same error as on any route; one that breaks off is no fault of ours, and no error in the log."""
    head = (
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\nContent-Length: 100\r\n\r\n{"
    )
    async with open_servers(body_idle_timeout_s=0.2) as (server,):
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        stalled = await asyncio.wait_for(reader.read(), PATIENT_S)
        writer.close()
        _, leaving = await asyncio.open_connection("127.0.0.1", port)
        leaving.write(head)
        await leaving.drain()
        leaving.close()
        async with asyncio.timeout(PATIENT_S):
            while "client_left" not in caplog.text:
                await asyncio.sleep(0.01)

    assert stalled.startswith(b"HTTP/1.1 408")
    assert b"upload_stalled" in stalled
    assert "ERROR" not in caplog.text
