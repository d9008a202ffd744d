"""Whatever a provider does, on each of the three SDKs: at most one typed error, nothing left open, no secret told.

Each fault is met twice: by a provider alone, and by one with another behind it in a chain. `make test` asks one
question, in a chain of each provider in turn, and meets all that are silence at once; `make chaos` (PAGEWIRE_CHAOS=1)
asks twenty at once, in all, one fault after the other.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.gateway.answers.answer_question import Answer
from services.gateway.ports import LanguageModel
from services.gateway.providers.chain import ProviderChain
from services.gateway.providers.chat_completions import ChatCompletionsModel
from services.gateway.providers.messages import MessagesModel
from services.gateway.providers.sdk_clients import open_anthropic, open_groq, open_openai
from shared.contracts.questions import QueryRequest
from shared.contracts.runs import Delta, Failed, Finished
from tests.canned_search import CannedSearch
from tests.certificates import make_certificate
from tests.llm_server import (
    RETRY_AFTER_S,
    SECRET,
    TOKENS,
    LlmServer,
    ReceivedRequest,
    Scenario,
    at_once,
    find_refusing_urls,
    run_llm_server,
)
from tests.unit.gateway.test_run_supervisor import SharedMemoryLog, make_supervisor

FULL = os.environ.get("PAGEWIRE_CHAOS") == "1"
AT_ONCE = 20 if FULL else 1
KEY = "sk-our-own-key"
QUESTION = "What did the secret passage say?"
IDLE_S = 4.0 if FULL else 0.8
"""For the faults that are silence; all others end long before the patience of their test."""
PATIENT_S = 60.0
MAX_CHARACTERS = 200
LIMIT_S = 20.0
HALF = "".join(TOKENS[: len(TOKENS) // 2])
WHOLE = "".join(TOKENS)
OPENERS: dict[str, Callable[..., Any]] = {"openai": open_openai, "anthropic": open_anthropic, "groq": open_groq}
PROVIDERS = tuple(OPENERS)
NEXT = {"openai": "anthropic", "anthropic": "groq", "groq": "openai"}

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Fault:
    """What a provider does, and what becomes of the question.

    Attributes:
        code: of the one error; empty: it is no fault, and the answer comes.
        text: what arrives before the end.
        upstream: what becomes of the connection to it: we have `closed` it, it is `kept` for the next question, the
            provider itself has `reset` it, or has `ended` its answer, so that it is either; or `none` came about.
        silent: whether it ends at the idle timeout.
        at: where the provider is, if not at the server that plays the scenarios.
    """

    name: str
    scenario: str
    code: str
    retryable: bool = True
    text: str = ""
    upstream: str = "closed"
    retry_after: int | None = None
    silent: bool = False
    at: str = "server"


def before(name: str, scenario: Scenario, code: str) -> Fault:
    """A fault before the first token."""
    return Fault(f"{name}, before the first token", at_once(scenario), code)


def midway(name: str, scenario: Scenario, code: str) -> Fault:
    """The same one in the middle of the answer."""
    return Fault(f"{name}, midway", scenario, code, text=HALF)


def status(number: int, code: str, *, retryable: bool = True, retry_after: int | None = None) -> Fault:
    """An answer that is none."""
    scenario = f"status-{number}"
    return Fault(scenario, scenario, code, retryable, upstream="kept", retry_after=retry_after)


REFUSED = Fault("refused", Scenario.OK, "llm_unavailable", upstream="none", at="refused")

FAULTS = [
    REFUSED,
    replace(REFUSED, name="no such host", at="unknown"),
    replace(REFUSED, name="TLS: not spoken", at="no-tls"),
    replace(REFUSED, name="TLS: certificate of nobody", at="untrusted"),
    status(401, "llm_rejected", retryable=False),
    status(403, "llm_rejected", retryable=False),
    status(404, "llm_rejected", retryable=False),
    status(400, "llm_rejected", retryable=False),
    status(429, "llm_busy", retry_after=RETRY_AFTER_S),
    status(500, "llm_unavailable"),
    status(503, "llm_unavailable"),
    status(529, "llm_busy"),
    replace(before("an error in the stream", Scenario.ERROR_EVENT, "llm_interrupted"), upstream="ended"),
    replace(midway("an error in the stream", Scenario.ERROR_EVENT, "llm_interrupted"), upstream="ended"),
    replace(before("overloaded in the stream", Scenario.OVERLOADED_EVENT, "llm_busy"), upstream="ended"),
    replace(midway("overloaded in the stream", Scenario.OVERLOADED_EVENT, "llm_busy"), upstream="ended"),
    replace(
        before("too long, in the stream", Scenario.TOO_LONG_EVENT, "llm_rejected"), retryable=False, upstream="ended"
    ),
    replace(before("reset", Scenario.RESET, "llm_interrupted"), upstream="reset"),
    replace(midway("reset", Scenario.RESET, "llm_interrupted"), upstream="reset"),
    replace(before("clean end", Scenario.CUT_OFF, "llm_incomplete"), upstream="kept"),
    replace(midway("clean end", Scenario.CUT_OFF, "llm_incomplete"), upstream="kept"),
    Fault("silent before headers", Scenario.STALL_BEFORE_HEADERS, "llm_timeout", silent=True),
    Fault("silent before the first token", Scenario.STALL_BEFORE_TEXT, "llm_timeout", silent=True),
    Fault("pings before the first token", Scenario.PINGS_BEFORE_TEXT, "llm_timeout", silent=True),
    replace(midway("silent", Scenario.STALL_MIDWAY, "llm_timeout"), silent=True),
    replace(midway("pings", Scenario.PINGS_MIDWAY, "llm_timeout"), silent=True),
    Fault("a byte at a time, too slowly", Scenario.BYTE_BY_BYTE, "llm_timeout", silent=True),
    Fault("a byte at a time", Scenario.BYTE_BY_BYTE, "", text=WHOLE, upstream="kept"),
    replace(before("broken JSON", Scenario.BROKEN_JSON, "llm_interrupted"), upstream="ended"),
    replace(midway("broken JSON", Scenario.BROKEN_JSON, "llm_interrupted"), upstream="ended"),
    replace(before("JSON of another shape", Scenario.WRONG_SHAPE, "llm_interrupted"), upstream="ended"),
    before("a line of 10 MB", Scenario.GIANT_LINE, "llm_interrupted"),
    midway("a line of 10 MB", Scenario.GIANT_LINE, "llm_interrupted"),
    replace(before("invalid UTF-8", Scenario.INVALID_UTF8, "llm_interrupted"), upstream="ended"),
    replace(midway("invalid UTF-8", Scenario.INVALID_UTF8, "llm_interrupted"), upstream="ended"),
    Fault("an answer without end", Scenario.ENDLESS, "answer_too_long", text=WHOLE),
    Fault("gzip", Scenario.GZIP, "", text=WHOLE, upstream="kept"),
    before("broken gzip", Scenario.BROKEN_GZIP, "llm_interrupted"),
    replace(midway("broken gzip", Scenario.BROKEN_GZIP, "llm_interrupted"), text=HALF[:3]),  # what came with it is lost
]


Batch = Sequence[tuple[Fault, str]]
"""Faults that are met at the same time, each with the provider that has it."""


class Bench:
    """A server of all wire formats, and the SDKs' clients, which are slow to open and therefore opened once."""

    def __init__(self, server: LlmServer, hosts: dict[str, str], stack: AsyncExitStack) -> None:
        self.server = server
        self._hosts = hosts
        self._stack = stack
        self._clients: dict[tuple[str, str], Any] = {}
        self.search = CannedSearch("doc_1", count=3)

    async def open_model(self, provider: str, scenario: str, *, at: str, idle_s: float) -> LanguageModel:
        """A model of a provider that plays a scenario."""
        if (provider, at) not in self._clients:
            url = self._hosts[at] + ("/v1" if provider == "openai" else "")
            client = await asyncio.to_thread(OPENERS[provider], KEY, url, LIMIT_S)
            self._stack.push_async_callback(client.close)
            self._clients[provider, at] = client
        client = self._clients[provider, at]
        if provider == "anthropic":
            return MessagesModel(
                client, provider=provider, model=scenario, max_output_tokens=100, idle_timeout_s=idle_s
            )
        return ChatCompletionsModel(client, provider=provider, model=scenario, options={}, idle_timeout_s=idle_s)

    def list_requests(self, provider: str, scenario: str) -> list[ReceivedRequest]:
        """What a provider was asked that was to play a scenario."""
        asked = (provider, scenario)
        return [request for request in self.server.requests if (request.provider, request.body["model"]) == asked]

    async def ask(self, model: LanguageModel) -> tuple[str, Finished | Failed]:
        """Text and terminal event of a run; nothing is left of it."""
        runs = make_supervisor(SharedMemoryLog(), deadline_s=PATIENT_S, max_characters=MAX_CHARACTERS)
        answer = Answer("default", QueryRequest(question=QUESTION), model, self.search)
        run = await runs.start("default", answer, ends_with_client=True)
        async with asyncio.timeout(LIMIT_S + PATIENT_S / 2), aclosing(run.log.read(run.stream)) as batches:
            events = [event async for batch in batches for event in batch.events]
        await runs.leave(run)
        assert runs.count == 0
        ends = [event for event in events if isinstance(event, Finished | Failed)]
        assert ends == events[-1:]
        return "".join(event.text for event in events if isinstance(event, Delta)), ends[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(run_llm_server())
        tls = make_untrusted_tls(tmp_path_factory.mktemp("tls"))
        hosts = {
            "server": f"http://127.0.0.1:{server.port}",
            "no-tls": "https://" + await stack.enter_async_context(serve_refusal()),
            "refused": find_refusing_urls()["groq"],
            "unknown": "http://no-such-host.invalid",
            "untrusted": "https://" + await stack.enter_async_context(serve_refusal(tls)),
        }
        bench = Bench(server, hosts, stack)
        for provider in PROVIDERS:  # an SDK's first question imports for longer than a silent provider is waited for
            await bench.ask(await bench.open_model(provider, Scenario.OK, at="server", idle_s=PATIENT_S))
        yield bench


@asynccontextmanager
async def serve_refusal(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that has the same answer to everything; its host and port."""

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0, ssl=tls) as listener:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"


def make_untrusted_tls(folder: Path) -> ssl.SSLContext:
    """The context of a TLS server whose certificate nobody has signed."""
    path = folder / "both.pem"
    path.write_bytes(b"".join(make_certificate()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


Meet = Callable[[Bench, Fault, str], Awaitable[None]]
"""Meets one fault of a provider."""


def list_tasks() -> set["asyncio.Task[Any]"]:
    """The tasks that are not the server's."""
    serving = ("_serve_connection", "_watch")
    return {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "") not in serving}


async def ask_at_once(ask: Callable[[], Awaitable[tuple[str, Finished | Failed]]]) -> tuple[str, Finished | Failed]:
    """What each of the questions comes to, which is the same for all."""
    results = await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    assert len({text for text, _ in results}) == 1
    return results[0]


async def meet_all(bench: Bench, meet: Meet, batch: Batch) -> None:
    """Meet the faults of a batch at the same time; tell which of them went wrong. No task is left of them."""
    bench.server.requests.clear()
    is_slow = any(fault.scenario == Scenario.BYTE_BY_BYTE and fault.silent for fault, _ in batch)
    bench.server.delay_s = IDLE_S / 20 if is_slow else 0.0
    before_it = list_tasks()
    outcomes = await asyncio.gather(
        *(meet(bench, fault, provider) for fault, provider in batch), return_exceptions=True
    )
    failures: list[Exception] = []
    for (fault, provider), outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, Exception):
            outcome.add_note(f"{provider}: {fault.name}")
            failures.append(outcome)
    if failures:
        raise ExceptionGroup("faults that were not met as they should be", failures)
    async with asyncio.timeout(LIMIT_S):
        while not list_tasks() <= before_it:  # the HTTP libraries leave generators to the loop, which closes them next
            await asyncio.sleep(0)


async def check_upstream(requests: list[ReceivedRequest], upstream: str) -> None:
    """Each connection is where it should be: closed within a moment, or ready for the next question."""
    assert bool(requests) == (upstream != "none")
    for request in requests:
        if upstream == "closed":
            await asyncio.wait_for(request.disconnected.wait(), LIMIT_S)
    if upstream == "kept":
        assert not any(request.disconnected.is_set() for request in requests)


def check_error(end: Finished | Failed, fault: Fault, text: str, provider: str) -> None:
    """The one typed error, without anything that nobody should see."""
    assert isinstance(end, Failed)
    error = end.error
    told = (error.code, error.retryable, error.partial, error.retry_after)
    assert told == (fault.code, fault.retryable, bool(text), fault.retry_after)
    if fault.code != "answer_too_long":
        assert provider in error.message
    hidden = (SECRET, KEY, QUESTION, "127.0.0.1", "http", "Error", "Traceback")
    assert not [word for word in hidden if word in error.message + str(end.details)]


def list_batches(cases: Sequence[tuple[Fault, str]]) -> list[Any]:
    """Test parameters: a fault each, but for those whose silence the sample waits for only once."""
    silent = [] if FULL else [case for case in cases if case[0].silent]
    batches = [pytest.param([case], id=f"{case[0].name}-{case[1]}") for case in cases if case not in silent]
    return [*batches, pytest.param(silent, id="all that are silent")] if silent else batches


async def meet_alone(bench: Bench, fault: Fault, provider: str) -> None:
    idle_s = IDLE_S if fault.silent else PATIENT_S
    model = await bench.open_model(provider, fault.scenario, at=fault.at, idle_s=idle_s)
    text, end = await ask_at_once(lambda: bench.ask(model))

    if fault.code:
        check_error(end, fault, text, provider)
    else:
        assert isinstance(end, Finished)
    assert text[: len(fault.text)] == fault.text
    assert bool(text) == bool(fault.text)
    await check_upstream(bench.list_requests(provider, fault.scenario), fault.upstream)


@pytest.mark.parametrize("batch", list_batches([(fault, provider) for fault in FAULTS for provider in PROVIDERS]))
async def test_a_fault_is_one_typed_error(bench: Bench, batch: Batch, caplog: pytest.LogCaptureFixture) -> None:
    """After the text that came before it; the connection is closed, or can be used again; the log tells no secret."""
    await meet_all(bench, meet_alone, batch)
    assert not [secret for secret in (SECRET, KEY, QUESTION) if secret in caplog.text]


async def meet_in_a_chain(bench: Bench, fault: Fault, provider: str) -> None:
    idle_s = IDLE_S if fault.silent else PATIENT_S
    first = await bench.open_model(provider, fault.scenario, at=fault.at, idle_s=idle_s)
    answering = f"ok, behind {fault.name}"  # a scenario that the server does not know is a good answer
    second = await bench.open_model(NEXT[provider], answering, at="server", idle_s=PATIENT_S)
    text, end = await ask_at_once(lambda: bench.ask(ProviderChain([first, second], wait_s=PATIENT_S)))

    await check_upstream(bench.list_requests(provider, fault.scenario), fault.upstream)
    if fault.text:
        check_error(end, fault, text, provider)
        assert bench.list_requests(NEXT[provider], answering) == []
    else:
        assert isinstance(end, Finished)
        assert (text, end.usage.provider, end.usage.model) == (WHOLE, NEXT[provider], answering)


@pytest.mark.parametrize(
    "batch",
    list_batches(
        [
            (fault, provider)
            for n, fault in enumerate(fault for fault in FAULTS if fault.code)
            for provider in (PROVIDERS if FULL else PROVIDERS[n % 3 :][:1])
        ]
    ),
)
async def test_a_chain_moves_on_before_the_first_token_and_only_then(bench: Bench, batch: Batch) -> None:
    """The next provider's whole answer, or the same error as without one; nothing of the first is left open."""
    await meet_all(bench, meet_in_a_chain, batch)
