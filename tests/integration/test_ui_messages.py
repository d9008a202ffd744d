"""`/api/chat` over real HTTP: what the AI SDK's client makes of it, also when it comes back at another replica."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.api.dependencies import get_tenant
from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from shared.contracts.questions import NOT_FOUND_ANSWER
from tests.gateway_process import run_canned_search
from tests.http_server import RunningServer, serve_app
from tests.integration.conftest import read_stream
from tests.llm_server import INPUT_TOKENS, TOKENS, LlmServer, Scenario, choose_idle_timeout_s
from tests.patience import PATIENT_S
from tests.ui_message_stream import HEADER, Message, read_events

STREAM = "/api/chat/chat-1/stream"
ANSWER = "".join(TOKENS)


OpenClients = Callable[..., AbstractAsyncContextManager[list[httpx.AsyncClient]]]


@pytest.fixture
def servers() -> list[RunningServer]:
    """The gateways that `open_clients` started."""
    return []


@pytest.fixture
def open_clients(
    settings: GatewaySettings, ready_document: str, llm: LlmServer, servers: list[RunningServer]
) -> OpenClients:
    """Opens gateways on one Redis, whose provider plays a scenario, and a client to each."""

    @asynccontextmanager
    async def open_them(
        scenario: str = Scenario.OK, *, gateways: int = 1, passages: int = 3
    ) -> AsyncIterator[list[httpx.AsyncClient]]:
        chosen = {"openai_api_key": SecretStr("sk"), "openai_base_url": llm.urls["openai"], "openai_model": scenario}
        configured = settings.model_copy(update=chosen)
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(run_canned_search(ready_document, passages))
            clients = []
            for _ in range(gateways):
                app = await asyncio.to_thread(
                    create_app, lambda: open_gateway(configured, RetrievalClient(url, timeout_s=PATIENT_S))
                )
                servers.append(await stack.enter_async_context(serve_app(app)))
                client = httpx.AsyncClient(base_url=servers[-1].url, timeout=PATIENT_S)
                clients.append(await stack.enter_async_context(client))
            yield clients

    return open_them


def make_body(**options: Any) -> dict[str, Any]:
    """What `DefaultChatTransport` sends, with what an earlier answer looks like in it."""
    earlier = [
        {"type": "step-start"},
        {"type": "text", "text": "an answer", "state": "done"},
        {"type": "source-document", "sourceId": "s", "mediaType": "application/pdf", "title": "t"},
    ]
    messages = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "How little?"}]},
        {"id": "a1", "role": "assistant", "parts": earlier, "metadata": {"run_id": "run_0"}},
        {"id": "u2", "role": "user", "parts": [{"type": "text", "text": "How much?"}]},
    ]
    return {"id": "chat-1", "messages": messages, "trigger": "submit-message", **options}


async def ask(client: httpx.AsyncClient, **options: Any) -> Message:
    """The message that a whole stream makes."""
    async with client.stream("POST", "/api/chat", json=make_body(**options)) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers[HEADER] == "v1"
        message = Message()
        message.read_all([event async for event in read_events(response)])
        assert message.id == response.headers["x-run-id"]
        return message


async def come_back(client: httpx.AsyncClient, message: Message, path: str = STREAM, **headers: str) -> None:
    """Read the rest of a message, or all of it, to its end."""
    message.begin_connection()
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers[HEADER] == "v1"
        message.read_all([event async for event in read_events(response)])


async def leave_early(client: httpx.AsyncClient, message: Message, deltas: int, **options: Any) -> None:
    """Ask with `continue`, and hang up when so many deltas have arrived."""
    body = make_body(on_disconnect="continue", **options)
    async with client.stream("POST", "/api/chat", json=body) as response:
        async for event in read_events(response):
            message.read(event)
            deltas -= '"text-delta"' in event.data
            if deltas == 0:
                return


async def test_an_answer_is_a_message_with_its_sources(open_clients: OpenClients, llm: LlmServer) -> None:
    """The last user message is the question; text, cited sources, usage and timings arrive in the strict schema."""
    async with open_clients() as (client,):
        message = await ask(client, include=["passages"], temperature=0.3)

    assert message.text == ANSWER
    assert message.ends == ["finish"]
    (cited,) = [source["providerMetadata"]["pagewire"] for source in message.sources]
    assert cited["n"] == 1
    assert cited["url"].startswith("http://127.0.0.1:")
    assert cited["url"].endswith(f"/documents/{cited['document_id']}/file#page=1")
    assert len(message.transient[0]["data"]["passages"]) == 3
    assert message.metadata["usage"]["input_tokens"] == 2 * INPUT_TOKENS  # there is a history: it was also rewritten
    assert message.metadata["timings_ms"]["total"] > 0
    assert message.metadata["resumable"] is False
    asked = llm.requests[0].body["messages"][-1]["content"]
    assert asked.index("How little?") < asked.index("an answer") < asked.index("How much?")


@pytest.mark.parametrize(
    ("scenario", "code", "partial"),
    [
        (Scenario.STATUS_429, "llm_busy", False),
        (Scenario.CUT_OFF, "llm_incomplete", True),
        (Scenario.STALL_MIDWAY, "llm_timeout", True),
    ],
)
async def test_a_provider_that_fails_is_one_error_part(
    open_clients: OpenClients, settings: GatewaySettings, scenario: Scenario, code: str, partial: bool
) -> None:
    """With a text for people and a code for programs, behind what had come."""
    settings.llm_idle_timeout_s = choose_idle_timeout_s(scenario)
    async with open_clients(scenario) as (client,):
        message = await ask(client)

    assert message.ends == ["error"]
    assert message.error
    (told,) = message.transient
    assert (told["data"]["code"], told["data"]["partial"], bool(message.text)) == (code, partial, partial)


async def test_an_empty_find_is_an_answer_without_sources(open_clients: OpenClients) -> None:
    """The fixed sentence, and nothing that looks like a source."""
    async with open_clients(passages=0) as (client,):
        message = await ask(client)

    assert (message.text, message.sources, message.ends) == (NOT_FOUND_ANSWER, [], ["finish"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (make_body(provider="zz"), 422, "unknown_provider"),
        (make_body(document_ids=["doc_0"]), 404, "not_found"),
        (make_body(messages=[]), 422, "invalid_value"),
        ({"id": "c"}, 422, "invalid_value"),
        (make_body(messages=[{"role": "user", "parts": [{"type": ["text"], "text": "x"}]}]), 422, "invalid_value"),
        (make_body(id=""), 422, "invalid_value"),
    ],
)
async def test_what_can_be_refused_is_refused_with_a_status(
    open_clients: OpenClients, body: dict[str, Any], status: int, code: str
) -> None:
    """Before the stream begins: our error body, which the SDK's client shows."""
    async with open_clients() as (client,):
        response = await client.post("/api/chat", json=body)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_a_client_that_leaves_closes_the_provider(open_clients: OpenClients, llm: LlmServer) -> None:
    """`stop()` of `useChat` hangs up: without `continue` that ends the answer, and there is none to come back to."""
    async with open_clients(Scenario.ENDLESS) as (client,):
        async with client.stream("POST", "/api/chat", json=make_body()) as response:
            async for event in read_events(response):
                if "text-delta" in event.data:
                    break
        request = await llm.wait_for_request()
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)
        again = await client.get(STREAM)

    assert again.status_code == 204


async def test_a_chat_comes_back_to_its_answer_at_another_replica(open_clients: OpenClients, llm: LlmServer) -> None:
    """A page that was loaded anew gets all of it, as it comes; when it has it, there is nothing to come back to."""
    llm.delay_s = 0.02
    async with open_clients(gateways=2) as (first, second):
        before = await second.get(STREAM)
        left, message = Message(), Message()
        await leave_early(first, left, 3)
        await come_back(second, message)
        after = [await client.get(STREAM) for client in (first, second)]

    assert message.text == ANSWER
    assert message.text.startswith(left.text)
    assert (message.id, len(message.sources)) == (left.id, 1)
    assert message.metadata["resumable"] is True
    assert [response.status_code for response in (before, *after)] == [204, 204, 204]


@pytest.mark.parametrize("deltas", [1, 4, 10])  # the citation and the full stop come as one: 10 are all
async def test_a_message_goes_on_where_it_was_cut(open_clients: OpenClients, llm: LlmServer, deltas: int) -> None:
    """With `Last-Event-ID` a message that is half there gets the rest: the whole text, and no delta twice."""
    llm.delay_s = 0.02
    async with open_clients(gateways=2) as (first, second):
        message = Message()
        await leave_early(first, message, deltas)
        seen = message.text
        await come_back(second, message, **{"Last-Event-ID": message.last_event_id})
        again = await first.get(STREAM, headers={"Last-Event-ID": message.last_event_id})

    assert again.status_code == 204
    assert (seen == ANSWER) == (deltas == 10)
    assert message.text == ANSWER
    assert len(message.sources) == 1


async def test_an_answer_that_ended_while_nobody_read_is_still_there(open_clients: OpenClients) -> None:
    """The client left in the middle and comes back after the end: it gets the answer, once."""
    async with open_clients(gateways=2) as (first, second):
        left, message = Message(), Message()
        await leave_early(first, left, 1)
        async with first.stream("GET", f"/runs/{left.id}/events") as response:  # until it has ended
            assert [event.event async for event in read_stream(response)][-1] == "sources"
        await come_back(second, message)
        again = await first.get(STREAM)

    assert message.text == ANSWER
    assert again.status_code == 204


async def test_who_asks_for_the_head_only_takes_no_answer_away(open_clients: OpenClients, llm: LlmServer) -> None:
    """A probe has not read the answer: the chat comes back to it all the same."""
    llm.delay_s = 0.02
    async with open_clients() as (client,):
        left, message = Message(), Message()
        await leave_early(client, left, 1)
        head = await client.head(STREAM)
        await come_back(client, message)

    assert (head.status_code, head.headers[HEADER], head.content) == (200, "v1", b"")
    assert message.text == ANSWER


async def test_the_newest_question_is_the_one_to_come_back_to(open_clients: OpenClients, llm: LlmServer) -> None:
    """An older answer never comes in its place, and the end of the older does not make the newer forgotten."""
    llm.delay_s = 0.02
    async with open_clients(gateways=2) as (first, second):
        older, newer, message = Message(), Message(), Message()
        await leave_early(first, older, 1)
        async with first.stream("GET", STREAM) as reading:
            await leave_early(second, newer, 1)
            assert [event async for event in read_events(reading)][-1].data == "[DONE]"
        await come_back(first, message)
        await leave_early(first, older, 1)
        ended = await ask(second)
        nothing = await first.get(STREAM)

    assert message.id == newer.id
    assert ended.metadata["resumable"] is False
    assert nothing.status_code == 204


async def test_an_id_of_an_earlier_answer_skips_nothing_of_the_newest(
    open_clients: OpenClients, llm: LlmServer
) -> None:
    """A client knows the chat, and not which of its answers is on its way: it gets the newest from its beginning, until
    that was read."""
    llm.delay_s = 0.02
    async with open_clients(gateways=2) as (first, second):
        older, newer, message = Message(), Message(), Message()
        await leave_early(first, older, 4)
        await leave_early(second, newer, 1)
        headers = {"Last-Event-ID": older.last_event_id}
        await come_back(first, message, **headers)
        again = await first.get(STREAM, headers=headers)

    assert (message.id, message.text) == (newer.id, ANSWER)
    assert again.status_code == 204


async def test_what_is_no_event_of_a_chat_is_refused(open_clients: OpenClients) -> None:
    """A number alone names an event of a run, which a chat has many of."""
    async with open_clients() as (client,):
        response = await client.get(STREAM, headers={"Last-Event-ID": "5"})

    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_value")


async def test_a_stopped_answer_ends_as_aborted(open_clients: OpenClients, llm: LlmServer) -> None:
    """`DELETE /runs/{run_id}` is the stop button of a chat that goes on without its client."""
    llm.steps = asyncio.Semaphore(len(TOKENS) + 1)  # all of what is written first, the question for itself
    async with open_clients(gateways=2) as (first, second):
        message = Message()
        async with first.stream("POST", "/api/chat", json=make_body(on_disconnect="continue")) as response:
            events = read_events(response)
            async for event in events:
                message.read(event)
                if message.text:
                    break
            assert (await second.delete(f"/runs/{message.id}")).status_code == 204
            async for event in events:
                message.read(event)

    assert (message.ends, message.done) == (["abort"], True)
    assert ANSWER.startswith(message.text)
    assert message.metadata["finish_reason"] == "stopped"


async def test_a_server_that_stops_says_so(
    open_clients: OpenClients, settings: GatewaySettings, llm: LlmServer, servers: list[RunningServer]
) -> None:
    """A reader of a run that is written elsewhere gets an error part; the run goes on, and can be come back to."""
    settings.rewrite_timeout_s = 0.2  # the question, too, is written by a model that stalls
    async with open_clients(Scenario.STALL_MIDWAY, gateways=2) as (first, second):
        left, message = Message(), Message()
        await leave_early(first, left, 1)

        async def read() -> None:
            async with second.stream("GET", STREAM) as response:
                async for event in read_events(response):
                    message.read(event)
                    arrived.set()

        arrived = asyncio.Event()
        reading = asyncio.create_task(read())
        await asyncio.wait_for(arrived.wait(), PATIENT_S)
        servers[1].begin_stop()
        await asyncio.wait_for(reading, PATIENT_S)
        again = Message()
        async with first.stream("GET", STREAM) as response:
            async for event in read_events(response):
                again.read(event)
                if again.text:
                    break

    assert (message.ends, message.done) == (["error"], True)
    assert message.transient[0]["data"]["code"] == "server_shutdown"
    assert again.id == left.id


async def test_half_a_character_is_no_id(open_clients: OpenClients) -> None:
    """It has no UTF-8, and so no key."""
    async with open_clients() as (client,):
        content = json.dumps(make_body(id="\ud83e"))
        response = await client.post("/api/chat", content=content, headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_value")


async def test_a_chat_s_id_can_be_anything(open_clients: OpenClients, llm: LlmServer) -> None:
    """But for a slash; one that is too long is refused."""
    llm.delay_s = 0.02
    async with open_clients() as (client,):
        left, message = Message(), Message()
        await leave_early(client, left, 1, id="chät 1:*?#")
        await come_back(client, message, "/api/chat/ch%C3%A4t%201:*%3F%23/stream")
        refused = await client.get(f"/api/chat/{'x' * 201}/stream")

    assert message.text == ANSWER
    assert refused.status_code == 422


async def test_another_tenant_s_chat_is_not_there(
    open_clients: OpenClients, llm: LlmServer, servers: list[RunningServer]
) -> None:
    """The same id is another chat there."""
    llm.delay_s = 0.02
    async with open_clients(gateways=2) as (first, second):
        await leave_early(first, Message(), 1)
        app: Any = servers[1].server.config.app
        app.dependency_overrides[get_tenant] = lambda: "other"
        foreign = await second.get(STREAM)
        own = await first.get(STREAM)

    assert (foreign.status_code, own.status_code) == (204, 200)
