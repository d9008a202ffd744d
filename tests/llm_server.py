"""A server that speaks the wire formats of OpenAI, Groq and Anthropic over a real socket, and fails on demand.

The model name of a request chooses the scenario; an unknown name is served like `Scenario.OK`:

    async with run_llm_server() as server:
        client = open_openai("key", server.urls["openai"], connect_timeout_s)
        model = ChatCompletionsModel(client, provider="openai", model=Scenario.STALL_MIDWAY, ...)

It writes HTTP by hand, because no framework cuts characters in two, resets connections or sends lines of 10 MB.
"""

import asyncio
import itertools
import json
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")

TOKENS = ("Net", " sales", " were", " 383", ".3", " billion", " €", " 🙂", "\u2028", " [1]", ".")
"""The answer of most scenarios: with several-byte characters and one that `str.splitlines` takes for a line end."""
MANY_TOKENS = tuple(f" token{n}" for n in range(500))
INPUT_TOKENS = 42
GIANT_LINE_BYTES = 10 * 1024 * 1024
RETRY_AFTER_S = 7
SECRET = "sk-secret-that-the-provider-quotes"
"""Stands in every error that the server reports: it must not come out anywhere."""


class Scenario(StrEnum):
    """What the server does; use the value as the model name."""

    OK = "ok"
    MANY_TOKENS = "many-tokens"
    SPLIT_CHARACTER = "split-character"
    REASONING = "reasoning"
    ENDLESS = "endless"
    STATUS_400 = "status-400"
    STATUS_401 = "status-401"
    STATUS_403 = "status-403"
    STATUS_404 = "status-404"
    STATUS_422 = "status-422"
    STATUS_429 = "status-429"
    STATUS_429_NO_CREDIT = "status-429-no-credit"
    STATUS_500 = "status-500"
    STATUS_503 = "status-503"
    STATUS_529 = "status-529"
    ERROR_EVENT = "error-event"
    OVERLOADED_EVENT = "overloaded-event"
    TOO_LONG_EVENT = "too-long-event"
    RESET = "reset"
    RESET_AFTER_TEXT = "reset-after-text"
    CUT_OFF = "cut-off"
    STALL_BEFORE_HEADERS = "stall-before-headers"
    STALL_BEFORE_TEXT = "stall-before-text"
    STALL_MIDWAY = "stall-midway"
    PINGS_BEFORE_TEXT = "pings-before-text"
    PINGS_MIDWAY = "pings-midway"
    BROKEN_JSON = "broken-json"
    WRONG_SHAPE = "wrong-shape"
    GIANT_LINE = "giant-line"
    INVALID_UTF8 = "invalid-utf8"
    BYTE_BY_BYTE = "byte-by-byte"
    GZIP = "gzip"
    BROKEN_GZIP = "broken-gzip"
    HANG_UP = "hang-up"
    BROKEN_FRAMING = "broken-framing-midway"


def choose_idle_timeout_s(scenario: str) -> float:
    """How long a provider may be silent: no test waits for long where it is, nor fails where it is not."""
    return 2 if scenario.startswith("stall") else 60


def at_once(scenario: Scenario) -> str:
    """The name of a scenario: what fails it after half of the answer happens before the first token."""
    return f"at-once/{scenario}"


def end_with(word: str, tokens: int = 0) -> str:
    """The name of a scenario: this many tokens, then an end for which the provider gives this reason."""
    return f"end-with/{word}/{tokens}"


@dataclass
class ReceivedRequest:
    """A request, and what became of its connection."""

    provider: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int
    """Number of the connection that it came over, from 0."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first token has been written."""
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has closed its side."""
    disconnected_at: float = 0.0
    """When that was, by the loop's clock."""

    def note_departure(self) -> None:
        """Notes that the client has closed its side."""
        if not self.disconnected.is_set():
            self.disconnected_at = asyncio.get_running_loop().time()
            self.disconnected.set()


@dataclass
class LlmServer:
    """A running server."""

    port: int
    tokens: tuple[str, ...] = TOKENS
    delay_s: float = 0.0
    """Seconds before each token, for tests that need an answer to take a while."""
    steps: asyncio.Semaphore | None = None
    """Each token waits for a permit, for tests that look at what has come before the next one is written."""
    script: tuple[bytes, ...] = ()
    """Events that are sent in place of any scenario, each in a segment of its own."""
    content_type: str = "text/event-stream"
    """Of the script; empty: none."""
    replies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The answers of requests that hold these words, in place of `tokens`."""
    scenarios: dict[str, str] = field(default_factory=dict)
    """What is done with requests that hold these words, in place of what the model is called."""
    requests: list[ReceivedRequest] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def urls(self) -> dict[str, str]:
        """The base URL that each provider's SDK expects."""
        host = f"http://127.0.0.1:{self.port}"
        return {"openai": f"{host}/v1", "anthropic": host, "groq": host}

    def choose_tokens(self, body: dict[str, Any]) -> tuple[str, ...]:
        """The answer of a request."""
        return _choose(self.replies, body) or self.tokens

    def choose_scenario(self, body: dict[str, Any]) -> str:
        """What is done with a request."""
        return _choose(self.scenarios, body) or str(body.get("model", ""))

    async def wait_for_request(self, number: int = 0) -> ReceivedRequest:
        """The request with this number, counted from 0, once it has come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def note_request(self, request: ReceivedRequest) -> None:
        """Records a request."""
        async with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()


@asynccontextmanager
async def run_llm_server() -> AsyncIterator[LlmServer]:
    """Runs a server on a free port of the loopback; leaving closes every connection."""
    connections: set[asyncio.Task[None]] = set()
    numbers = itertools.count()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve_connection(server, reader, writer, number=next(numbers)))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
    server = LlmServer(port=listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
        for task in connections:
            task.cancel()
        results = await asyncio.gather(*connections, return_exceptions=True)
        await listener.wait_closed()
        for result in results:  # a fault of the server itself must not look like one of the adapters
            if isinstance(result, Exception):
                raise result


def find_refusing_urls() -> dict[str, str]:
    """Base URLs at a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return LlmServer(port=probe.getsockname()[1]).urls


# --- one connection ---------------------------------------------------------------------------------------------


async def _serve_connection(
    server: LlmServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, number: int
) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    first = b""
    try:
        while (received := await _read_request(reader, first=first, number=number)) is not None:
            await server.note_request(received)
            watcher = asyncio.create_task(_watch(reader, received))
            try:
                keep = await _Answer(server, received, writer).send()
                # Keep-alive: either the client goes away, or this byte begins its next request.
                first = await watcher if keep else b""
            except ConnectionError:  # writing has noticed before the watcher did
                received.note_departure()
                raise
            finally:
                watcher.cancel()
            if not first:
                break
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _watch(reader: asyncio.StreamReader, request: ReceivedRequest) -> bytes:
    """Waits for the next byte of the client; when there is none any more, it has disconnected."""
    try:
        byte = await reader.read(1)
    except ConnectionError:
        byte = b""
    if not byte:
        request.note_departure()
    return byte


async def _read_request(reader: asyncio.StreamReader, *, first: bytes, number: int) -> ReceivedRequest | None:
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
    providers = {
        "POST /v1/chat/completions": "openai",
        "POST /openai/v1/chat/completions": "groq",
        "POST /v1/messages": "anthropic",
    }
    method, path, _ = request_line.split(" ")
    return ReceivedRequest(providers.get(f"{method} {path}", "unknown"), headers, body, number)


def _choose(by_words: Mapping[str, T], body: dict[str, Any]) -> T | None:
    text = json.dumps(body)
    return next((chosen for words, chosen in by_words.items() if words in text), None)


class _Answer:
    """Plays the scenario of one request."""

    def __init__(self, server: LlmServer, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._request = request
        self._writer = writer
        self._wire = WIRES.get(request.provider, WIRES["openai"])
        self._tokens = server.choose_tokens(request.body)
        name = server.choose_scenario(request.body)
        self._scenario = name.removeprefix("at-once/")
        self._at_once = name != self._scenario
        compressed = self._scenario in (Scenario.GZIP, Scenario.BROKEN_GZIP)
        self._gzip = zlib.compressobj(wbits=31) if compressed else None

    async def send(self) -> bool:
        """Plays it; says whether the connection may be used again."""
        if self._request.provider == "unknown":
            return await self._send_json(404, {"error": {"message": "no such path"}})
        if self._scenario == Scenario.STALL_BEFORE_HEADERS:
            return await self._stall()
        if self._scenario == Scenario.HANG_UP:
            return False
        if self._scenario.startswith("status-"):
            return await self._send_status(int(self._scenario.split("-")[1]))
        if not self._request.body.get("stream"):
            return await self._send_json(200, self._wire.whole(self._tokens))
        kind = f"Content-Type: {self._server.content_type}\r\n" if self._server.content_type else ""
        coding = "Content-Encoding: gzip\r\n" if self._gzip else ""
        self._writer.write(f"HTTP/1.1 200 OK\r\n{kind}{coding}Transfer-Encoding: chunked\r\n\r\n".encode())
        if self._server.script:
            await self._write(*self._server.script)
            return await self._end()
        await self._write(*self._wire.head(self._scenario))
        return await self._play()

    async def _play(self) -> bool:
        tokens = self._tokens
        if self._scenario.startswith("end-with/"):
            _, word, count = self._scenario.split("/")
            await self._write(*self._wire.reasoning())
            return await self._finish(tokens[: int(count)], reason=word)
        half = 0 if self._at_once else len(tokens) // 2
        match self._scenario:
            case Scenario.MANY_TOKENS:
                return await self._finish(MANY_TOKENS)
            case Scenario.ENDLESS:
                for token in itertools.cycle(tokens):
                    await self._send_tokens([token])
                    await asyncio.sleep(0.002)
            case Scenario.REASONING:
                await self._write(*self._wire.reasoning())
            case Scenario.SPLIT_CHARACTER:
                return await self._send_split()
            case Scenario.STALL_BEFORE_TEXT:
                return await self._stall()
            case Scenario.PINGS_BEFORE_TEXT:
                return await self._drip()
        if self._scenario == Scenario.RESET_AFTER_TEXT:
            await self._send_tokens(tokens)
            await self._write(self._wire.tail(len(tokens), usage=False)[0])
            return await self._reset()
        if self._scenario in _FAILURES:
            await self._send_tokens(tokens[:half])
            return await self._fail()
        return await self._finish(tokens)

    async def _fail(self) -> bool:
        """What happens after half of the answer."""
        match self._scenario:
            case Scenario.ERROR_EVENT:
                await self._write(self._wire.error("api_error"))
            case Scenario.OVERLOADED_EVENT:
                await self._write(self._wire.error("overloaded_error"))
            case Scenario.TOO_LONG_EVENT:
                await self._write(self._wire.error("invalid_request_error", code="context_length_exceeded"))
            case Scenario.BROKEN_JSON:
                await self._write(self._wire.event('{"choices": [{"delta"', "content_block_delta"))
            case Scenario.WRONG_SHAPE:
                await self._write(
                    self._wire.event('{"choices": 1, "type": "content_block_delta"}', "content_block_delta")
                )
            case Scenario.INVALID_UTF8:
                await self._write(self._wire.delta("\u00fc").replace(b"\xc3\xbc", b"\xfc\xff"))
            case Scenario.GIANT_LINE:
                await self._send_giant_line()
                return await self._stall()
            case Scenario.BROKEN_GZIP:
                self._gzip = None
                await self._write(b"\xff" * 100)
                return await self._stall()
            case Scenario.BROKEN_FRAMING:
                self._writer.write(b"no size\r\n")
                return await self._stall()
            case Scenario.RESET:
                return await self._reset()
            case Scenario.STALL_MIDWAY:
                return await self._stall()
            case Scenario.PINGS_MIDWAY:
                return await self._drip()
        return await self._end()

    async def _finish(self, tokens: Iterable[str], reason: str | None = None) -> bool:
        tokens = tuple(tokens)
        await self._send_tokens(tokens)
        asked = bool((self._request.body.get("stream_options") or {}).get("include_usage"))
        await self._write(*self._wire.tail(len(tokens), usage=asked, reason=reason))
        return await self._end()

    async def _send_tokens(self, tokens: Iterable[str]) -> None:
        for token in tokens:
            if self._server.steps is not None:
                await self._server.steps.acquire()
            await asyncio.sleep(self._server.delay_s)
            await self._write(self._wire.delta(token))
            self._request.started.set()

    async def _send_split(self) -> bool:
        """Every event in two segments, cut inside its first several-byte character, or else in the middle."""
        for token in self._server.tokens:
            event = self._wire.delta(token)
            cut = next((n + 1 for n, byte in enumerate(event) if byte >= 0xC0), len(event) // 2)
            for part in (event[:cut], event[cut:]):
                await self._write(part)
                await asyncio.sleep(0.002)  # so that the kernel does not join them again
        return await self._finish(())

    async def _send_giant_line(self) -> None:
        """A line that does not end: whoever waits for its end keeps all of it."""
        await self._write(b"data: ")
        piece = b"x" * 65536
        for _ in range(GIANT_LINE_BYTES // len(piece)):
            await self._write(piece)

    async def _drip(self) -> bool:
        while True:
            await self._write(*self._wire.pings())
            await asyncio.sleep(0.01)

    async def _stall(self) -> bool:
        await self._request.disconnected.wait()
        return False

    async def _reset(self) -> bool:
        # Lingering for 0 s makes the kernel send RST instead of FIN.
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        return False

    async def _end(self) -> bool:
        if self._gzip:
            end, self._gzip = self._gzip.flush(), None
            await self._write(end)
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return True

    async def _write(self, *events: bytes) -> None:
        """Each in an HTTP chunk and, with TCP_NODELAY, a segment of its own."""
        for event in events:
            if self._gzip:
                event = self._gzip.compress(event) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
            size = 1 if self._scenario == Scenario.BYTE_BY_BYTE else len(event)
            for start in range(0, len(event), size):
                if self._request.disconnected.is_set():
                    raise ConnectionResetError("the client went away")
                piece = event[start : start + size]
                self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await self._writer.drain()
                if size == 1:
                    await asyncio.sleep(self._server.delay_s)

    async def _send_status(self, status: int) -> bool:
        extra = {"Retry-After": str(RETRY_AFTER_S)} if status == 429 else {}
        kind = "insufficient_quota" if self._scenario == Scenario.STATUS_429_NO_CREDIT else "some_error"
        error = {"message": f"Incorrect API key provided: {SECRET}", "type": kind, "code": kind}
        return await self._send_json(status, {"type": "error", "error": error}, extra=extra)

    async def _send_json(self, status: int, body: object, *, extra: dict[str, str] | None = None) -> bool:
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(extra or {})}
        lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await self._writer.drain()
        return True


_FAILURES = frozenset(
    {
        Scenario.ERROR_EVENT,
        Scenario.OVERLOADED_EVENT,
        Scenario.TOO_LONG_EVENT,
        Scenario.BROKEN_JSON,
        Scenario.WRONG_SHAPE,
        Scenario.GIANT_LINE,
        Scenario.INVALID_UTF8,
        Scenario.BROKEN_GZIP,
        Scenario.BROKEN_FRAMING,
        Scenario.RESET,
        Scenario.CUT_OFF,
        Scenario.STALL_MIDWAY,
        Scenario.PINGS_MIDWAY,
    }
)

# --- wire formats -----------------------------------------------------------------------------------------------


class ChatCompletionWire:
    """OpenAI's and Groq's chunks, which have no names; they differ in where the token counts are."""

    def __init__(self, *, groq: bool) -> None:
        self._groq = groq

    def event(self, data: object, name: str = "") -> bytes:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        return f"data: {text}\n\n".encode()

    def head(self, model: str) -> list[bytes]:
        extra: dict[str, Any] = {"x_groq": {"id": "req_1"}} if self._groq else {}
        return [self._chunk({"role": "assistant", "content": ""}, model=model, **extra)]

    def delta(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def reasoning(self) -> list[bytes]:
        return [self._chunk({"reasoning": "Let me see."})]

    def pings(self) -> list[bytes]:
        return [b": keep-alive\n\n", self._chunk({"content": ""})]

    def error(self, kind: str, code: str | None = None) -> bytes:
        return self.event({"error": {"message": f"Upstream failed: {SECRET}", "type": kind, "code": code}})

    def tail(self, tokens: int, *, usage: bool, reason: str | None = None) -> list[bytes]:
        counts = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": tokens, "total_tokens": INPUT_TOKENS + tokens}
        groq: dict[str, Any] = {"x_groq": {"id": "req_1", "usage": counts}} if self._groq else {}
        events = [self._chunk({}, finish_reason=reason or "stop", **groq)]
        if usage and not self._groq:
            events.append(self.event({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": counts}))
        return [*events, self.event("[DONE]")]

    def whole(self, tokens: tuple[str, ...]) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(tokens)}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": INPUT_TOKENS, "completion_tokens": len(tokens), "total_tokens": 0},
        }

    def _chunk(
        self, delta: dict[str, str], *, finish_reason: str | None = None, model: str = "m", **extra: object
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}
        return self.event({**head, "choices": [choice], **extra})


class MessageWire:
    """Anthropic's named events."""

    def event(self, data: object, name: str = "") -> bytes:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        return f"event: {name}\ndata: {text}\n\n".encode()

    def head(self, model: str) -> list[bytes]:
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1, "cache_read_input_tokens": None}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
        return [
            self._typed("message_start", message={**message, "stop_reason": None, "usage": usage}),
            self._typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            self._typed("ping"),
        ]

    def delta(self, text: str) -> bytes:
        return self._typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def reasoning(self) -> list[bytes]:
        thought = {"type": "thinking_delta", "thinking": "Let me see."}
        signature = {"type": "signature_delta", "signature": "abc"}
        return [self._typed("content_block_delta", index=0, delta=delta) for delta in (thought, signature)]

    def pings(self) -> list[bytes]:
        return [self._typed("ping"), self._typed("some_new_event")]

    def error(self, kind: str, code: str | None = None) -> bytes:
        return self._typed("error", error={"type": kind, "message": f"Overloaded: {SECRET}"})  # it has no codes

    def tail(self, tokens: int, *, usage: bool, reason: str | None = None) -> list[bytes]:
        stop = {"stop_reason": reason or "end_turn", "stop_sequence": None}
        return [
            self._typed("content_block_stop", index=0),
            self._typed("message_delta", delta=stop, usage={"output_tokens": tokens}),
            self._typed("message_stop"),
        ]

    def whole(self, tokens: tuple[str, ...]) -> dict[str, Any]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "".join(tokens)}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": len(tokens)},
        }

    def _typed(self, kind: str, **fields: object) -> bytes:
        return self.event({"type": kind, **fields}, kind)


WIRES: dict[str, ChatCompletionWire | MessageWire] = {
    "openai": ChatCompletionWire(groq=False),
    "groq": ChatCompletionWire(groq=True),
    "anthropic": MessageWire(),
}
