"""OpenAI's responses: what goes in comes out, however it is cut into batches."""

import json
from typing import Any

import httpx
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from services.gateway.runs.dialects.openai_responses import ResponseEncoder
from services.gateway.runs.dialects.openai_sources import AnswerHead
from shared.contracts.questions import FinishReason, StreamError
from shared.contracts.runs import Delta, Failed, RunEvent, Started
from shared.event_log.port import EventBatch
from tests.unit.gateway.test_openai_chat_dialect import FINISHED, TEXTS, make_events

ERROR = StreamError(code="server_shutdown", message="m", retryable=True, partial=True)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def encode(events: list[RunEvent], cuts: list[int] | None = None) -> bytes:
    """The bytes of these events, in batches that end at the cuts."""
    encoder = ResponseEncoder(AnswerHead(run_id="run_1", created=1, model="m", base_url="http://h"))
    ends = sorted({cut for cut in cuts or [] if 0 < cut < len(events)} | {len(events)})
    starts = [0, *ends[:-1]]
    return b"".join(
        encoder.encode_batch(EventBatch(start + 1, events[start:end])) for start, end in zip(starts, ends, strict=True)
    )


def read(stream: bytes) -> list[Any]:
    """What a client gets: each event is one of OpenAI's, named as its data say, and numbered without gaps."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    events = list(EventSource(response).iter_sse())
    data = [json.loads(event.data) for event in events]
    assert [event.event for event in events] == [item["type"] for item in data]
    assert [item["sequence_number"] for item in data] == list(range(len(data)))
    return [EVENT.validate_python(item) for item in data]


@given(TEXTS, st.lists(st.integers(0, 25)))
def test_every_text_comes_out_as_it_went_in(texts: list[str], cuts: list[int]) -> None:
    """Any characters, any batches: the same bytes, joined the same text, one end."""
    stream = encode(make_events(texts), cuts)
    events = read(stream)

    assert stream == encode(make_events(texts))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "".join(texts)
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "".join(texts)


def test_a_run_that_ends_before_its_passages_is_whole_all_the_same() -> None:
    """One that is stopped while it searches has an empty message; one that fails has none."""
    reason: FinishReason = "stopped"
    started = Started(run_id="run_1", resumable=False)
    stopped = FINISHED.model_copy(update={"finish_reason": reason, "citations": [], "sources": []})
    kinds = [event.type for event in read(encode([started, stopped]))]
    failed = read(encode([started, Failed(error=ERROR, status=503)]))

    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 1
    assert kinds[-1] == "response.incomplete"
    assert [event.type for event in failed] == ["response.created", "response.in_progress", "response.failed"]
    assert failed[-1].response.output == []


def test_the_end_of_a_connection_is_no_end_of_the_response() -> None:
    """`error` says that the rest is elsewhere."""
    encoder = ResponseEncoder(AnswerHead(run_id="run_1", created=1, model="m", base_url="http://h"))
    (broken,) = read(encoder.encode_batch(EventBatch(1, [])) + encoder.encode_break(ERROR))
    assert (broken.type, broken.code) == ("error", "server_shutdown")


def test_half_of_a_surrogate_pair_can_be_sent() -> None:
    """As in the native dialect: each half goes out escaped."""
    assert b'"delta":"\\ud83e"' in encode([Delta("\ud83e")])
