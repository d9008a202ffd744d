"""`/v1/chat/completions` and `/v1/models`, read by OpenAI's own client over a real socket."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import openai
import pytest
from openai.types import CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.chat.chat_completion_message import Annotation

from services.gateway.settings import GatewaySettings
from shared.contracts.questions import NOT_FOUND_ANSWER
from tests.canned_search import CannedSearch
from tests.integration.openai_gateway import EVIDENCE, check_strictly, open_openai_gateway
from tests.llm_server import INPUT_TOKENS, MANY_TOKENS, SECRET, TOKENS, LlmServer, Scenario, end_with
from tests.patience import PATIENT_S

ANSWER = "".join(TOKENS)
EXTRA = {"citations", "search_results", "provider", "model", "timings_ms", "cached", "trace_id", "standalone_question"}
"""Fields of ours that OpenAI's client does not know."""
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How much?"}]
OpenClient = Callable[..., AbstractAsyncContextManager[openai.AsyncOpenAI]]


@pytest.fixture
def open_client(settings: GatewaySettings, search: CannedSearch, llm: LlmServer) -> OpenClient:
    """Opens a gateway whose provider `openai` plays a scenario, and OpenAI's client of it."""
    return lambda scenario=Scenario.OK: open_openai_gateway(settings, search, llm, str(scenario))


async def read_chunks(client: openai.AsyncOpenAI, **options: Any) -> list[ChatCompletionChunk]:
    """All chunks of one answer, checked."""
    async with await client.chat.completions.create(
        **{"model": "pagewire/openai", "messages": ASK, **options}, stream=True
    ) as stream:
        chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        check_strictly(chunk, extra=EXTRA | {"annotations"})
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    return chunks


async def collect(client: openai.AsyncOpenAI, received: list[ChatCompletionChunk]) -> None:
    """Append chunk by chunk, so that what came before an error is not lost."""
    async for chunk in await client.chat.completions.create(model="pagewire/openai", messages=ASK, stream=True):
        received.append(chunk)  # noqa: PERF401


def join_text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def read_annotations(chunks: list[ChatCompletionChunk]) -> list[Annotation]:
    found = [
        annotation
        for chunk in chunks
        for choice in chunk.choices
        for annotation in (choice.delta.model_extra or {}).get("annotations", [])
    ]
    return [Annotation.model_validate(annotation) for annotation in found]


@pytest.mark.parametrize("scenario", [Scenario.OK, Scenario.SPLIT_CHARACTER, Scenario.MANY_TOKENS])
async def test_a_stream_is_the_answer_then_its_citations_and_its_end(
    open_client: OpenClient, search: CannedSearch, scenario: Scenario
) -> None:
    """Every token to the last character; the role first; the sources with the end; no usage that nobody asked for."""
    async with open_client(scenario) as client:
        chunks = await read_chunks(client)
        base = str(client.base_url).removesuffix("/v1/")

    assert join_text(chunks) == "".join(MANY_TOKENS if scenario is Scenario.MANY_TOKENS else TOKENS)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert [chunk.usage for chunk in chunks if "usage" in chunk.model_fields_set] == []
    extra = chunks[-1].model_extra or {}
    document = search.passages[0].document_id
    assert extra["citations"] == [f"{base}/documents/{document}/file#page={page}" for page in (1, 2, 3)]
    assert [result["snippet"] for result in extra["search_results"]] == [passage.text for passage in search.passages]
    assert {result["url"] for result in extra["search_results"]} == set(extra["citations"])


async def test_a_citation_names_its_place_in_the_text_and_its_page(
    open_client: OpenClient, llm: LlmServer, search: CannedSearch
) -> None:
    """Also behind what is not ASCII, in lists, and behind a marker that was removed."""
    llm.tokens = ("Umsatz € 🙂", " [2", "]", ". Cost [9]", " [1, 3].")
    async with open_client() as client:
        chunks = await read_chunks(client)
        whole = await client.chat.completions.create(model="pagewire/openai", messages=ASK)

    text, annotations = join_text(chunks), read_annotations(chunks)
    assert text == "Umsatz € 🙂 [2]. Cost [1, 3]."
    places = [annotation.url_citation for annotation in annotations]
    assert [text[place.start_index : place.end_index] for place in places] == ["[2]", "[1, 3]", "[1, 3]"]
    assert [place.title for place in places] == ["Filing, page 2", "Filing, page 1", "Filing, page 3"]
    assert [place.url.partition("#")[2] for place in places] == ["page=2", "page=1", "page=3"]
    assert whole.choices[0].message.annotations == annotations


async def test_an_annotation_says_whether_its_page_supports_it(
    open_client: OpenClient, llm: LlmServer, search: CannedSearch
) -> None:
    """With the places of what was looked up, in a stream and at once; the client's own types keep all of it."""
    llm.tokens = ("Sales were 383.3 billion [1]", " and 12.5 billion [2].", " Fine [3].")
    async with open_client() as client:
        chunks = await read_chunks(client)
        whole = await client.chat.completions.create(model="pagewire/openai", messages=ASK)

    text, annotations = join_text(chunks), read_annotations(chunks)
    assert whole.choices[0].message.annotations == annotations
    told = [annotation.url_citation.model_extra or {} for annotation in annotations]
    assert [set(extra) for extra in told] == [EVIDENCE] * 3
    assert [extra["supported"] for extra in told] == [True, False, "unknown"]
    (held,), (missing,) = told[0]["evidence"], told[1]["missing"]
    assert search.passages[0].text[held["start"] : held["end"]] == "383.3 billion"
    assert text[missing["start"] : missing["end"]] == "12.5 billion"
    assert text[told[0]["claim"]["start"] : told[0]["claim"]["end"]] == "Sales were 383.3 billion"
    results = (chunks[-1].model_extra or {})["search_results"]
    assert [result["supported"] for result in results] == [True, False, "unknown"]


async def test_the_usage_comes_last_when_asked_for(open_client: OpenClient) -> None:
    """In a chunk without choices, and as null in all others; with who has answered."""
    async with open_client() as client:
        chunks = await read_chunks(client, stream_options={"include_usage": True})

    *others, last = chunks
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in others)
    assert last.choices == []
    assert isinstance(last.usage, CompletionUsage)
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (INPUT_TOKENS, len(TOKENS))
    assert last.usage.total_tokens == INPUT_TOKENS + len(TOKENS)
    assert last.usage.model_extra == {"provider": "openai", "model": "ok"}


async def test_the_whole_answer_is_what_the_stream_joins_to(open_client: OpenClient) -> None:
    """Text, citations, end and usage."""
    async with open_client() as client:
        chunks = await read_chunks(client)
        response = await client.chat.completions.with_raw_response.create(model="pagewire/openai", messages=ASK)
        whole = response.parse()

    assert isinstance(whole, ChatCompletion)
    check_strictly(whole, extra=EXTRA | EVIDENCE)
    (choice,) = whole.choices
    assert choice.message.content == join_text(chunks) == ANSWER
    assert choice.message.annotations == read_annotations(chunks)
    assert choice.finish_reason == "stop"
    ours, theirs = whole.model_extra or {}, chunks[-1].model_extra or {}
    assert [ours[name] for name in ("citations", "search_results")] == [theirs["citations"], theirs["search_results"]]
    assert whole.id == f"chatcmpl-{response.headers['x-run-id']}"
    assert whole.usage is not None
    assert whole.usage.total_tokens == INPUT_TOKENS + len(TOKENS)


@pytest.mark.parametrize(
    ("word", "meaning"), [("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "length")]
)
async def test_an_answer_that_was_cut_off_says_so(open_client: OpenClient, word: str, meaning: str) -> None:
    """Nobody can take it for the whole answer, also where OpenAI has no word for the reason."""
    async with open_client(end_with(word, tokens=3)) as client:
        chunks = await read_chunks(client)
        whole = await client.chat.completions.create(model="pagewire/openai", messages=ASK)

    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == meaning


async def test_a_client_without_event_loop_reads_the_same(open_client: OpenClient) -> None:
    """OpenAI's synchronous client, stream and not."""
    async with open_client() as client:

        def ask() -> tuple[str | None, str]:
            with openai.OpenAI(base_url=str(client.base_url), api_key="any", max_retries=0) as sync:
                whole = sync.chat.completions.create(model="pagewire/openai", messages=ASK)
                with sync.chat.completions.create(model="pagewire/openai", messages=ASK, stream=True) as stream:
                    return whole.choices[0].message.content, join_text(list(stream))

        assert await asyncio.to_thread(ask) == (ANSWER, ANSWER)


async def test_the_helper_that_collects_a_stream_reads_it(open_client: OpenClient) -> None:
    """`client.chat.completions.stream` joins the chunks itself, and is stricter than the plain client."""
    async with (
        open_client() as client,
        client.chat.completions.stream(
            model="pagewire/openai", messages=ASK, stream_options={"include_usage": True}
        ) as stream,
    ):
        final = await stream.get_final_completion()

    assert final.choices[0].message.content == ANSWER
    assert final.usage is not None
    assert final.usage.prompt_tokens == INPUT_TOKENS


FAILURES = [
    (Scenario.STATUS_401, "llm_rejected", openai.InternalServerError, 502),
    (Scenario.STATUS_429, "llm_busy", openai.InternalServerError, 503),
    (Scenario.STALL_BEFORE_TEXT, "llm_timeout", openai.InternalServerError, 504),
    (Scenario.CUT_OFF, "llm_incomplete", openai.InternalServerError, 502),
]


@pytest.mark.parametrize(("scenario", "code", "kind", "status"), FAILURES)
async def test_a_failed_answer_raises(
    open_client: OpenClient, scenario: Scenario, code: str, kind: type[openai.APIStatusError], status: int
) -> None:
    """The client's exception holds our code; in a stream it comes after what came before it, and never as text."""
    async with open_client(scenario) as client:
        with pytest.raises(kind) as whole:
            await client.chat.completions.create(model="pagewire/openai", messages=ASK)
        received: list[ChatCompletionChunk] = []
        with pytest.raises(openai.APIError) as streamed:
            await collect(client, received)

    assert (whole.value.status_code, whole.value.code, whole.value.type) == (status, code, "server_error")
    assert (streamed.value.code, streamed.value.type) == (code, "server_error")
    assert isinstance(streamed.value.body, dict)
    assert streamed.value.body["partial"] == bool(join_text(received))
    assert [choice.finish_reason for chunk in received for choice in chunk.choices if choice.finish_reason] == []
    assert SECRET not in str(whole.value.body) + str(streamed.value.body)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # options, field, what the message says
    ({"n": 2}, "n", "one answer"),
    ({"tool_choice": "required"}, "tool_choice", "No tool"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "No tool"),
    ({"response_format": {"type": "json_object"}}, "response_format", "text only"),
    ({"logprobs": True}, "logprobs", "leave it out"),
    ({"stop": ["\n"]}, "stop", "leave it out"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages", "last message"),
    ({"messages": [*ASK, {"role": "assistant", "content": "It is"}]}, "messages", "last message"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages", "at least 1 character"),
    ({"messages": [{"role": "user", "content": "x" * 4001}]}, "messages", "at most 4000"),
    ({"messages": [{"role": "user", "content": "\u200b"}]}, "question", "no visible character"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        "messages.0.content",
        "parts with text",
    ),
    ({"messages": [{"role": "user", "content": [{"type": {}}]}]}, "messages.0.content", "parts with text"),
    ({"extra_body": {"top_k": 0}}, "top_k", "greater than or equal to 1"),
    ({"extra_body": {"collection": "legal"}}, "collection", "no collections"),
]


@pytest.mark.parametrize(("options", "field", "says"), REFUSED)
async def test_what_cannot_be_had_is_a_bad_request(
    open_client: OpenClient, options: dict[str, Any], field: str, says: str
) -> None:
    """Before the stream begins, with the field and what to do: ignored, it would give an answer to something else."""
    async with open_client() as client:
        for stream in (True, False):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(
                    **{"model": "pagewire/openai", "messages": ASK, **options}, stream=stream
                )

    error = refused.value
    assert (error.param, error.type, error.code) == (field, "invalid_request_error", "invalid_value")
    assert says in error.message


async def test_what_changes_nothing_that_matters_is_ignored(open_client: OpenClient) -> None:
    """Front ends send all their settings: sampling, tools that need not be called, names of users, unknown fields."""
    async with open_client() as client:
        whole = await client.chat.completions.create(
            model="pagewire/openai",
            messages=ASK,
            n=1,
            temperature=1,
            top_p=1,
            presence_penalty=0,
            frequency_penalty=0,
            max_tokens=100,
            seed=1,
            user="u",
            stop=[],
            logprobs=False,
            response_format={"type": "text"},
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
            tool_choice="auto",
            extra_body={"some_new_field": {"a": 1}},
        )

    assert whole.choices[0].message.content == ANSWER


async def test_other_errors_have_the_clients_form_too(open_client: OpenClient) -> None:
    """No such model, route or document, a method that is not there, a body that is no JSON: the right exceptions."""
    async with open_client() as client:
        with pytest.raises(openai.NotFoundError) as model:
            await client.chat.completions.create(model="gpt-5", messages=ASK)
        with pytest.raises(openai.NotFoundError) as document:
            await client.chat.completions.create(
                model="pagewire", messages=ASK, extra_body={"document_ids": ["doc_none"]}
            )
        with pytest.raises(openai.NotFoundError) as route:
            await client.embeddings.create(model="pagewire", input="x")
        async with httpx.AsyncClient(base_url=str(client.base_url)) as http:
            method = await http.get("chat/completions")
            broken = await http.post("chat/completions", content=b"{", headers={"Content-Type": "application/json"})
            foreign = await http.post("chat/completions", json={}, headers={"Origin": "https://evil.example"})
            outside = await http.post("../query", json={})

    assert (model.value.code, model.value.param) == ("model_not_found", "model")
    assert "pagewire/openai" in model.value.message
    assert document.value.code == route.value.code == "not_found"
    assert (method.status_code, method.json()["error"]["type"]) == (405, "invalid_request_error")
    assert (broken.status_code, broken.json()["error"]["param"]) == (400, "body")
    assert (foreign.status_code, foreign.json()["error"]["type"]) == (403, "permission_error")
    assert (outside.status_code, "type" in outside.json()["error"]) == (422, False)


async def test_the_models_are_the_default_and_the_providers(open_client: OpenClient) -> None:
    """What is listed can be looked at and asked."""
    async with open_client() as client:
        listed = [model async for model in client.models.list()]
        looked_at = [await client.models.retrieve(model.id) for model in listed]
        whole = await client.chat.completions.create(model="pagewire", messages=ASK)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("pagewire/none")

    assert [(model.id, model.owned_by) for model in listed] == [
        ("pagewire", "pagewire"),
        ("pagewire/openai", "openai"),
        ("pagewire/extractive", "extractive"),
    ]
    for model in listed:
        assert isinstance(model, Model)
        check_strictly(model, extra=set())
    assert looked_at == listed
    assert (whole.model, whole.choices[0].message.content) == ("pagewire", ANSWER)


async def test_earlier_turns_and_wishes_reach_the_model(
    open_client: OpenClient, llm: LlmServer, search: CannedSearch
) -> None:
    """The last message is asked, and searched for as what it refers to; what tools said is left out.

    The model that is asked for that first writes no question, so that the rules make it.
    """
    messages: list[Any] = [
        {"role": "system", "content": "Answer like a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "Who wrote"}, {"type": "text", "text": "it?"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "secret of a tool", "tool_call_id": "1"},
        {"role": "assistant", "content": "Ada did [1]."},
        {"role": "user", "content": "When?"},
    ]
    async with open_client() as client:
        await client.chat.completions.create(model="pagewire/openai", messages=messages)

    assert [request.query for request in search.requests] == ["Who wrote\nit, when?"]
    system, user = (message["content"] for message in llm.requests[1].body["messages"])
    assert "Answer like a pirate." not in str(llm.requests[0].body)
    assert "Answer like a pirate." not in system
    assert "Answer like a pirate." in user
    assert "Who wrote\nit?" in user
    assert "Ada did ⟦1⟧." in user
    assert "secret of a tool" not in user
    assert user.rstrip().split("\n")[-2] == "When?"


async def test_our_own_options_are_kept(
    open_client: OpenClient, search: CannedSearch, ready_document: str, settings: GatewaySettings
) -> None:
    """Documents and number of passages, in the field that the client has for what is not OpenAI's."""
    settings.public_url = "https://docs.example.com/pages/"
    async with open_client() as client:
        chunks = await read_chunks(client, extra_body={"document_ids": [ready_document], "top_k": 2})

    (request,) = search.requests
    assert (request.filter.document_ids, request.top_k) == ([ready_document], 2)
    citations = (chunks[-1].model_extra or {})["citations"]
    assert citations[1] == f"https://docs.example.com/pages/documents/{ready_document}/file#page=2"


async def test_sources_can_stand_in_the_text(open_client: OpenClient) -> None:
    """For front ends that show nothing else: what was cited, as links, at the end of the answer."""
    async with open_client() as client:
        options: dict[str, Any] = {"extra_body": {"sources_as": "markdown"}}
        chunks = await read_chunks(client, **options)
        whole = await client.chat.completions.create(model="pagewire/openai", messages=ASK, **options)

    text, _, footer = join_text(chunks).partition("\n\n---\n")
    assert text == ANSWER
    url = (chunks[-1].model_extra or {})["citations"][0]
    assert footer == f"[1] [Filing, page 1]({url})"
    assert whole.choices[0].message.content == join_text(chunks)


async def test_sources_can_be_those_of_open_webui(open_client: OpenClient, search: CannedSearch) -> None:
    """Each passage is a source of its own, in the order of the numbers, so that `[n]` leads to the n-th."""
    async with (
        open_client() as client,
        await client.chat.completions.create(
            model="pagewire/openai", messages=ASK, stream=True, extra_body={"sources_as": "open_webui"}
        ) as stream,
    ):
        chunks = [chunk async for chunk in stream]

    events = [event for chunk in chunks if (event := (chunk.model_extra or {}).get("event"))]
    assert [event["type"] for event in events] == ["source"] * 3
    assert [event["data"]["document"] for event in events] == [[passage.text] for passage in search.passages]
    assert len({event["data"]["metadata"][0]["source"] for event in events}) == 3
    assert read_annotations(chunks) == []


async def test_a_client_that_leaves_ends_the_answer(open_client: OpenClient, llm: LlmServer) -> None:
    """A stream and a whole answer: the connection to the provider closes with the client's."""
    async with open_client(Scenario.ENDLESS) as client:
        async with await client.chat.completions.create(model="pagewire/openai", messages=ASK, stream=True) as stream:
            async for chunk in stream:
                if join_text([chunk]):
                    break
        await asyncio.wait_for((await llm.wait_for_request(0)).disconnected.wait(), PATIENT_S)
        asking = asyncio.create_task(client.chat.completions.create(model="pagewire/openai", messages=ASK))
        request = await llm.wait_for_request(1)
        await request.started.wait()
        asking.cancel()
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)


async def test_a_stream_that_was_left_can_be_read_to_its_end(open_client: OpenClient, llm: LlmServer) -> None:
    """With `on_disconnect: continue`: the run goes on, and its own address has all of it."""
    llm.delay_s = 0.02
    async with open_client() as client:
        async with await client.chat.completions.create(
            model="pagewire/openai", messages=ASK, stream=True, extra_body={"on_disconnect": "continue"}
        ) as stream:
            run_id = stream.response.headers["x-run-id"]
            async for chunk in stream:
                if join_text([chunk]):
                    break
        async with httpx.AsyncClient(base_url=str(client.base_url).removesuffix("/v1/"), timeout=30) as http:
            rest = await http.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": "0"})

    data = [json.loads(line.removeprefix("data: ")) for line in rest.text.split("\n") if line.startswith("data: ")]
    assert "".join(item.get("token", "") for item in data) == ANSWER
    assert data[-1]["finish_reason"] == "stop"


async def test_no_passages_means_not_found(open_client: OpenClient, search: CannedSearch) -> None:
    """The fixed sentence, without sources."""
    search.passages = []
    async with open_client() as client:
        chunks = await read_chunks(client)

    assert join_text(chunks) == NOT_FOUND_ANSWER
    assert (chunks[-1].model_extra or {})["citations"] == []


async def test_the_headers_let_streams_through_proxies(open_client: OpenClient) -> None:
    """Event-stream, not cached, not buffered, with the ids of request and run."""
    async with open_client() as client:
        response = await client.chat.completions.with_raw_response.create(
            model="pagewire/openai", messages=ASK, stream=True, extra_headers={"X-Request-ID": "my-id"}
        )

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"] == "my-id"
    assert response.headers["x-run-id"].startswith("run_")
