"""The pump between an answer and its client: exactly one terminal event, whatever happens and whenever."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.answers.answer_question import AnswerEvent
from services.gateway.api.event_stream import QUEUE_EVENTS, _encode_events, encode_answer_event
from shared.contracts.questions import QueryTimings, SourcesEvent, TokenEvent, Usage
from shared.errors import LanguageModelBusy, LanguageModelTimeout
from shared.sse import read_events

END = SourcesEvent(
    sources=[],
    run_id="run_1",
    usage=Usage(provider="p", model="m"),
    timings_ms=QueryTimings(retrieval=1, rerank=None, first_token=1, total=1),
)


async def play(tokens: Sequence[str], error: Exception | None = None) -> AsyncGenerator[AnswerEvent, None]:
    """An answer of these tokens that ends well or with an exception."""
    for token in tokens:
        yield TokenEvent(token=token)
    if error is not None:
        raise error
    yield END


async def collect(
    events: AsyncGenerator[AnswerEvent, None], stopping: anyio.Event | None = None
) -> list[tuple[str, str]]:
    """Names and data of what the client gets."""
    chunks = [chunk async for chunk in _encode_events(events, stopping or anyio.Event())]
    return [(event.event, event.data) for event in read_events(chunks)]


@settings(max_examples=60)
@given(st.lists(st.text(min_size=1, max_size=20), max_size=30))
async def test_every_token_comes_out_as_it_went_in(tokens: list[str]) -> None:
    """Any text: line ends, blank lines, quotes, NUL, emoji. One event a token, in order, then `sources`."""
    events = await collect(play(tokens))

    assert [name for name, _ in events] == ["token"] * len(tokens) + ["sources"]
    assert [json.loads(data)["token"] for name, data in events if name == "token"] == tokens


def test_half_of_a_surrogate_pair_can_be_sent() -> None:
    """Some servers split an emoji over two tokens: each half goes out escaped, and a browser joins them."""
    encoded = encode_answer_event(TokenEvent.model_construct(token="\ud83e"), 1)

    assert b'{"token": "\\ud83e"}' in encoded


@pytest.mark.parametrize(
    ("error", "code"),
    [(LanguageModelTimeout("too slow"), "llm_timeout"), (ZeroDivisionError("secret"), "internal_error")],
)
async def test_an_exception_is_the_one_terminal_event(error: Exception, code: str) -> None:
    """After the tokens that came before it, with `partial`, and without what the exception says."""
    events = await collect(play(["a", "b"], error))

    assert [name for name, _ in events] == ["token", "token", "error"]
    body = json.loads(events[-1][1])["error"]
    assert (body["code"], body["partial"]) == (code, True)
    assert "secret" not in events[-1][1]


async def test_a_busy_provider_says_when_to_come_back() -> None:
    """A stream has no Retry-After header any more when its provider refuses."""
    events = await collect(play([], LanguageModelBusy("busy", retry_after=7)))

    assert json.loads(events[-1][1])["error"]["retry_after"] == 7


async def test_an_exception_before_the_first_token_is_not_partial() -> None:
    """A client may then ask another server without repeating itself."""
    events = await collect(play([], LanguageModelTimeout("too slow")))

    assert json.loads(events[-1][1])["error"]["partial"] is False


async def test_a_shutdown_after_the_answer_adds_nothing() -> None:
    """The server stops while the last events wait for a slow client: `sources` stays the only terminal event."""
    stopping = anyio.Event()
    stream = _encode_events(play(["a"]), stopping)
    # The first step starts the producer; the client takes nothing until all of the answer is in the queue.
    first = await anext(stream)
    stopping.set()
    for _ in range(10):
        await asyncio.sleep(0)
    rest = [chunk async for chunk in stream]

    names = [event.event for event in read_events([first, *rest])]
    assert names == ["token", "sources"]


@pytest.mark.parametrize("tokens", [[], ["a"]])
async def test_a_shutdown_says_whether_there_were_tokens(tokens: list[str]) -> None:
    """A client that has shown nothing may ask another server without repeating itself."""
    stopping = anyio.Event()
    silent = asyncio.Event()

    async def play_and_stall() -> AsyncGenerator[AnswerEvent, None]:
        for token in tokens:
            yield TokenEvent(token=token)
        silent.set()
        await asyncio.Event().wait()

    collecting = asyncio.create_task(collect(play_and_stall(), stopping))
    await silent.wait()
    stopping.set()
    *_, (name, data) = await collecting

    error = json.loads(data)["error"]
    assert (name, error["code"], error["partial"]) == ("error", "server_shutdown", bool(tokens))
    assert error["retry_after"] > 0


async def test_a_shutdown_with_a_full_queue_ends_the_stream_once() -> None:
    """A client that does not read, a queue that is full, a server that stops: one error event, last."""
    stopping = anyio.Event()
    stream = _encode_events(play(["x"] * QUEUE_EVENTS * 3), stopping)
    chunks = [await anext(stream)]
    stopping.set()
    chunks += [chunk async for chunk in stream]

    names = [event.event for event in read_events(chunks)]
    assert names[-1] == "error"
    assert names.count("error") == 1
    assert "sources" not in names


async def test_leaving_ends_the_producer() -> None:
    """A client that leaves closes the answer's generator, and with it the connection to the provider."""
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[AnswerEvent, None]:
        try:
            while True:
                yield TokenEvent(token="x")
                await asyncio.sleep(0)
        finally:
            closed.set()

    stream = _encode_events(endless(), anyio.Event())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]

    assert closed.is_set()
