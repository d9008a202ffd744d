"""`/v1/responses`, read by OpenAI's own client over a real socket."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseOutputMessage, ResponseOutputText, ResponseStreamEvent
from openai.types.responses.response_output_text import AnnotationURLCitation

from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.integration.openai_gateway import EVIDENCE, check_strictly, open_openai_gateway
from tests.llm_server import INPUT_TOKENS, MANY_TOKENS, TOKENS, LlmServer, Scenario, end_with
from tests.patience import PATIENT_S

ANSWER = "".join(TOKENS)
OURS = EVIDENCE | {
    *("citations", "search_results", "provider", "model", "timings_ms", "cached", "trace_id", "standalone_question")
}
OpenClient = Callable[..., AbstractAsyncContextManager[openai.AsyncOpenAI]]


@pytest.fixture
def open_client(settings: GatewaySettings, search: CannedSearch, llm: LlmServer) -> OpenClient:
    """Opens a gateway whose provider `openai` plays a scenario, and OpenAI's client of it."""
    return lambda scenario=Scenario.OK: open_openai_gateway(settings, search, llm, str(scenario))


async def read_events(client: openai.AsyncOpenAI, **options: Any) -> list[ResponseStreamEvent]:
    """All events of one answer, checked."""
    asked = {"model": "pagewire/openai", "input": "How much?", **options}
    async with await client.responses.create(**asked, stream=True) as stream:
        events = [event async for event in stream]
    for event in events:
        check_strictly(event, extra=OURS | {"retryable", "partial"})
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def read_text(response: Response) -> ResponseOutputText:
    (item,) = response.output
    assert isinstance(item, ResponseOutputMessage)
    (part,) = item.content
    assert isinstance(part, ResponseOutputText)
    return part


def join_deltas(events: list[ResponseStreamEvent]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


@pytest.mark.parametrize("scenario", [Scenario.OK, Scenario.SPLIT_CHARACTER, Scenario.MANY_TOKENS])
async def test_a_stream_builds_one_message_and_completes(open_client: OpenClient, scenario: Scenario) -> None:
    """In OpenAI's order, numbered without gaps; each `done` says again what was built."""
    async with open_client(scenario) as client:
        events = await read_events(client)

    tokens = MANY_TOKENS if scenario is Scenario.MANY_TOKENS else TOKENS
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        *([] if scenario is Scenario.MANY_TOKENS else ["response.output_text.annotation.added"]),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert join_deltas(events) == "".join(tokens)
    done, part, item, end = events[-4:]
    assert done.type == "response.output_text.done"
    assert part.type == "response.content_part.done"
    assert item.type == "response.output_item.done"
    assert end.type == "response.completed"
    assert done.text == "".join(tokens)
    assert [item.item] == end.response.output
    assert part.part == read_text(end.response)


async def test_a_citation_names_its_place_in_the_text_and_its_page(open_client: OpenClient, llm: LlmServer) -> None:
    """As it is announced, and in the message at the end."""
    llm.tokens = ("Umsatz € 🙂", " [2", "]", ". Cost [9]", " [1, 3].")
    async with open_client() as client:
        events = await read_events(client)

    end = events[-1]
    assert end.type == "response.completed"
    part = read_text(end.response)
    added = [event for event in events if event.type == "response.output_text.annotation.added"]
    told = [event.annotation.model_dump() for event in added if event.annotation]
    assert told == [annotation.model_dump() for annotation in part.annotations]
    assert [event.annotation_index for event in added] == [0, 1, 2]
    places = [place for place in part.annotations if isinstance(place, AnnotationURLCitation)]
    assert [part.text[place.start_index : place.end_index] for place in places] == ["[2]", "[1, 3]", "[1, 3]"]
    assert [place.url.partition("#")[2] for place in places] == ["page=2", "page=1", "page=3"]


async def test_the_whole_answer_is_the_end_of_the_stream(open_client: OpenClient) -> None:
    """But for what is another in each run; the client's helpers read both."""
    async with open_client() as client:
        events = await read_events(client)
        whole = await client.responses.create(model="pagewire/openai", input="How much?")
        async with client.responses.stream(model="pagewire/openai", input="How much?") as stream:
            final = await stream.get_final_response()

    check_strictly(whole, extra=OURS)
    end = events[-1]
    assert end.type == "response.completed"
    assert whole.output_text == end.response.output_text == final.output_text == ANSWER
    assert read_text(whole) == read_text(end.response)
    assert whole.status == "completed"
    assert whole.usage == end.response.usage
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (INPUT_TOKENS, len(TOKENS))
    ours, theirs = whole.model_extra or {}, end.response.model_extra or {}
    assert {*ours} == {*theirs} == OURS - EVIDENCE - {"provider", "model"}
    assert [ours[name] for name in ("citations", "search_results")] == [theirs["citations"], theirs["search_results"]]
    assert len(ours["citations"]) == 3


async def test_a_client_without_event_loop_reads_the_same(open_client: OpenClient) -> None:
    """OpenAI's synchronous client, stream and not."""
    async with open_client() as client:

        def ask() -> tuple[str, str]:
            with openai.OpenAI(base_url=str(client.base_url), api_key="any", max_retries=0) as sync:
                whole = sync.responses.create(model="pagewire/openai", input="How much?")
                with sync.responses.create(model="pagewire/openai", input="How much?", stream=True) as stream:
                    return whole.output_text, join_deltas(list(stream))

        assert await asyncio.to_thread(ask) == (ANSWER, ANSWER)


@pytest.mark.parametrize(
    ("word", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter"), ("tool_calls", None)]
)
async def test_an_answer_that_was_cut_off_is_incomplete(open_client: OpenClient, word: str, reason: str | None) -> None:
    """With OpenAI's word for the reason, where it has one."""
    async with open_client(end_with(word, tokens=3)) as client:
        events = await read_events(client)
        whole = await client.responses.create(model="pagewire/openai", input="How much?")

    end = events[-1]
    assert end.type == "response.incomplete"
    for response in (end.response, whole):
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason
        assert response.output_text == "".join(TOKENS[:3])


@pytest.mark.parametrize(
    ("scenario", "code", "partial"),
    [(Scenario.STATUS_401, "llm_rejected", False), (Scenario.CUT_OFF, "llm_incomplete", True)],
)
async def test_a_failed_answer_is_the_last_event(
    open_client: OpenClient, scenario: Scenario, code: str, partial: bool
) -> None:
    """With what came before it, and our code; without a stream it raises."""
    async with open_client(scenario) as client:
        events = await read_events(client)
        with pytest.raises(openai.InternalServerError) as failed:
            await client.responses.create(model="pagewire/openai", input="How much?")

    end = events[-1]
    assert end.type == "response.failed"
    assert end.response.status == "failed"
    assert end.response.error is not None
    assert (end.response.error.code, end.response.error.type) == ("server_error", code)
    assert (end.response.error.model_extra or {})["partial"] == partial
    assert end.response.output_text == join_deltas(events)
    assert bool(join_deltas(events)) == partial
    assert failed.value.code == code


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # options, field, what the message says
    ({"previous_response_id": "resp_1"}, "previous_response_id", "not kept"),
    ({"conversation": "conv_1"}, "conversation", "not kept"),
    ({"background": True}, "background", "leave it out"),
    ({"prompt": {"id": "p"}}, "prompt", "leave it out"),
    ({"tool_choice": "required"}, "tool_choice", "No tool"),
    ({"text": {"format": {"type": "json_object"}}}, "text.format", "text only"),
    ({"input": []}, "input", "at least 1"),
    ({"input": ""}, "input", "at least 1 character"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input", "not 'item_reference'"),
    ({"input": [{"type": {}, "role": "user", "content": "x"}]}, "input", "not {}"),
    ({"input": [{"role": "user", "content": [{"type": [], "text": "x"}]}]}, "input.0.content", "parts with text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content", "parts with text"),
    ({"input": [{"role": "assistant", "content": "It is"}]}, "input", "last message"),
    ({"instructions": "x" * 8001}, "input", "8000 characters"),
]


@pytest.mark.parametrize(("options", "field", "says"), REFUSED)
async def test_what_cannot_be_had_is_a_bad_request(
    open_client: OpenClient, options: dict[str, Any], field: str, says: str
) -> None:
    """With the field and what to do, before anything is asked."""
    async with open_client() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(**{"model": "pagewire/openai", "input": "How much?", **options})

    assert (refused.value.param, refused.value.code) == (field, "invalid_value")
    assert says in refused.value.message


async def test_an_answer_can_be_sent_back_with_the_next_question(
    open_client: OpenClient, llm: LlmServer, search: CannedSearch
) -> None:
    """As the client gave it, beside items that are no messages, and with wishes about the form."""
    async with open_client() as client:
        first = await client.responses.create(model="pagewire/openai", input="How much?")
        conversation: list[Any] = [
            {"role": "user", "content": [{"type": "input_text", "text": "How much?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            *(item.model_dump() for item in first.output),
            {"role": "user", "content": "And before?"},
        ]
        await client.responses.create(
            model="pagewire/openai", input=conversation, instructions="Be brief.", store=True, temperature=1
        )

    assert [request.query for request in search.requests] == ["How much?", "And before?"]
    prompt = llm.requests[-1].body["messages"][1]["content"]
    assert f"{ANSWER[:10]}" in prompt
    assert "Be brief." in prompt


async def test_sources_can_stand_in_the_text(open_client: OpenClient) -> None:
    """Deltas, `done` and message agree."""
    async with open_client() as client:
        events = await read_events(client, extra_body={"sources_as": "markdown"})
        whole = await client.responses.create(
            model="pagewire/openai", input="How much?", extra_body={"sources_as": "markdown"}
        )

    end = events[-1]
    assert end.type == "response.completed"
    assert whole.output_text == end.response.output_text == join_deltas(events)
    assert whole.output_text.startswith(f"{ANSWER}\n\n---\n[1] [Filing, page 1](http://")


async def test_a_client_that_leaves_ends_the_answer(open_client: OpenClient, llm: LlmServer) -> None:
    """The connection to the provider closes with the client's."""
    async with open_client(Scenario.ENDLESS) as client:
        async with await client.responses.create(model="pagewire/openai", input="How much?", stream=True) as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    break
        await asyncio.wait_for((await llm.wait_for_request()).disconnected.wait(), PATIENT_S)
