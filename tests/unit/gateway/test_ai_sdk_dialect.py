"""The AI SDK's dialect: strictly in its schema, and the same message however often the connection breaks."""

import json
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.gateway.runs.dialects.ai_sdk import UiMessageEncoder
from shared.contracts.questions import Citation, QueryTimings, Source, StreamError, Usage
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.contracts.search import Span
from shared.contracts.ui_messages import ChatRequest
from shared.event_log.port import EventBatch
from tests.ui_message_stream import InvalidStreamError, Message, check_part

ERROR = StreamError(code="llm_busy", message="Ask again.", retryable=True, partial=True, retry_after=7)
SOURCES = [
    Source(n=n, chunk_id=n, document_id="doc_1", title="Filing", page=n, text="t", score=0.5, cited=n == 2)
    for n in (1, 2)
]
CITATIONS = [Citation(n=2, start=2, end=5, claim=Span(start=0, end=1), supported=False, missing=[Span(start=0, end=1)])]


def make_finished(reason: Any = "stop") -> Finished:
    return Finished(
        sources=SOURCES,
        citations=CITATIONS,
        finish_reason=reason,
        usage=Usage(provider="p", model="m", input_tokens=3),
        timings_ms=QueryTimings(retrieval=1, rerank=None, first_token=1, total=1),
    )


ENDS: list[RunEvent] = [make_finished(), make_finished("stopped"), Failed(error=ERROR, status=503)]
BEGINNING: list[RunEvent] = [Started(run_id="run_1", resumable=True), PassagesFound(passages=SOURCES)]


def make_run(texts: list[str], end: RunEvent) -> list[RunEvent]:
    return [*BEGINNING, *(Delta(text) for text in texts), end]


def decode(stream: bytes) -> list[ServerSentEvent]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return [event for event in EventSource(response).iter_sse() if event.data]


def send(events: list[RunEvent], first: int = 1, *, passages: bool = False) -> bytes:
    return UiMessageEncoder("run_1", "http://here", passages=passages).encode_batch(EventBatch(first, events))


def read(stream: bytes) -> Message:
    message = Message()
    message.read_all(decode(stream))
    return message


@given(st.lists(st.text(min_size=1, max_size=20), max_size=30), st.sampled_from(ENDS))
def test_any_run_is_a_valid_message_with_its_whole_text(texts: list[str], end: RunEvent) -> None:
    """Any text: line ends, quotes, NUL, emoji. Whatever the end is, the strict schema holds and there is one."""
    message = read(send(make_run(texts, end)))

    assert message.text == "".join(texts)
    assert message.id == message.metadata["run_id"] == "run_1"


@given(st.lists(st.text(min_size=1, max_size=5), max_size=8), st.sampled_from(ENDS), st.data())
def test_a_stream_that_is_cut_anywhere_goes_on_without_loss(
    texts: list[str], end: RunEvent, data: st.DataObject
) -> None:
    """Cut behind any frame, also in the middle of an event: behind the id that the client has last seen the rest comes,
    no delta twice, none lost, one source once."""
    run = make_run(texts, end)
    frames = decode(send(run))
    cut = data.draw(st.integers(0, len(frames) - 3))  # the end itself has not arrived
    message = Message()
    for frame in frames[:cut]:
        message.read(frame)
    after = int(message.last_event_id.removeprefix("run_1:") or 0)
    message.begin_connection()
    seen = len(message.sources)
    message.read_all(decode(send(run[after:], after + 1)))

    assert message.text == "".join(texts)
    assert len({source["sourceId"] for source in message.sources[seen:]}) == len(message.sources) - seen


def test_a_whole_answer_has_its_sources_and_figures() -> None:
    """Cited passages are sources with their page and evidence; usage, timings and the finish reason are metadata."""
    message = read(send(make_run(["a [2]"], make_finished())))

    assert message.ends == ["finish"]
    (source,) = message.sources
    assert (source["sourceId"], source["title"]) == ("doc_1#2", "Filing, page 2")
    url = "http://here/documents/doc_1/file#page=2"
    cited = {"url": url, "citations": [citation.model_dump(mode="json") for citation in CITATIONS]}
    assert source["providerMetadata"]["pagewire"] == SOURCES[1].model_dump(mode="json") | cited
    assert message.metadata == {
        "run_id": "run_1",
        "resumable": True,
        **make_finished().model_dump(
            mode="json",
            include={"finish_reason", "usage", "timings_ms", "cached", "trace_id", "standalone_question"},
        ),
    }


def test_what_was_found_comes_before_the_text_when_asked_for() -> None:
    """In a part that the client shows and does not keep: it would send it back with every question."""
    message = read(send(make_run(["a"], make_finished()), passages=True))

    (found,) = message.transient
    assert found["type"] == "data-passages"
    assert [passage["n"] for passage in found["data"]["passages"]] == [1, 2]


def test_an_error_is_told_to_programs_and_to_people() -> None:
    """The code in a data part; the message as the error's text."""
    message = read(send(make_run(["a"], Failed(error=ERROR, status=503))))

    assert (message.ends, message.error) == (["error"], "Ask again.")
    assert message.transient[0]["data"] == ERROR.model_dump(mode="json", exclude_none=True)


def test_the_end_of_a_connection_has_no_number() -> None:
    """It is no event of the run: a client that comes back goes on behind the last one that has one."""
    encoder = UiMessageEncoder("run_1", "http://here", passages=False)
    stream = encoder.encode_batch(EventBatch(1, [*BEGINNING, Delta("a")])) + encoder.encode_break(ERROR)

    message = read(stream)
    assert (message.ends, message.last_event_id) == (["error"], "run_1:3")


def test_half_of_a_surrogate_pair_can_be_sent() -> None:
    """Some servers split an emoji over two tokens: each half goes out escaped, and a browser joins them."""
    assert read(send(make_run(["\ud83e", "\udd16"], make_finished()))).text == "🤖"


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"type": "token"},
        {"type": "start", "message_id": "m"},
        {"type": "text-delta", "id": "t"},
        {"type": "text-delta", "id": "t", "delta": 1},
        {"type": "source-document", "sourceId": "s", "mediaType": "m", "title": "t", "page": 1},
        {"type": "source-document", "sourceId": "s", "title": "t"},
        {"type": "source-document", "sourceId": "s", "mediaType": "m", "title": "t", "providerMetadata": {"page": 1}},
        {"type": "error", "errorText": "e", "code": "c"},
        {"type": "data-x", "value": 1},
    ],
)
def test_the_validator_refuses_what_strict_objects_refuse(part: dict[str, Any]) -> None:
    """Unknown types and keys, missing keys, wrong values: without that the other tests would show nothing."""
    with pytest.raises(InvalidStreamError):
        check_part(part)


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text-delta", "id": "t", "delta": "a"}],
        [{"type": "text-end", "id": "t"}],
        [{"type": "finish"}, {"type": "start"}],
        [{"type": "text-start", "id": "t"}, {"type": "finish-step"}, {"type": "text-delta", "id": "t", "delta": "a"}],
        [],
    ],
)
def test_the_validator_refuses_a_wrong_order(parts: list[dict[str, Any]]) -> None:
    """A delta of no open text, parts behind the end, a stream without an end."""
    frames = "".join(f"data: {json.dumps(part)}\n\n" for part in parts)
    with pytest.raises(InvalidStreamError):
        read(frames.encode() + b"data: [DONE]\n\n")


def say(text: str, role: str = "user", **keys: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "text": text}], **keys}


CHAT = [say("first", id="u1"), say("answer", "assistant", id="a1"), say("second", id="u2")]


@pytest.mark.parametrize(
    ("body", "question"),
    [
        ({"messages": CHAT}, "second"),
        ({"messages": CHAT, "trigger": "submit-message", "messageId": "u2"}, "second"),
        ({"messages": CHAT[:1], "trigger": "regenerate-message", "messageId": "a1"}, "first"),
        ({"messages": CHAT, "trigger": "regenerate-message", "messageId": "a1"}, "first"),
        ({"messages": CHAT, "trigger": "regenerate-message", "messageId": "u2"}, "second"),
        ({"messages": CHAT, "trigger": "regenerate-message"}, "second"),
        ({"messages": [say("first"), say("second")], "trigger": "regenerate-message"}, "second"),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": s} for s in (" a", "b ")]}]}, "a\nb"),
        ({"messages": [*CHAT, say("system", "system")]}, "second"),
    ],
)
def test_the_question_is_the_last_of_the_user(body: dict[str, Any], question: str) -> None:
    """Also when an earlier answer is to be written anew; options go along."""
    request = ChatRequest.model_validate({"id": "c", "top_k": 3, "extra": 1, **body})
    query = request.make_query(request.list_turns()[-1][1])

    assert (query.question, query.top_k) == (question, 3)


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([], "no_question"),
        ([say("a", "assistant")], "no_question"),
        ([say("  ")], "no_question"),
        ([say("x" * 4001)], "question_too_long"),
        (
            [{"role": "user", "parts": [{"type": "text", "text": "a"}, {"type": "file", "url": "data:"}]}],
            "attached_file",
        ),
    ],
)
def test_what_could_only_be_answered_wrongly_is_refused(messages: list[dict[str, Any]], kind: str) -> None:
    """No question, too long a one, one about a file that nobody reads."""
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({"id": "c", "messages": messages})

    assert [error["type"] for error in caught.value.errors()] == [kind]
