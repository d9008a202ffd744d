"""Answers given again, over real HTTP with a real Redis, in every dialect; and that none is stale under load."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.answer_cache import RedisAnswerCache
from services.gateway.answers.answer_question import AnswerDependencies, begin_answer
from services.gateway.answers.kept_answers import AnswerKeeping
from services.gateway.main import create_app, open_gateway
from services.gateway.ports import AnswerPiece, Completion, Prompt, TextDelta
from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.contracts.questions import QueryRequest
from shared.contracts.runs import Delta, Finished
from shared.contracts.search import RerankerState, SearchRequest, SearchResponse, SearchTimings
from shared.embedding.dense import DenseEmbedder
from shared.errors import InvalidRequest, NotReady
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.canned_search import CannedSearch, make_passage
from tests.http_server import serve_app
from tests.integration.conftest import ask_stream, claim_document, publish_document
from tests.integration.test_answer_streams import check_form, join_tokens
from tests.llm_server import TOKENS, LlmServer, Scenario
from tests.loaded_system import run_loaded_system
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf

QUESTION = "How much were net sales?"


@pytest.fixture
async def client(settings: GatewaySettings, search: CannedSearch, llm: LlmServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway whose search says how it works, and so keeps answers."""
    search.fingerprint = "as ever"
    chosen = {
        "openai_api_key": SecretStr("sk-ours"),
        "openai_base_url": llm.urls["openai"],
        "openai_model": str(Scenario.OK),
        "llm_prices": "ok=1/2",
        "llm_idle_timeout_s": 30,
    }
    configured = settings.model_copy(update=chosen)
    app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search), configured)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        yield client


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """The JSON of an answer, or the data of the events of a stream."""
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    if response.headers["content-type"] == "application/json":
        return response.json()
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


CHAT = {"messages": [{"role": "user", "content": QUESTION}]}
UI_CHAT = {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": QUESTION}]}]}


async def test_the_second_answer_is_the_first_one_again(client: httpx.AsyncClient, llm: LlmServer) -> None:
    """As a stream of the same text and sources, told to be one; the provider was asked once."""
    first, again = await ask_stream(client, include=["passages"]), await ask_stream(client, include=["passages"])

    assert len(llm.requests) == 1
    assert join_tokens(again) == join_tokens(first) == "".join(TOKENS)
    assert [event.data for event in again if event.event == "passages"] == [first[0].data]
    before, end = check_form(first).data, check_form(again).data
    assert (before["cached"], end["cached"]) == (False, True)
    assert [end[name] for name in ("sources", "citations", "finish_reason")] == [
        before[name] for name in ("sources", "citations", "finish_reason")
    ]
    assert before["usage"]["cost"] == pytest.approx((42 * 1 + before["usage"]["output_tokens"] * 2) / 1e6)
    assert end["usage"] == {**before["usage"], "input_tokens": 0, "output_tokens": 0, "cost": 0}
    assert before["timings_ms"] == {**before["timings_ms"], "retrieval": 2, "embed": 1, "search": 1, "rerank": None}
    assert {name for name, value in end["timings_ms"].items() if value is not None} == {"first_token", "total"}
    assert end["run_id"] != before["run_id"]


async def test_every_dialect_gives_the_same_answer_again(client: httpx.AsyncClient, llm: LlmServer) -> None:
    """Whichever has asked first; each says in its own words that it was kept."""
    whole = await post(client, "/query", {"question": QUESTION})
    assert not whole["cached"]
    again = await post(client, "/query", {"question": QUESTION})
    assert (again["cached"], again["answer"], again["citations"]) == (True, whole["answer"], whole["citations"])

    chat = await post(client, "/v1/chat/completions", CHAT)
    assert (chat["cached"], chat["choices"][0]["message"]["content"]) == (True, "".join(TOKENS))
    assert (chat["usage"]["total_tokens"], chat["usage"]["cost"]) == (0, 0)
    assert chat["timings_ms"]["total"] > 0
    *_, last = await post(client, "/v1/chat/completions", {**CHAT, "stream": True})
    assert (last["cached"], len(last["trace_id"])) == (True, 32)

    response = await post(client, "/v1/responses", {"input": QUESTION})
    assert (response["cached"], response["output"][0]["content"][0]["text"]) == (True, "".join(TOKENS))
    *_, completed = await post(client, "/v1/responses", {"input": QUESTION, "stream": True})
    assert completed["response"]["cached"]

    parts = await post(client, "/api/chat", UI_CHAT)
    assert "".join(part["delta"] for part in parts if part["type"] == "text-delta") == "".join(TOKENS)
    (metadata,) = (part["messageMetadata"] for part in parts if part["type"] == "message-metadata")
    assert (metadata["cached"], metadata["usage"]["input_tokens"], len(metadata["trace_id"])) == (True, 0, 32)
    assert len(llm.requests) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/query", {"question": QUESTION, "cache": False}),
        ("/v1/chat/completions", {**CHAT, "cache": False}),
        ("/v1/responses", {"input": QUESTION, "cache": False}),
        ("/api/chat", {**UI_CHAT, "cache": False}),
        ("/api/chat", {**UI_CHAT, "trigger": "regenerate-message"}),
    ],
)
async def test_whoever_wants_a_new_answer_gets_one(
    client: httpx.AsyncClient, llm: LlmServer, path: str, body: dict[str, Any]
) -> None:
    """It is asked for with `cache: false`, or by asking the AI SDK for another one; and is not kept either."""
    await post(client, "/query", {"question": QUESTION})
    llm.tokens = ("Another", " answer", " [1].")
    assert "Another" in json.dumps(await post(client, path, body))
    assert len(llm.requests) == 2
    assert "Another" not in (await post(client, "/query", {"question": QUESTION}))["answer"]


async def test_a_replay_can_be_read_again(client: httpx.AsyncClient) -> None:
    """It is a run like any other, also one that outlives its client."""
    await ask_stream(client)
    again = await ask_stream(client, on_disconnect="continue")
    run_id = again[-1].data["run_id"]
    read = await client.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": again[0].id})
    assert read.text.count("event: token") == len(again) - 2
    assert f'"run_id":"{run_id}"' in read.text
    assert '"cached":true' in read.text


async def test_a_question_of_a_conversation_is_answered_anew(client: httpx.AsyncClient) -> None:
    """What it refers to is not in it."""
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}, *CHAT["messages"]]
    for _ in range(2):
        assert not (await post(client, "/v1/chat/completions", {"messages": talk}))["cached"]


async def test_a_conversation_begins_with_an_answer_given_again(client: httpx.AsyncClient) -> None:
    """Its first turn is kept in it as any other; what follows refers to it, and is answered anew."""
    await post(client, "/query", {"question": QUESTION})
    begun = await post(client, "/query", {"question": QUESTION, "conversation_id": "talk"})
    assert (begun["cached"], begun["conversation_id"]) == (True, "talk")
    turns = (await client.get("/conversations/talk")).json()["turns"]
    assert [turn["question"] for turn in turns] == [QUESTION]
    for _ in range(2):
        assert not (await post(client, "/query", {"question": QUESTION, "conversation_id": "talk"}))["cached"]


async def test_what_comes_and_goes_ends_it(
    client: httpx.AsyncClient, llm: LlmServer, registry: RedisDocumentRegistry, redis_url: str
) -> None:
    """A new document, and a deletion: after that nothing of an answer is in Redis."""
    await ask_stream(client)
    other = await publish_document(registry)
    assert not (await ask_stream(client))[-1].data["cached"]
    assert (await ask_stream(client))[-1].data["cached"]
    assert "383.3" in await dump_redis(redis_url)

    assert (await client.delete(f"/documents/{other}")).status_code == 204
    assert "383.3" not in await dump_redis(redis_url)
    assert not (await ask_stream(client))[-1].data["cached"]
    assert len(llm.requests) == 3


async def dump_redis(url: str) -> str:
    """Everything that Redis holds."""
    redis: Any
    async with connect_redis(url, timeout_s=PATIENT_S) as redis:
        held = []
        async for key in redis.scan_iter():
            match await redis.type(key):
                case "hash":
                    held.append(await redis.hgetall(key))
                case "string":
                    held.append(await redis.get(key))
                case "stream":
                    held.append(await redis.xrange(key))
        return str(held)


async def test_a_document_that_was_deleted_is_in_no_answer(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, embedder: DenseEmbedder
) -> None:
    """The whole system, with its own search: asked, asked again, deleted, asked."""
    standalone = StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )
    async with run_loaded_system(standalone, embedder) as client:
        ids = {}
        for name, text in (
            ("heron", "The list price of the heron is 12,900 euro."),
            ("otter", "Otters live in rivers."),
        ):
            files = {"file": (f"{name}.pdf", make_pdf([text]))}
            ids[name] = (await client.post("/documents", params={"wait": 60}, files=files)).json()["document_id"]
        body = {"question": "What is the list price of the heron?"}
        answers = [(await client.post("/query", json=body)).json() for _ in range(2)]
        assert [answer["cached"] for answer in answers] == [False, True]
        assert "12,900" in answers[1]["answer"] == answers[0]["answer"]

        await client.delete(f"/documents/{ids['heron']}")

        answer = (await client.post("/query", json=body)).json()
        assert (answer["cached"], {source["document_id"] for source in answer["sources"]}) == (False, {ids["otter"]})


@dataclass
class World:
    """Which documents there were, one state after the other.

    Attributes:
        states: each as it was from one change to the next.
        begun: changes that have begun; the state of the last may hold already.
        done: changes that have ended; no state before theirs holds any more.
    """

    states: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    begun: int = 0
    done: int = 0


class SlowSearch:
    """Finds a passage of each document that the registry says is there, and looks at one after the other.

    Between two looks others are at work, so that a search sees a document as it was before a change, and the next one
    as it was after it.
    """

    def __init__(self, registry: RedisDocumentRegistry, written: list[str]) -> None:
        self._registry = registry
        self._written = written  # whose points are in the index, published or not

    async def search(self, request: SearchRequest) -> SearchResponse:
        found = [
            make_passage(document_id, 0)
            for document_id in [*self._written]
            if await self._registry.get_active_versions(request.tenant, [document_id])
        ]
        return SearchResponse(
            passages=found,
            timings_ms=SearchTimings(embed=1, search=1, rerank=None, total=2),
            reranker=RerankerState(status="off"),
            fingerprint="as ever",
        )

    async def read_fingerprint(self) -> str:
        return "as ever"

    async def check_ready(self) -> dict[str, str]:
        return {}

    async def close(self) -> None:
        return None


class NamingModel:
    """Names the documents of its passages."""

    provider = model = "naming"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[AnswerPiece, None]:
        for passage in prompt.passages:
            yield TextDelta(f"{passage.document_id} ")
            await asyncio.sleep(0)
        yield Completion("stop", self.provider, self.model)

    async def close(self) -> None:
        return None


async def test_no_answer_is_stale_while_documents_come_and_go(redis_url: str) -> None:
    """Two gateways, eight people who ask the same all the time, and documents that are published and deleted meanwhile.

    Each answer names just the documents of one state that held while it was asked for, the kept ones, too. A written
    one may mix two states, because its search may; such a one must never be given again.
    """
    world, answered, chance = World(), asyncio.Condition(), random.Random(7)
    written: list[str] = []
    replayed = 0
    async with AsyncExitStack() as stack:
        gateways: list[AnswerDependencies] = []
        for _ in range(2):
            redis = await stack.enter_async_context(connect_redis(redis_url, timeout_s=PATIENT_S))
            registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
            stack.push_async_callback(registry.close)
            cache = RedisAnswerCache(redis, kept_s=60, max_entries=10, max_bytes=1_000_000)
            stack.push_async_callback(cache.close)
            search, model = SlowSearch(registry, written), NamingModel()
            keeping = AnswerKeeping(cache, search, "same")
            gateways.append(AnswerDependencies(registry, search, {"naming": model}, "naming", keeping=keeping))
        stop = asyncio.Event()

        async def ask(deps: AnswerDependencies) -> None:
            nonlocal replayed
            oldest = world.done
            try:
                answer = await begin_answer("default", QueryRequest(question=QUESTION), deps)
            except (InvalidRequest, NotReady):  # there is none just now
                return
            text, end = "", None
            async for event in answer.produce():
                if isinstance(event, Delta):
                    text += event.text
                end = event
            assert isinstance(end, Finished)
            if end.cached:
                replayed += 1
                assert frozenset(text.split()) in world.states[oldest : world.begun + 1]

        async def keep_asking(deps: AnswerDependencies) -> None:
            while not stop.is_set():
                await ask(deps)
                await asyncio.sleep(0)
                async with answered:
                    answered.notify_all()

        async def change_documents() -> None:
            registry = gateways[0].registry
            for _ in range(60):
                state = world.states[-1]
                if state and chance.random() < 0.45:
                    gone = chance.choice(sorted(state))
                    world.states.append(state - {gone})
                    world.begun += 1
                    await registry.delete("default", gone)
                else:
                    lease = await claim_document(registry)
                    written.append(lease.job.document_id)
                    world.states.append(state | {lease.job.document_id})
                    world.begun += 1
                    await registry.publish(lease, "v1", [])
                world.done += 1
                for _ in range(chance.randrange(12)):
                    async with answered:
                        await answered.wait()
            stop.set()

        async with asyncio.TaskGroup() as group:
            for deps in itertools.islice(itertools.cycle(gateways), 8):
                group.create_task(keep_asking(deps))
            group.create_task(change_documents())
    assert replayed > 20, "what is never given again cannot be stale"
