"""Conversations over real HTTP: what is kept, what is searched for, and what the language model reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from services.gateway.answers import standalone_question
from services.gateway.api.dependencies import get_tenant
from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from shared.redis_client import connect_redis
from tests.canned_search import CannedSearch
from tests.http_server import RunningServer, serve_app
from tests.integration.conftest import StreamEvent, ask_stream, read_stream
from tests.integration.openai_gateway import open_openai_gateway
from tests.llm_server import TOKENS, LlmServer, Scenario
from tests.patience import PATIENT_S
from tests.ui_message_stream import Message, read_events

PROVIDERS = ("openai", "anthropic", "groq")
REWRITING = "You rewrite the last question"
"""Stands in requests for a question that stands by itself."""
FIRST = "What was revenue of Acme in 2019?"
FOLLOW_UP = "and in 2020?"
BY_MODEL = "What was the revenue of Acme in 2020?"
BY_RULES = "What was revenue of Acme, and in 2020?"
ANSWER = "".join(TOKENS)

OpenClients = Callable[..., AbstractAsyncContextManager[list[httpx.AsyncClient]]]


@pytest.fixture
def servers() -> list[RunningServer]:
    """The gateways that `open_clients` started."""
    return []


@pytest.fixture
def open_clients(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer, servers: list[RunningServer]
) -> OpenClients:
    """Opens gateways on one Redis and a client to each; without a provider named, the answer is extractive."""

    @asynccontextmanager
    async def open_them(gateways: int = 1, **options: Any) -> AsyncIterator[list[httpx.AsyncClient]]:
        chosen: dict[str, Any] = {"llm_provider": "extractive", "llm_idle_timeout_s": 30, **options}
        for provider in PROVIDERS:
            chosen[f"{provider}_api_key"] = SecretStr("sk-ours")
            chosen[f"{provider}_base_url"] = llm.urls[provider]
            chosen[f"{provider}_model"] = str(Scenario.OK)
        configured = settings.model_copy(update=chosen)
        async with AsyncExitStack() as stack:
            clients = []
            for _ in range(gateways):
                app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search), configured)
                servers.append(await stack.enter_async_context(serve_app(app)))
                client = httpx.AsyncClient(base_url=servers[-1].url, timeout=PATIENT_S)
                clients.append(await stack.enter_async_context(client))
            yield clients

    return open_them


async def ask(client: httpx.AsyncClient, question: str, conversation_id: str = "c", **body: Any) -> dict[str, Any]:
    """The whole answer to a question of a conversation."""
    query = {"question": question, "conversation_id": conversation_id, **body}
    response = await client.post("/query", json=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def read_turns(client: httpx.AsyncClient, conversation_id: str = "c") -> list[tuple[str, str, bool]]:
    """What is kept of a conversation: questions and answers, and whether these are whole; empty where there is none."""
    response = await client.get(f"/conversations/{conversation_id}")
    turns = response.json()["turns"] if response.status_code == 200 else []
    return [(turn["question"], turn["answer"], turn["complete"]) for turn in turns]


def list_prompts(llm: LlmServer) -> list[str]:
    """What the model was asked, as one text each."""
    return [str(request.body) for request in llm.requests]


async def test_a_follow_up_is_searched_for_as_what_it_means(open_clients: OpenClients, search: CannedSearch) -> None:
    """Without a model: the events name the conversation, and the end says what was searched for."""
    async with open_clients() as (client,):
        first = await ask_stream(client, FIRST, conversation_id="c", include=["run"])
        second = await ask_stream(client, FOLLOW_UP, conversation_id="c", include=["run"])
        third = await ask(client, "What about its costs?")
        alone = (await client.post("/query", json={"question": FOLLOW_UP})).json()

    assert [request.query for request in search.requests] == [
        FIRST,
        BY_RULES,
        "What about its costs (Acme, 2020)?",
        FOLLOW_UP,
    ]
    assert first[0].data["conversation_id"] == second[0].data["conversation_id"] == "c"
    ends = [first[-1].data, second[-1].data, third, alone]
    assert [end["conversation_id"] for end in ends] == ["c", "c", "c", None]
    assert [end["standalone_question"] for end in ends] == [None, BY_RULES, "What about its costs (Acme, 2020)?", None]
    assert [end["timings_ms"]["rewrite"] is None for end in ends] == [True, False, False, True]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_model_makes_the_question_and_answers_the_one_that_was_asked(
    open_clients: OpenClients, search: CannedSearch, llm: LlmServer, provider: str
) -> None:
    """One short call before the search; what answers reads the question as it is, with what was said before."""
    llm.replies[REWRITING] = tuple(BY_MODEL.partition(" of "))
    async with open_clients() as (client,):
        await ask(client, FIRST, provider=provider)
        answer = await ask(client, FOLLOW_UP, provider=provider)
        kept = await read_turns(client)

    assert [request.query for request in search.requests] == [FIRST, BY_MODEL]
    assert answer["standalone_question"] == BY_MODEL
    assert answer["answer"] == ANSWER
    assert kept == [(FIRST, ANSWER, True), (FOLLOW_UP, ANSWER, True)]
    first, rewriting, second = list_prompts(llm)
    assert [REWRITING in prompt for prompt in (first, rewriting, second)] == [False, True, False]
    body = llm.requests[1].body
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    assert most == standalone_question.MAX_OUTPUT_TOKENS
    for prompt in (rewriting, second):
        assert prompt.index(FIRST) < prompt.index("Net sales were 383.3") < prompt.index(FOLLOW_UP)
        assert BY_MODEL not in prompt


async def test_what_the_follow_up_means_is_no_claim_of_the_answer(open_clients: OpenClients, llm: LlmServer) -> None:
    """The passage does not hold the number that was asked about earlier: that makes no citation unsupported."""
    llm.replies[REWRITING] = ("What did unit 4711 sell in 2020?",)
    llm.tokens = ("Unit 4711 sold", " for 383.3 billion", " [1].")
    async with open_clients() as (client,):
        await ask(client, "What did unit 4711 sell in 2019?", provider="openai")
        answer = await ask(client, FOLLOW_UP, provider="openai")
        alone = await ask(client, FOLLOW_UP, "other", provider="openai")

    assert [citation["supported"] for citation in answer["citations"]] == ["unknown"]
    assert [citation["supported"] for citation in alone["citations"]] == [False]


@pytest.mark.parametrize(
    "scenario", [Scenario.STATUS_429, Scenario.STALL_BEFORE_TEXT, Scenario.ENDLESS, Scenario.RESET]
)
async def test_where_the_model_makes_none_the_rules_do(
    open_clients: OpenClients, search: CannedSearch, llm: LlmServer, scenario: Scenario
) -> None:
    """Refused, slow, endless or broken: the answer comes all the same, and no call stays open."""
    llm.scenarios[REWRITING] = scenario
    slow = scenario is Scenario.STALL_BEFORE_TEXT
    async with open_clients(**({"rewrite_timeout_s": 0.2} if slow else {})) as (client,):
        await ask(client, FIRST, provider="openai")
        answer = await ask(client, FOLLOW_UP, provider="openai")
        if scenario in (Scenario.STALL_BEFORE_TEXT, Scenario.ENDLESS):
            await asyncio.wait_for(llm.requests[1].disconnected.wait(), PATIENT_S)

    assert (answer["answer"], answer["standalone_question"]) == (ANSWER, BY_RULES)
    assert search.requests[-1].query == BY_RULES


async def test_a_client_that_leaves_ends_the_call(open_clients: OpenClients, llm: LlmServer) -> None:
    """Nobody waits for the question any more; nothing was written, so nothing is kept of it."""
    llm.scenarios[REWRITING] = Scenario.STALL_BEFORE_TEXT
    async with open_clients() as (client,):
        await ask(client, FIRST, provider="openai")
        query = {"question": FOLLOW_UP, "conversation_id": "c", "provider": "openai"}
        async with client.stream("POST", "/query/stream", json=query):
            request = await llm.wait_for_request(1)
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)
        kept = await read_turns(client)

    assert [question for question, _, _ in kept] == [FIRST]


async def test_the_whole_chain_is_asked_for_the_question(open_clients: OpenClients, llm: LlmServer) -> None:
    """As for answers; its last one, which can only quote, leaves it to the rules."""
    llm.scenarios[REWRITING] = Scenario.STATUS_500
    async with open_clients(llm_provider=None, llm_chain="anthropic,openai,extractive") as (client,):
        await ask(client, FIRST)
        answer = await ask(client, FOLLOW_UP)

    assert [request.provider for request in llm.requests] == ["anthropic", "anthropic", "openai", "anthropic"]
    assert answer["standalone_question"] == BY_RULES
    assert answer["usage"]["provider"] == "anthropic"


async def test_a_conversation_goes_on_elsewhere(open_clients: OpenClients, search: CannedSearch) -> None:
    """At another replica at once, and after a restart of all."""
    async with open_clients(2) as (first, second):
        await ask(first, FIRST)
        await ask(second, FOLLOW_UP)
        assert len(await read_turns(first)) == 2
    async with open_clients() as (client,):
        answer = await ask(client, "Who signed it?")

    assert answer["standalone_question"] == "Who signed it (Acme, 2020)?"


async def test_who_asks_at_once_finds_the_turn(open_clients: OpenClients) -> None:
    """It is kept before the last event is sent, at whatever replica one looks."""
    async with open_clients(2) as (first, second):
        for n in range(10):
            query = {"question": f"Question {n}?", "conversation_id": "c"}
            if n % 2:
                query["on_disconnect"] = "continue"
            async with first.stream("POST", "/query/stream", json=query) as response:
                async for event in read_stream(response):
                    if event.event == "sources":
                        assert len(await read_turns(second)) == n + 1


async def test_an_answer_given_again_is_a_turn_and_a_follow_up_is_never_given_again(
    open_clients: OpenClients, search: CannedSearch, llm: LlmServer
) -> None:
    """The first question of a conversation is one like any other; what it leads to depends on it."""
    search.fingerprint = "known"
    llm.replies[REWRITING] = (BY_MODEL,)
    async with open_clients() as (client,):
        answers = [
            await ask(client, question, name, provider="openai")
            for name in ("c", "d")
            for question in (FIRST, FOLLOW_UP)
        ]
        kept = [await read_turns(client, name) for name in ("c", "d")]

    assert [answer["cached"] for answer in answers] == [False, False, True, False]
    assert [answer["conversation_id"] for answer in answers] == ["c", "c", "d", "d"]
    assert kept[0] == kept[1] == [(FIRST, ANSWER, True), (FOLLOW_UP, ANSWER, True)]


async def test_conversations_are_listed_read_and_deleted(open_clients: OpenClients) -> None:
    """Paged, last used first; what is not there is 404."""
    async with open_clients() as (client,):
        for name in ("a", "b", "c"):
            await ask(client, f"What is {name}?", name)
        await ask(client, "And its price?", "a")
        page = (await client.get("/conversations", params={"limit": 2})).json()
        rest = (await client.get("/conversations", params={"limit": 2, "offset": 2})).json()
        one = (await client.get("/conversations/a")).json()
        deleted = await client.delete("/conversations/a")
        missing = [await client.get("/conversations/a"), await client.delete("/conversations/a")]
        wrong = await client.get("/conversations", params={"limit": 0})

    assert [(item["conversation_id"], item["title"], item["turns"]) for item in page["conversations"]] == [
        ("a", "What is a?", 2),
        ("c", "What is c?", 1),
    ]
    assert [item["conversation_id"] for item in rest["conversations"]] == ["b"]
    assert (page["total"], page["next_offset"], rest["next_offset"]) == (3, 2, None)
    assert [turn["question"] for turn in one["turns"]] == ["What is a?", "And its price?"]
    assert all(turn["run_id"].startswith("run_") for turn in one["turns"])
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in missing] == [(404, "not_found")] * 2
    assert wrong.status_code == 422


@pytest.mark.parametrize("name", ["", "a" * 129, "a b", "a/b", ".", "..", ".a", "é", "a\n", "a:b"])
async def test_a_name_that_is_none_is_refused(open_clients: OpenClients, name: str) -> None:
    """It stands in keys and paths."""
    async with open_clients() as (client,):
        response = await client.post("/query", json={"question": FIRST, "conversation_id": name})

    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_value")
    assert response.json()["error"]["details"]["problems"][0]["field"] == "conversation_id"


async def test_another_tenant_s_conversation_is_not_there(
    open_clients: OpenClients, servers: list[RunningServer], search: CannedSearch
) -> None:
    """The same name is another conversation."""
    async with open_clients(2) as (first, second):
        await ask(first, FIRST)
        app: Any = servers[1].server.config.app
        app.dependency_overrides[get_tenant] = lambda: "other"
        foreign = [await second.get("/conversations/c"), await second.delete("/conversations/c")]
        listed = (await second.get("/conversations")).json()
        own = await read_turns(first)

    assert [response.status_code for response in foreign] == [404, 404]
    assert listed["conversations"] == []
    assert len(own) == 1


async def hold_answer(client: httpx.AsyncClient, llm: LlmServer, **body: Any) -> AsyncIterator[StreamEvent]:
    """The events of an answer that stalls in its middle."""
    llm.scenarios["<passages-"] = Scenario.STALL_MIDWAY
    query = {"question": FIRST, "conversation_id": "c", "provider": "openai", **body}
    async with client.stream("POST", "/query/stream", json=query) as response:
        async for event in read_stream(response):
            yield event


@pytest.mark.parametrize("kept", [False, True])
async def test_what_is_deleted_stays_deleted_when_its_answer_ends(
    open_clients: OpenClients, llm: LlmServer, kept: bool
) -> None:
    """The answer comes to its end, and is not kept: neither alone nor in a conversation that began anew meanwhile."""
    async with open_clients(2) as (first, second):
        if kept:
            await ask(first, FIRST)
        events = hold_answer(first, llm, include=["run"])
        run_id = (await anext(events)).data["run_id"]
        await anext(events)
        deleted = await second.delete("/conversations/c")
        if kept:
            await ask(second, "What is new?")
        await first.delete(f"/runs/{run_id}")
        end = [event async for event in events][-1]
        turns = await read_turns(second)

    assert deleted.status_code == 204
    assert (end.event, end.data["conversation_id"]) == ("sources", "c")
    assert [question for question, _, _ in turns] == (["What is new?"] if kept else [])


async def test_a_stopped_answer_is_kept_as_far_as_it_got(open_clients: OpenClients, llm: LlmServer) -> None:
    """Stopped by a request, and by leaving; it is said to be no whole answer."""
    half = "".join(TOKENS[: len(TOKENS) // 2])
    async with open_clients() as (client,):
        events = hold_answer(client, llm, include=["run"])
        run_id = (await anext(events)).data["run_id"]
        await anext(events)
        for _ in range(len(TOKENS) // 2 - 1):
            await anext(events)
        await client.delete(f"/runs/{run_id}")
        assert [event.event async for event in events] == ["sources"]
        stopped = await read_turns(client)

        query = {"question": FIRST, "conversation_id": "d", "provider": "openai"}
        async with client.stream("POST", "/query/stream", json=query) as response:
            arriving = read_stream(response)
            for _ in range(len(TOKENS) // 2):
                await anext(arriving)
        await llm.requests[-1].disconnected.wait()
        while not (left := await read_turns(client, "d")):
            await asyncio.sleep(0.01)

    assert stopped == left == [(FIRST, half, False)]


@pytest.mark.parametrize("scenario", [Scenario.STATUS_500, Scenario.RESET])
async def test_an_answer_that_failed_is_not_kept(open_clients: OpenClients, llm: LlmServer, scenario: Scenario) -> None:
    """Before its first token or after: the conversation stays as it was."""
    async with open_clients() as (client,):
        llm.scenarios["<passages-"] = scenario
        events = await ask_stream(client, FIRST, conversation_id="c", provider="openai")
        turns = await read_turns(client)
        llm.scenarios.clear()
        answer = await ask(client, FOLLOW_UP, provider="openai")

    assert events[-1].event == "error"
    assert turns == []
    assert answer["standalone_question"] is None


async def test_an_answer_waits_only_shortly_for_a_silent_redis(
    open_clients: OpenClients,
    llm: LlmServer,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends well, without its turn; the log says so, and nothing of what was said."""
    monkeypatch.setattr("services.gateway.conversations.keep_turns.KEEP_S", 0.1)
    llm.steps = asyncio.Semaphore(1)
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis, open_clients() as (client,):
        query = {"question": FIRST, "conversation_id": "c", "provider": "openai"}
        async with client.stream("POST", "/query/stream", json=query) as response:
            events = read_stream(response)
            await anext(events)
            await redis.client_pause(600_000, all=False)
            for _ in TOKENS:
                llm.steps.release()
            try:
                names = [event.event async for event in events]
            finally:
                await redis.client_unpause()

    assert names[-1] == "sources"
    assert "turn_not_kept" in caplog.text
    assert "Acme" not in caplog.text
    assert "383.3" not in caplog.text


async def test_history_that_a_client_sends_is_used_the_same_way(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer
) -> None:
    """OpenAI's dialects, with its own client, and the AI SDK's: nothing of it is kept."""
    llm.replies[REWRITING] = (BY_MODEL,)
    said: list[Any] = [
        {"role": "user", "content": FIRST},
        {"role": "assistant", "content": "It was 5."},
        {"role": "user", "content": FOLLOW_UP},
    ]
    async with open_openai_gateway(settings, search, llm, Scenario.OK) as client:
        completion = await client.chat.completions.create(model="pagewire", messages=said)
        response = await client.responses.create(model="pagewire", input=said)
        base_url = str(client.base_url).removesuffix("/v1/")
        async with httpx.AsyncClient(base_url=base_url) as plain:
            messages = [
                {"role": message["role"], "parts": [{"type": "text", "text": message["content"]}]} for message in said
            ]
            async with plain.stream("POST", "/api/chat", json={"id": "chat", "messages": messages}) as stream:
                chat = Message()
                chat.read_all([event async for event in read_events(stream)])
            kept = (await plain.get("/conversations")).json()["conversations"]

    assert completion.choices[0].message.content == response.output_text == chat.text == ANSWER
    assert [request.query for request in search.requests] == [BY_MODEL] * 3
    assert chat.metadata["standalone_question"] == BY_MODEL
    assert kept == []
    answering = [prompt for prompt in list_prompts(llm) if REWRITING not in prompt]
    assert all(FOLLOW_UP in prompt and BY_MODEL not in prompt for prompt in answering)


async def test_a_long_conversation_keeps_to_the_tokens_of_a_prompt(
    open_clients: OpenClients, llm: LlmServer, search: CannedSearch
) -> None:
    """The oldest turns go first, then passages; what is told as sources is what the model was given."""
    word = "turnover "
    async with open_clients(prompt_tokens=4000) as (client,):
        for n in range(3):
            await ask(client, f"Turn {n} asks about {word * 300}", provider="openai")
        search.passages = [passage.model_copy(update={"text": "sales " * 700}) for passage in search.passages]
        answer = await ask(client, FOLLOW_UP, provider="openai")

    prompt = list_prompts(llm)[-1]
    assert FOLLOW_UP in prompt
    assert "Turn 0" not in prompt
    assert len(answer["sources"]) == prompt.count(' n="') < 3


async def test_nothing_that_was_said_is_logged(open_clients: OpenClients, caplog: pytest.LogCaptureFixture) -> None:
    """Neither questions nor answers, nor what was made of them."""
    caplog.set_level("DEBUG")
    with suppress(openai.APIError):
        async with open_clients() as (client,):
            await ask(client, FIRST)
            await ask(client, FOLLOW_UP)
            await client.delete("/conversations/c")

    ours = [str(record.msg) for record in caplog.records if record.name.startswith(("services", "shared"))]
    assert ours
    assert not [line for line in ours if "Acme" in line or "2020?" in line]
