"""The language-model adapters keep the port's promises, with the real SDKs, over a real socket, for each provider."""

import asyncio
import gc
import importlib
import json
import socket
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import ModuleType
from typing import Any, Protocol

import aiohttp
import anthropic
import groq
import httpx
import httpx2
import openai
import pytest
from pydantic import SecretStr

from services.gateway.ports import AnswerPiece, Completion, LanguageModel, Message, Prompt, TextDelta
from services.gateway.providers import answer_stream
from services.gateway.providers.answer_stream import MAX_PIECE_CHARS
from services.gateway.providers.event_reader import EventReader
from services.gateway.providers.language_models import (
    LanguageModelConfig,
    build_language_models,
    choose_openai_options,
    choose_short_options,
)
from services.gateway.providers.llm_errors import (
    BY_CLASS,
    UnreadableEvent,
    read_retry_after,
    translate_error,
    translate_in_band,
)
from services.gateway.providers.sdk_clients import open_anthropic, open_groq, open_openai
from shared.errors import (
    LanguageModelBusy,
    LanguageModelError,
    LanguageModelRejected,
    LanguageModelTimeout,
    LanguageModelUnavailable,
    QuestionRejected,
)
from tests.llm_server import (
    INPUT_TOKENS,
    MANY_TOKENS,
    RETRY_AFTER_S,
    SECRET,
    TOKENS,
    WIRES,
    LlmServer,
    Scenario,
    end_with,
    find_refusing_urls,
    run_llm_server,
)

SYSTEM = Message("system", "Answer from the passages.")
USER = Message("user", "[1] Net sales …\n\nHow much?")
PROMPT = Prompt((SYSTEM, USER), question="How much?", passages=())
KEY = "sk-our-own-key"
PROVIDERS = ("openai", "anthropic", "groq")
SHORT_IDLE_S = 1.0
"""For the scenarios that stall; all others end long before the long one."""
LONG_IDLE_S = 60.0
LEEWAY_S = 60.0
"""For what comes at once on a machine that is not busy."""


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """Every test that takes it runs for each provider."""
    return str(request.param)


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    async with run_llm_server() as running:
        yield running


class TrackedText(str):
    """A text of which can be told whether it is still there."""


class ModelBuilder(Protocol):
    """Builds a model of the test's provider that asks for a scenario."""

    async def __call__(
        self, scenario: str, *, idle_timeout_s: float = LONG_IDLE_S, url: str | None = None
    ) -> LanguageModel: ...


def construct(
    provider: str, scenario: str, url: str, *, idle_timeout_s: float, connect_timeout_s: float = 60.0
) -> LanguageModel:
    """Builds the one model that is configured."""
    mine: dict[str, object] = {
        f"{provider}_api_key": SecretStr(KEY),
        f"{provider}_base_url": url,
        f"{provider}_model": str(scenario),
    }
    none = {f"{other}_{part}": None for other in PROVIDERS for part in ("api_key", "base_url", "model")}
    limits = {"idle_timeout_s": idle_timeout_s, "connect_timeout_s": connect_timeout_s, "max_output_tokens": 300}
    return build_language_models(LanguageModelConfig(**{**none, **mine, **limits}))[provider]  # type: ignore[arg-type]


@pytest.fixture
async def build_model(provider: str, server: LlmServer) -> AsyncIterator[ModelBuilder]:
    """Closes what it has built."""
    models: list[LanguageModel] = []

    async def build(scenario: str, *, idle_timeout_s: float = LONG_IDLE_S, url: str | None = None) -> LanguageModel:
        # In a thread: the constructors read certificates and import what the SDKs put off, which blocks.
        model = await asyncio.to_thread(
            construct, provider, scenario, url or server.urls[provider], idle_timeout_s=idle_timeout_s
        )
        models.append(model)
        return model

    yield build
    for model in models:
        await model.close()


def open_stream(model: LanguageModel) -> AsyncGenerator[AnswerPiece, None]:
    stream = model.stream(PROMPT)
    assert isinstance(stream, AsyncGenerator)
    return stream


async def read_all(model: LanguageModel) -> tuple[list[str], list[Completion]]:
    """Texts and Completions of an answer; a text after a Completion fails the test."""
    texts: list[str] = []
    completions: list[Completion] = []
    async with aclosing(open_stream(model)) as pieces:
        async for piece in pieces:
            assert not completions, "something came after the Completion"
            if isinstance(piece, Completion):
                completions.append(piece)
            else:
                assert isinstance(piece, TextDelta)
                assert piece.text, "an empty piece"
                texts.append(piece.text)
    return texts, completions


async def read_failure(model: LanguageModel) -> tuple[list[str], LanguageModelError]:
    """Texts before the failure, and the failure, which must not quote the provider."""
    texts: list[str] = []

    async def read() -> None:
        async for piece in model.stream(PROMPT):
            assert isinstance(piece, TextDelta), "a Completion of an answer that failed"
            texts.append(piece.text)

    with pytest.raises(LanguageModelError) as caught:
        await read()
    shown = [str(caught.value), repr(caught.value.details)]
    shown += [str(link) for link in walk_causes(caught.value)]
    assert not any(secret in text for secret in (SECRET, KEY) for text in shown)
    return texts, caught.value


def walk_causes(error: BaseException) -> list[BaseException]:
    """The exceptions that a traceback of `error` shows."""
    links: list[BaseException] = []
    link = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while link is not None:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links


class TestAnswers:
    """Every token comes out, once, in order, and the end says how many there were."""

    async def test_tokens_in_order_then_one_completion_with_counts(
        self, provider: str, build_model: ModelBuilder
    ) -> None:
        model = await build_model(Scenario.OK)
        texts, completions = await read_all(model)
        assert texts == list(TOKENS)
        assert completions == [Completion("stop", provider, Scenario.OK, INPUT_TOKENS, len(TOKENS))]
        assert (model.provider, model.model) == (provider, Scenario.OK)

    async def test_the_end_names_the_model_that_answered(
        self, provider: str, server: LlmServer, build_model: ModelBuilder
    ) -> None:
        """Providers answer for an alias with the model behind it."""
        wire = WIRES[provider]
        server.script = (*wire.head("model-2026-11-01"), wire.delta("Hi"), *wire.tail(1, usage=False))
        model = await build_model("model")
        _, completions = await read_all(model)
        assert [(end.provider, end.model) for end in completions] == [(provider, "model-2026-11-01")]
        assert model.model == "model"

    async def test_hundreds_of_segments_lose_no_token(self, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.MANY_TOKENS)
        assert (await read_all(model))[0] == list(MANY_TOKENS)

    async def test_a_long_piece_is_parted_and_others_have_their_turn(
        self, server: LlmServer, build_model: ModelBuilder
    ) -> None:
        """Whoever checks its citations would hold the event loop for seconds."""
        server.tokens = (")[1]" * 5_000,)
        model = await build_model(Scenario.OK)
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(take_turns())
        seen: dict[int, str] = {}
        async for piece in open_stream(model):
            if isinstance(piece, TextDelta):
                seen[turns] = piece.text
        others.cancel()
        assert "".join(seen.values()) == server.tokens[0]  # no two pieces at the same turn: one would replace the other
        assert max(map(len, seen.values())) == MAX_PIECE_CHARS

    async def test_characters_split_between_segments_arrive_whole(self, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.SPLIT_CHARACTER)
        assert (await read_all(model))[0] == list(TOKENS)

    async def test_reasoning_is_not_part_of_the_answer(self, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.REASONING)
        assert (await read_all(model))[0] == list(TOKENS)

    async def test_connection_is_used_again(self, server: LlmServer, build_model: ModelBuilder) -> None:
        """A new TLS connection per question would cost its asker a tenth of a second."""
        model = await build_model(Scenario.OK)
        for _ in range(3):
            await read_all(model)
        assert [request.connection for request in server.requests] == [0, 0, 0]

    @pytest.mark.parametrize("provider", ["groq"], indirect=True)
    async def test_more_than_a_hundred_answers_at_once(self, build_model: ModelBuilder) -> None:
        """The groq SDK's own pool holds 100."""
        model = await build_model(Scenario.STALL_MIDWAY)
        streams = [open_stream(model) for _ in range(120)]
        first = await asyncio.gather(*(anext(stream) for stream in streams))
        assert first == [TextDelta(TOKENS[0])] * 120
        await asyncio.gather(*(stream.aclose() for stream in streams))


ENDS = [
    # what the provider says, and what it means
    ("openai", "stop", "stop"),
    ("openai", "length", "length"),
    ("openai", "content_filter", "filtered"),
    ("openai", "tool_calls", "other"),
    ("groq", "length", "length"),
    ("anthropic", "end_turn", "stop"),
    ("anthropic", "max_tokens", "length"),
    ("anthropic", "model_context_window_exceeded", "length"),
    ("anthropic", "refusal", "filtered"),
    ("anthropic", "pause_turn", "other"),
]


class TestEnds:
    """How an answer ended is told in one vocabulary, and an answer that broke is no answer."""

    @pytest.mark.parametrize(("provider", "word", "meaning"), ENDS, indirect=["provider"])
    async def test_every_providers_word_has_its_meaning(
        self, build_model: ModelBuilder, word: str, meaning: str
    ) -> None:
        model = await build_model(end_with(word, tokens=3))
        texts, completions = await read_all(model)
        assert texts == list(TOKENS[:3])
        assert [completion.finish_reason for completion in completions] == [meaning]

    @pytest.mark.parametrize("provider", ["openai"], indirect=True)
    @pytest.mark.parametrize("word", ["abort", "error"])
    async def test_a_word_that_means_failure_is_one(self, build_model: ModelBuilder, word: str) -> None:
        """vLLM and OpenRouter end an answer that broke like one that is whole, but for this word."""
        texts, error = await read_failure(await build_model(end_with(word, tokens=3)))
        assert (texts, error.error_code) == (list(TOKENS[:3]), "llm_interrupted")


class TestRequests:
    """What is sent: the prompt, the key, the limits, and nothing that a compatible server might reject."""

    async def test_prompt_key_and_limits(self, provider: str, server: LlmServer, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.OK)
        await read_all(model)
        request = await server.wait_for_request()
        assert request.provider == provider
        assert KEY in (request.headers.get("x-api-key") or request.headers["authorization"])
        assert request.headers["accept-encoding"] == "identity"
        user = {"role": "user", "content": USER.text}
        expected = {
            "openai": {
                "messages": [{"role": "system", "content": SYSTEM.text}, user],
                "max_tokens": 300,
                "stream_options": {"include_usage": True},
            },
            "groq": {"messages": [{"role": "system", "content": SYSTEM.text}, user], "max_completion_tokens": 300},
            "anthropic": {"messages": [user], "system": SYSTEM.text, "max_tokens": 300},
        }
        assert request.body == {"model": "ok", "stream": True, **expected[provider]}

    @pytest.mark.parametrize(("asked", "sent"), [(20, 20), (5000, 300)])
    async def test_a_short_answer_has_fewer_tokens(
        self, provider: str, server: LlmServer, build_model: ModelBuilder, asked: int, sent: int
    ) -> None:
        """Never more than the provider's limit, and the next answer has that again."""
        model = await build_model(Scenario.OK)
        name = "max_completion_tokens" if provider == "groq" else "max_tokens"
        for prompt, limit in ((replace(PROMPT, max_output_tokens=asked), sent), (PROMPT, 300)):
            async with aclosing(model.stream(prompt)) as pieces:
                assert [piece async for piece in pieces]
            assert server.requests[-1].body[name] == limit

    @pytest.mark.parametrize(
        ("variable", "open_client", "host"),
        [
            ("OPENAI_BASE_URL", open_openai, "api.openai.com"),
            ("ANTHROPIC_BASE_URL", open_anthropic, "api.anthropic.com"),
            ("GROQ_BASE_URL", open_groq, "api.groq.com"),
        ],
    )
    def test_sdk_variables_of_the_environment_do_not_redirect(
        self,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
        open_client: Callable[[str, None, float], openai.AsyncOpenAI | anthropic.AsyncAnthropic | groq.AsyncGroq],
        host: str,
    ) -> None:
        """Only our settings decide where prompts go; the SDKs read variables of their own when given nothing."""
        monkeypatch.setenv(variable, "http://127.0.0.1:9/v1")
        client = open_client(KEY, None, 1)
        assert (client.base_url.host, client.max_retries) == (host, 0)

    def test_only_openai_itself_gets_its_own_options(self) -> None:
        own = {
            "max_completion_tokens": 300,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
        }
        assert choose_openai_options("api.openai.com", 300) == choose_openai_options("eu.api.openai.com", 300) == own
        assert choose_openai_options("openai.example.org", 300) == choose_openai_options("notapi.openai.com", 300)
        assert "max_completion_tokens" not in choose_openai_options("openai.example.org", 300)

    @pytest.mark.parametrize(
        ("host", "model", "effort"),
        [
            ("api.openai.com", "gpt-5-mini", True),
            ("eu.api.openai.com", "o4-mini", True),
            ("api.openai.com", "gpt-5-chat-latest", False),
            ("api.openai.com", "gpt-4.1-mini", False),
            ("openai.example.org", "gpt-5-mini", False),
        ],
    )
    def test_only_models_of_openai_that_reason_are_told_to_be_quick(self, host: str, model: str, effort: bool) -> None:
        assert choose_short_options(host, model) == ({"reasoning_effort": "low"} if effort else {})

    async def test_nothing_is_sent_before_the_first_read(self, server: LlmServer, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.OK)
        await open_stream(model).aclose()
        assert server.requests == []


FAILURES: dict[Scenario, tuple[type[LanguageModelError], str]] = {
    Scenario.STATUS_400: (QuestionRejected, "llm_rejected"),
    Scenario.STATUS_401: (LanguageModelRejected, "llm_rejected"),
    Scenario.STATUS_403: (LanguageModelRejected, "llm_rejected"),
    Scenario.STATUS_404: (LanguageModelRejected, "llm_rejected"),
    Scenario.STATUS_422: (QuestionRejected, "llm_rejected"),
    Scenario.STATUS_429: (LanguageModelBusy, "llm_busy"),
    Scenario.STATUS_429_NO_CREDIT: (LanguageModelRejected, "llm_rejected"),
    Scenario.STATUS_500: (LanguageModelUnavailable, "llm_unavailable"),
    Scenario.STATUS_503: (LanguageModelUnavailable, "llm_unavailable"),
    Scenario.STATUS_529: (LanguageModelBusy, "llm_busy"),
    Scenario.ERROR_EVENT: (LanguageModelError, "llm_interrupted"),
    Scenario.OVERLOADED_EVENT: (LanguageModelBusy, "llm_busy"),
    Scenario.TOO_LONG_EVENT: (QuestionRejected, "llm_rejected"),
    Scenario.RESET: (LanguageModelError, "llm_interrupted"),
    Scenario.CUT_OFF: (LanguageModelError, "llm_incomplete"),
    Scenario.BROKEN_JSON: (LanguageModelError, "llm_interrupted"),
    Scenario.WRONG_SHAPE: (LanguageModelError, "llm_interrupted"),
    Scenario.GIANT_LINE: (LanguageModelError, "llm_interrupted"),
    Scenario.HANG_UP: (LanguageModelUnavailable, "llm_unavailable"),
}
STALLS = (
    Scenario.STALL_BEFORE_HEADERS,
    Scenario.STALL_BEFORE_TEXT,
    Scenario.STALL_MIDWAY,
    Scenario.PINGS_BEFORE_TEXT,
    Scenario.PINGS_MIDWAY,
    Scenario.BROKEN_FRAMING,  # of the HTTP chunks: aiohttp closes the connection, and tells nobody who reads from it
)
HALF = list(TOKENS[: len(TOKENS) // 2])


class TestFailures:
    """Every failure of a provider ends in the right error of ours, after the text that came before it."""

    @pytest.mark.parametrize("scenario", FAILURES)
    async def test_failure_has_its_class_and_code(
        self, provider: str, server: LlmServer, build_model: ModelBuilder, scenario: Scenario
    ) -> None:
        model = await build_model(scenario)
        texts, error = await read_failure(model)
        assert (type(error), error.error_code) == FAILURES[scenario]
        assert texts == ([] if scenario.startswith("status") or scenario is Scenario.HANG_UP else HALF)
        assert error.details is not None
        assert error.details["provider"] == provider
        assert error.retry_after == (RETRY_AFTER_S if scenario == Scenario.STATUS_429 else None)
        assert len(server.requests) == 1, "it tried again by itself"

    @pytest.mark.parametrize("scenario", STALLS)
    async def test_stall_ends_at_the_idle_timeout(
        self, server: LlmServer, build_model: ModelBuilder, scenario: Scenario
    ) -> None:
        """Neither silence nor pings, comments and empty pieces keep an answer waiting."""
        model = await build_model(scenario, idle_timeout_s=SHORT_IDLE_S)
        start = time.monotonic()
        texts, error = await read_failure(model)
        assert time.monotonic() - start >= SHORT_IDLE_S * 0.9
        assert (type(error), error.error_code) == (LanguageModelTimeout, "llm_timeout")
        assert texts == (HALF if scenario.endswith("midway") else [])
        async with asyncio.timeout(LEEWAY_S):
            await server.requests[0].disconnected.wait()

    async def test_slow_reader_is_not_a_stall(self, provider: str, build_model: ModelBuilder) -> None:
        """The idle timeout runs while we wait for the provider, not while our caller is busy."""
        model = await build_model(Scenario.OK, idle_timeout_s=SHORT_IDLE_S)
        texts: list[str] = []
        async for piece in model.stream(PROMPT):
            if not texts:
                await asyncio.sleep(SHORT_IDLE_S * 1.5)  # the passing of time is what is tested
            texts.append(getattr(piece, "text", ""))
        assert texts == [*TOKENS, ""]

    async def test_refused_connection_is_unavailable(self, provider: str, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.OK, url=find_refusing_urls()[provider])
        texts, error = await read_failure(model)
        assert (texts, type(error)) == ([], LanguageModelUnavailable)

    async def test_a_server_that_accepts_nobody_is_unavailable(self, provider: str) -> None:
        """At the connect timeout, long before the idle one: what listens there takes no connection."""
        with (
            socket.create_server(("127.0.0.1", 0), backlog=0) as deaf,
            socket.socket() as first,
            socket.socket() as second,
        ):
            for waiting in (first, second):  # they fill its queue; for more there is no answer at all
                waiting.setblocking(False)
                waiting.connect_ex(deaf.getsockname())
            url = LlmServer(port=deaf.getsockname()[1]).urls[provider]
            model = await asyncio.to_thread(
                construct, provider, Scenario.OK, url, idle_timeout_s=LONG_IDLE_S, connect_timeout_s=0.2
            )
            texts, error = await read_failure(model)
            await model.close()
        assert (texts, type(error)) == ([], LanguageModelUnavailable)

    async def test_a_base_url_without_its_scheme_is_told(self, build_model: ModelBuilder) -> None:
        """To try again would not help."""
        texts, error = await read_failure(await build_model(Scenario.OK, url="localhost:11434/v1"))
        assert (texts, error.error_code, error.retryable) == ([], "llm_rejected", False)
        assert "base URL" in error.message

    @pytest.mark.parametrize("provider", ["openai", "groq"], indirect=True)
    async def test_failure_after_the_text_costs_only_the_counts(self, build_model: ModelBuilder) -> None:
        """`finish_reason` says that the text is whole; what fails after it must not take the answer away."""
        model = await build_model(Scenario.RESET_AFTER_TEXT)
        texts, completions = await read_all(model)
        assert texts == list(TOKENS)
        assert [completion.finish_reason for completion in completions] == ["stop"]


def make_chunk(text: str = "", finish: str | None = None, **more: object) -> bytes:
    """A chunk of a chat completion, with all but ASCII escaped."""
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]
    return f"data: {json.dumps({'choices': choices, **more})}\n\n".encode()


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("provider", ["openai"], indirect=True)
class TestOddServers:
    """What compatible servers send beside the protocol costs no text and no answer."""

    @pytest.mark.parametrize(
        ("usage", "counts"),
        [
            ([1], (None, None)),
            ("many", (None, None)),
            ({"prompt_tokens": 7, "completion_tokens": 3.5}, (7, None)),
            ({"prompt_tokens": "7", "completion_tokens": True}, (None, None)),
            ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3)),
        ],
    )
    async def test_counts_that_are_none_cost_only_themselves(
        self, server: LlmServer, build_model: ModelBuilder, usage: object, counts: tuple[int | None, int | None]
    ) -> None:
        server.script = (make_chunk("Hello"), make_chunk(finish="stop"), make_chunk(usage=usage), DONE)
        texts, completions = await read_all(await build_model(Scenario.OK))
        assert texts == ["Hello"]
        assert [(end.input_tokens, end.output_tokens) for end in completions] == [counts]

    @pytest.mark.parametrize("name", [None, 7, "", "x" * 1000, "two\nlines", "half \ud83d"])
    async def test_a_model_name_that_is_none_gives_way_to_the_configured_one(
        self, server: LlmServer, build_model: ModelBuilder, name: object
    ) -> None:
        server.script = (make_chunk("Hello", model=name), make_chunk(finish="stop", model=name), DONE)
        texts, completions = await read_all(await build_model(Scenario.OK))
        assert (texts, [end.model for end in completions]) == (["Hello"], [Scenario.OK])

    async def test_an_error_after_the_text_costs_only_the_counts(
        self, server: LlmServer, build_model: ModelBuilder
    ) -> None:
        error = b'data: {"error": {"type": "server_error", "message": "x"}}\n\n'
        server.script = (make_chunk("Hello"), make_chunk(finish="stop"), error)
        texts, completions = await read_all(await build_model(Scenario.OK))
        assert (texts, [end.finish_reason for end in completions]) == (["Hello"], ["stop"])

    async def test_a_character_in_two_tokens_is_one(self, server: LlmServer, build_model: ModelBuilder) -> None:
        """Each half of the surrogate pair is in JSON of its own; whoever is behind us gets text that has UTF-8."""
        halves = (make_chunk("a\ud83d"), make_chunk("\ude42b"), make_chunk("c\ud83d"), make_chunk("d\ud83d"))
        server.script = (*halves, make_chunk(finish="stop"), DONE)
        texts, _ = await read_all(await build_model(Scenario.OK))
        assert texts == ["a", "🙂b", "c", "\ufffdd", "\ufffd"]

    @pytest.mark.parametrize("nested", ["[" * 200_000, '{"a":' * 100_000])
    async def test_json_without_bottom_is_an_error_of_the_provider(
        self, server: LlmServer, build_model: ModelBuilder, nested: str
    ) -> None:
        server.script = (make_chunk("Hello"), f"data: {nested}\n\n".encode())
        texts, error = await read_failure(await build_model(Scenario.OK))
        assert (texts, error.error_code) == (["Hello"], "llm_interrupted")

    async def test_a_byte_order_mark_hides_no_token(self, server: LlmServer, build_model: ModelBuilder) -> None:
        """Also when it comes in a segment of its own."""
        server.script = (b"\xef\xbb", b"\xbf" + make_chunk("Hello"), make_chunk(finish="stop"), DONE)
        assert (await read_all(await build_model(Scenario.OK)))[0] == ["Hello"]

    @pytest.mark.parametrize("content_type", ["", "text/plain", "Text/Event-Stream; charset=utf-8"])
    async def test_a_stream_is_one_under_any_type(
        self, server: LlmServer, build_model: ModelBuilder, content_type: str
    ) -> None:
        server.content_type = content_type
        assert (await read_all(await build_model(Scenario.OK)))[0] == list(TOKENS)

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", b'{"error": {"message": "bad key", "code": "invalid_api_key"}}'),
            ("application/json", b'{"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}'),
            ("text/html; charset=utf-8", b"<html>\n\nlog in</html>"),
        ],
    )
    async def test_an_answer_that_is_no_stream_points_to_the_base_url(
        self, server: LlmServer, build_model: ModelBuilder, content_type: str, body: bytes
    ) -> None:
        """To try again would not help."""
        server.content_type, server.script = content_type, (body,)
        texts, error = await read_failure(await build_model(Scenario.OK))
        assert (texts, error.error_code, error.retryable) == ([], "llm_rejected", False)
        assert "base URL" in error.message


class TestDisconnects:
    """Whoever stops reading stops the provider from generating, and billing, at once."""

    async def test_closing_the_stream_disconnects(self, server: LlmServer, build_model: ModelBuilder) -> None:
        model = await build_model(Scenario.ENDLESS)
        stream = open_stream(model)
        assert await anext(stream) == TextDelta(TOKENS[0])
        await stream.aclose()
        async with asyncio.timeout(LEEWAY_S):
            await server.requests[0].disconnected.wait()

    async def test_an_answer_keeps_nothing_of_its_question(
        self, server: LlmServer, build_model: ModelBuilder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its text may be 100 kB, an answer takes a minute, and there may be a thousand of them.

        Only what is aiohttp's is read without the SDK's response around it, which holds the request: an SDK that takes
        its transport apart in another way is noticed here.
        """
        connections: list[object] = []

        def open_and_note(response: answer_stream.HttpResponse) -> Any:
            opened = open_body(response)
            connections.append(opened[1])
            return opened

        open_body = answer_stream.open_body
        monkeypatch.setattr(answer_stream, "open_body", open_and_note)
        model = await build_model(Scenario.ENDLESS)
        text = TrackedText("What were the net sales?")
        asked = weakref.ref(text)
        stream = model.stream(Prompt((SYSTEM, Message("user", text)), question="", passages=()))
        assert isinstance(stream, AsyncGenerator)
        await anext(stream)
        del text
        gc.collect()
        assert asked() is None
        assert [type(connection) for connection in connections] == [aiohttp.ClientResponse]
        await stream.aclose()

    @pytest.mark.parametrize("scenario", [Scenario.ENDLESS, Scenario.STALL_BEFORE_TEXT, Scenario.STALL_BEFORE_HEADERS])
    async def test_cancelling_the_reader_disconnects(
        self, provider: str, server: LlmServer, build_model: ModelBuilder, scenario: Scenario
    ) -> None:
        """In the middle of the text, before it, and while the provider has not even answered."""
        model = await build_model(scenario)
        reading = asyncio.create_task(read_all(model))
        request = await server.wait_for_request()
        if scenario == Scenario.ENDLESS:
            await request.started.wait()
        reading.cancel()
        async with asyncio.timeout(LEEWAY_S):
            with pytest.raises(asyncio.CancelledError):
                await reading
            await request.disconnected.wait()

    async def test_giant_line_is_not_read_to_its_end(self, server: LlmServer, build_model: ModelBuilder) -> None:
        """Memory stays bounded: the connection goes as soon as the limit is reached."""
        model = await build_model(Scenario.GIANT_LINE)
        await read_failure(model)
        async with asyncio.timeout(LEEWAY_S):
            await server.requests[0].disconnected.wait()


PACKAGES = ("openai", "anthropic", "groq", "httpx", "httpx2")


def list_exceptions(package: str) -> list[type[Exception]]:
    """The exceptions that a package exports, and those that it derives from them."""
    exported = [value for name, value in vars(importlib.import_module(package)).items() if not name.startswith("_")]
    # By `type`: to ask one of openai's proxies for its class, as `isinstance` does, imports all of the SDK.
    found = [value for value in exported if issubclass(type(value), type) and issubclass(value, Exception)]
    for failure in found:  # grows while we walk it
        found += [child for child in failure.__subclasses__() if child not in found]
    return [failure for failure in found if failure.__module__.partition(".")[0] == package]


def make_failure(failure: type[Exception]) -> tuple[Exception, int | None]:
    """An exception as its SDK raises it, and its HTTP status; made without its constructor, as each has its own."""
    error = failure.__new__(failure)
    if "APIStatusError" not in [cls.__name__ for cls in failure.__mro__]:
        return error, None
    status = getattr(failure, "status_code", 500)  # InternalServerError stands for all from 500 on
    error.response = httpx.Response(status)  # type: ignore[attr-defined]
    return error, status


STATUS_CLASSES: dict[int, type[LanguageModelError]] = {
    **dict.fromkeys((401, 402, 403, 404, 412, 431), LanguageModelRejected),
    **dict.fromkeys((400, 413, 422), QuestionRejected),
    **dict.fromkeys((429, 529), LanguageModelBusy),
    **dict.fromkeys((409, 499, 500, 501, 503, 504), LanguageModelUnavailable),
    408: LanguageModelTimeout,
}


def expect_class(failure: type[Exception], status: int | None) -> type[LanguageModelError]:
    """What an exception should become, by its status or else by its name."""
    if "SpendLimit" in failure.__name__:  # 429 or 402
        return LanguageModelRejected
    if status is not None:
        return STATUS_CLASSES[status]
    if failure.__name__ in ("ConnectTimeout", "ConnectError", "ProxyError", "APIConnectionError"):
        return LanguageModelUnavailable
    if "Timeout" in failure.__name__:
        return LanguageModelTimeout
    rejected = ("InvalidURL", "UnsupportedProtocol", "CredentialsError", "IdentityTokenFile", "WorkloadIdentity")
    return LanguageModelRejected if failure.__name__.startswith(rejected) else LanguageModelError


class TestErrors:
    """No exception falls through, and each becomes what its status, its class or its cause says."""

    @pytest.mark.parametrize("package", PACKAGES)
    def test_every_exception_of_the_package_becomes_what_it_says(self, package: str) -> None:
        """An update of an SDK that brings a status or a kind of failure of which we know nothing fails here."""
        failures = list_exceptions(package)
        assert len(failures) > 10
        for failure in failures:
            error, status = make_failure(failure)
            translated = translate_error(error, provider="x")
            assert type(translated) is expect_class(failure, status), failure

    def test_no_class_is_named_that_is_not_there(self) -> None:
        """An update that renames a class is noticed here and not in production."""
        names = {failure.__name__ for package in PACKAGES for failure in list_exceptions(package)}
        assert set(BY_CLASS) - names == {"TimeoutError"}

    @pytest.mark.parametrize("package", PACKAGES[:3])
    @pytest.mark.parametrize(
        ("wrapper", "cause", "expected"),
        [
            ("APITimeoutError", "ReadTimeout", LanguageModelTimeout),
            ("APITimeoutError", "ConnectTimeout", LanguageModelUnavailable),
            ("APIConnectionError", "ConnectError", LanguageModelUnavailable),
            ("APIConnectionError", "RemoteProtocolError", LanguageModelUnavailable),
            ("APIConnectionError", "UnsupportedProtocol", LanguageModelRejected),
            ("APIConnectionError", None, LanguageModelUnavailable),
        ],
    )
    def test_a_wrapped_failure_goes_by_its_cause(
        self, package: str, wrapper: str, cause: str | None, expected: type[LanguageModelError]
    ) -> None:
        """A connection that never came about is no stall, and a wrong address no outage."""
        http = httpx if package == "groq" else httpx2
        failure: type[Exception] = getattr(importlib.import_module(package), wrapper)
        error = failure.__new__(failure)
        error.__cause__ = getattr(http, cause)("x") if cause else None
        assert type(translate_error(error, provider="x")) is expected

    @pytest.mark.parametrize("http", [httpx, httpx2])
    @pytest.mark.parametrize(
        ("name", "before", "after"),
        [
            # The aiohttp transport reports any connection that broke as the first of these.
            ("ConnectTimeout", "llm_unavailable", "llm_interrupted"),
            ("ConnectError", "llm_unavailable", "llm_interrupted"),
            ("ReadError", "llm_interrupted", "llm_interrupted"),
            ("ReadTimeout", "llm_timeout", "llm_timeout"),
        ],
    )
    def test_a_connection_that_breaks_in_an_answer_has_not_failed_to_come_about(
        self, http: ModuleType, name: str, before: str, after: str
    ) -> None:
        error = getattr(http, name)("x")
        codes = [translate_error(error, provider="x", begun=begun) for begun in (False, True)]
        assert [code and code.error_code for code in codes] == [before, after]

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (304, LanguageModelRejected),
            (418, LanguageModelRejected),
            (425, LanguageModelUnavailable),
            (498, LanguageModelBusy),
            (502, LanguageModelUnavailable),
            (599, LanguageModelUnavailable),
        ],
    )
    def test_a_status_without_a_class_goes_by_its_number(self, status: int, expected: type[LanguageModelError]) -> None:
        response = httpx2.Response(status, request=httpx2.Request("POST", "http://x"))
        error = openai.APIStatusError("x", response=response, body=None)
        assert type(translate_error(error, provider="x")) is expected

    @pytest.mark.parametrize(
        ("status", "word", "expected"),
        [
            (500, "context_length_exceeded", QuestionRejected),
            (403, "content_policy_violation", QuestionRejected),
            (401, "invalid_request_error", LanguageModelRejected),
            (500, "server_error", LanguageModelUnavailable),
        ],
    )
    def test_a_word_for_a_question_at_fault_goes_before_the_status(
        self, status: int, word: str, expected: type[LanguageModelError]
    ) -> None:
        response = httpx2.Response(status, request=httpx2.Request("POST", "http://x"))
        error = openai.APIStatusError("x", response=response, body={"error": {"code": word, "message": "m"}})
        assert type(translate_error(error, provider="x")) is expected

    def test_faults_of_our_own_are_not_translated(self) -> None:
        """A bug must surface as one, not as a provider that broke off."""
        assert translate_error(KeyError("bug"), provider="x") is None

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            ({"type": "rate_limit_error"}, LanguageModelBusy),
            ({"type": "tokens", "code": "rate_limit_exceeded"}, LanguageModelBusy),
            ({"type": "insufficient_quota", "code": "insufficient_quota"}, LanguageModelRejected),
            ({"type": "billing_error"}, LanguageModelRejected),
            ({"code": 402}, LanguageModelRejected),
            ({"type": "invalid_request_error"}, QuestionRejected),
            ({"type": "invalid_request_error", "code": "context_length_exceeded"}, QuestionRejected),
            ({"type": "invalid_request_error", "code": "invalid_api_key"}, LanguageModelRejected),
            ({"type": "invalid_request_error", "code": "model_not_found"}, LanguageModelRejected),
            ({"type": "exceed_context_size_error", "code": 500}, QuestionRejected),
            ({"code": "content_filter"}, QuestionRejected),
            ({"type": "BadRequestError", "code": 400}, QuestionRejected),
            ({"code": 503}, LanguageModelUnavailable),
            ({"type": ["odd"]}, LanguageModelError),
            ("a mere text", LanguageModelError),
            (None, LanguageModelError),
        ],
    )
    def test_errors_inside_a_stream_go_by_their_type(self, error: object, expected: type[LanguageModelError]) -> None:
        assert type(translate_in_band(error, provider="x")) is expected

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7), ("0.2", 1), ("0", 0), *((odd, None) for odd in ("", "soon", "-1", "inf", "nan", "1e9"))],
    )
    def test_retry_after_in_seconds(self, value: str, seconds: int | None) -> None:
        assert read_retry_after({"retry-after": value}) == seconds

    def test_retry_after_as_a_date(self) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        seconds = read_retry_after({"retry-after": date})
        assert seconds is not None
        assert 55 <= seconds <= 60

    @pytest.mark.parametrize("hours", [1, -1, 1000])
    def test_a_date_is_told_by_the_providers_clock(self, hours: int) -> None:
        """Which its answer tells, too, and which may be ahead of ours or behind."""
        its_now = datetime.now(UTC) + timedelta(hours=hours)
        date, after = (format_datetime(its_now + timedelta(seconds=s), usegmt=True) for s in (0, 60))
        assert read_retry_after({"retry-after": after, "date": date}) == 60

    @pytest.mark.parametrize(
        "date",
        [
            "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
            "Mon, 01 Jan 2030 00:00:00 +99999999999999",
            "Mon, 01 Jan 2030 25:61:61 GMT",
            "Mon, 01 Jan 2030 00:00:00",
            "Mon, 01 Jan 2001 00:00:00 GMT",
            "Mon, 01 Jan 9999 00:00:00 GMT",
        ],
    )
    def test_a_retry_after_that_is_no_date_of_the_next_day_says_nothing(self, date: str) -> None:
        """Whatever it is, it neither raises nor keeps a provider waiting for years."""
        assert read_retry_after({"retry-after": date}) is None


def feed_all(reader: EventReader, pieces: list[bytes]) -> tuple[bytes, ...]:
    """The data of the events that the pieces complete."""
    return tuple(data for piece in pieces for data in reader.feed(piece))


class TestEventReader:
    """Event data comes out whole, however the bytes are cut, and never takes more memory than the limit."""

    STREAM = (
        b': hi\nevent: x\ndata: {"a": 1}\n\n'
        b"id: 3\r\ndata:one\r\ndata: two\r\n\r\n\n\n"
        b"data: \xf0\x9f\x99\x82\xe2\x80\xa8\n\ndata: rest"
    )
    EVENTS = (b'{"a": 1}', b"one\ntwo", b"\xf0\x9f\x99\x82\xe2\x80\xa8")

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
    def test_any_cut_gives_the_same_events(self, size: int) -> None:
        reader = EventReader()
        pieces = [self.STREAM[start : start + size] for start in range(0, len(self.STREAM), size)]
        assert feed_all(reader, pieces) == self.EVENTS

    def test_line_without_end_is_refused(self) -> None:
        reader = EventReader(max_event_bytes=100)
        feed_all(reader, [b"x"] * 100)
        with pytest.raises(UnreadableEvent):
            feed_all(reader, [b"x"])

    def test_event_without_end_is_refused(self) -> None:
        reader = EventReader(max_event_bytes=100)
        with pytest.raises(UnreadableEvent):
            feed_all(reader, [b"data: x\n"] * 20)

    def test_events_before_a_refused_one_come_out(self) -> None:
        reader = EventReader(max_event_bytes=100)
        events = reader.feed(b"data: good\n\ndata: " + b"x" * 200)
        assert next(events) == b"good"
        with pytest.raises(UnreadableEvent):
            next(events)
