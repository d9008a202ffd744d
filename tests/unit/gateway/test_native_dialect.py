"""The native dialect: what goes in comes out at a client that reads Server-Sent Events."""

import json

import httpx
from httpx_sse import EventSource, ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.runs.dialects.native import encode_batch, encode_break
from shared.contracts.questions import QueryTimings, StreamError, Usage
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.event_log.port import EventBatch

ERROR = StreamError(code="c", message="m", retryable=True, partial=False)
FINISHED = Finished(
    sources=[],
    finish_reason="stop",
    usage=Usage(provider="p", model="m"),
    timings_ms=QueryTimings(retrieval=1, rerank=None, first_token=1, total=1),
)


def read(stream: bytes) -> list[ServerSentEvent]:
    """What a client reads of a stream."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return list(EventSource(response).iter_sse())


def send(events: list[RunEvent], *include: str) -> list[ServerSentEvent]:
    """What a client reads of these events, the first of which has the number 1."""
    return read(encode_batch(EventBatch(1, events), "run_1", include))


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=30))
def test_every_token_comes_out_as_it_went_in(texts: list[str]) -> None:
    """Any text: line ends, blank lines, quotes, NUL, emoji. One event a token, in order, with its number as id."""
    events = send([Delta(text) for text in texts])

    assert [json.loads(event.data)["token"] for event in events] == texts
    assert [event.id for event in events] == [str(n) for n in range(1, len(texts) + 1)]


def test_half_of_a_surrogate_pair_can_be_sent() -> None:
    """Some servers split an emoji over two tokens: each half goes out escaped, and a browser joins them."""
    assert b'{"token": "\\ud83e"}' in encode_batch(EventBatch(1, [Delta("\ud83e")]), "run_1", ())


def test_what_is_not_asked_for_is_not_on_the_wire() -> None:
    """The plain stream is what the tutorial's clients read: tokens, then sources; numbers stay."""
    run: list[RunEvent] = [
        Started(run_id="run_1", resumable=True),
        PassagesFound(passages=[]),
        Delta("a"),
        FINISHED,
    ]

    assert [(event.event, event.id) for event in send(run)] == [("token", "3"), ("sources", "4")]
    assert [event.event for event in send(run, "run", "passages")] == ["run", "passages", "token", "sources"]


def test_an_end_names_the_run() -> None:
    """So that it can be reported; an error is the run's own, with a number."""
    (end,) = send([FINISHED])
    (failed,) = send([Failed(error=ERROR, status=503)])

    assert json.loads(end.data)["run_id"] == "run_1"
    assert (failed.event, failed.id) == ("error", "1")
    assert json.loads(failed.data) == {"error": {"code": "c", "message": "m", "retryable": True, "partial": False}}


def test_the_end_of_a_connection_has_no_number() -> None:
    """It is no event of the run: a client that comes back goes on behind the last one that has one."""
    (broken,) = read(encode_break(ERROR))

    assert (broken.event, broken.id) == ("error", "")
