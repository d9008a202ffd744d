"""OpenAI's chat completions: what goes in comes out, however it is cut into batches."""

import json
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from services.gateway.runs.dialects.openai_chat import ChatEncoder, make_completion
from services.gateway.runs.dialects.openai_sources import AnswerHead
from shared.contracts.questions import Citation, QueryTimings, Source, StreamError, Supported, Usage
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.event_log.port import EventBatch

ERROR = StreamError(code="llm_busy", message="m", retryable=True, partial=False, retry_after=3)
HEAD = AnswerHead(run_id="run_1", created=1, model='m"%s', base_url="http://h")
SOURCE = Source(n=1, chunk_id=7, document_id="doc_1", title="A [b](c)", page=2, text="t", score=0.5, cited=True)
FINISHED = Finished(
    sources=[SOURCE],
    citations=[Citation(n=1, start=0, end=3)],
    finish_reason="stop",
    usage=Usage(provider="p", model="m"),
    timings_ms=QueryTimings(retrieval=1, rerank=None, first_token=1, total=1),
)
TEXTS = st.lists(st.text(min_size=1, max_size=20), max_size=20)


def make_events(texts: list[str]) -> list[RunEvent]:
    start: list[RunEvent] = [Started(run_id="run_1", resumable=False), PassagesFound(passages=[])]
    return [*start, *map(Delta, texts), FINISHED]


def encode(events: list[RunEvent], cuts: list[int] | None = None, *, include_usage: bool = False) -> bytes:
    """The bytes of these events, in batches that end at the cuts."""
    encoder = ChatEncoder(HEAD, include_usage=include_usage)
    ends = sorted({cut for cut in cuts or [] if 0 < cut < len(events)} | {len(events)})
    starts = [0, *ends[:-1]]
    return b"".join(
        encoder.encode_batch(EventBatch(start + 1, events[start:end])) for start, end in zip(starts, ends, strict=True)
    )


def read(stream: bytes) -> list[Any]:
    """What a client that reads Server-Sent Events gets, parsed but for the marker of the end."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    events = list(EventSource(response).iter_sse())
    assert {event.event for event in events} == {"message"}
    return [event.data if event.data == "[DONE]" else json.loads(event.data) for event in events]


@given(TEXTS, st.lists(st.integers(0, 25)), st.booleans())
def test_every_text_comes_out_as_it_went_in(texts: list[str], cuts: list[int], include_usage: bool) -> None:
    """Any characters, any batches: the same bytes, each chunk whole, joined the same text, one end."""
    events = make_events(texts)
    stream = encode(events, cuts, include_usage=include_usage)
    *chunks, done = read(stream)

    assert stream == encode(events, include_usage=include_usage)
    assert done == "[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-run_1", 1, HEAD.model)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "".join(texts)
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert [chunk.get("usage", 0) is None for chunk in chunks[:-1]] == [include_usage] * (len(chunks) - 1)


def test_half_of_a_surrogate_pair_can_be_sent() -> None:
    """As in the native dialect: each half goes out escaped."""
    assert b'"content":"\\ud83e"' in encode([Delta("\ud83e")])


@pytest.mark.parametrize("end", ["failed", "broken"])
def test_an_error_is_told_and_nothing_after_it(end: str) -> None:
    """In the form that clients raise, without the marker of a good end: the run's own, and that of a connection."""
    encoder = ChatEncoder(HEAD, include_usage=True)
    failed = Failed(error=ERROR, status=429)
    stream = encode([failed]) if end == "failed" else encoder.encode_break(ERROR)

    (error,) = read(stream)
    assert error == {
        "error": {
            "message": "m",
            "type": "rate_limit_error" if end == "failed" else "server_error",
            "param": None,
            "code": "llm_busy",
            "retryable": True,
            "partial": False,
            "retry_after": 3,
        }
    }


def test_a_title_cannot_end_its_link() -> None:
    """Titles come from PDFs: in the list of links they are text."""
    head = AnswerHead(run_id="run_1", created=1, model="m", base_url="http://h", sources_as="markdown")
    content = make_completion("a", FINISHED, head)["choices"][0]["message"]["content"]
    assert content == "a\n\n---\n[1] [A \\[b\\](c), page 2](http://h/documents/doc_1/file#page=2)"


def test_a_list_of_links_warns_of_what_is_not_supported() -> None:
    """Front ends that show nothing but the text show that, too."""
    head = AnswerHead(run_id="run_1", created=1, model="m", base_url="http://h", sources_as="markdown")
    verdicts: list[Supported] = [True, False, "unknown"]
    for verdict in verdicts:
        finished = FINISHED.model_copy(update={"sources": [SOURCE.model_copy(update={"supported": verdict})]})
        content = make_completion("a", finished, head)["choices"][0]["message"]["content"]
        assert content.endswith(" (not supported)") == (verdict is False)


def test_a_source_without_a_place_is_still_listed() -> None:
    """Where only the end of the text has shown that something was a citation, no place is known."""
    finished = FINISHED.model_copy(update={"citations": []})
    completion = make_completion("a", finished, HEAD)
    assert completion["choices"][0]["message"]["annotations"] == []
    assert completion["search_results"][0]["cited"] is True
