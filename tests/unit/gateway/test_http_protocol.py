"""What is no body is bounded, in size and in time, and so are connections; a client that leaves is always seen."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from services.gateway import connection_gate
from services.gateway.connection_gate import MAX_CONNECTIONS, fit_connections
from services.gateway.http_protocol import MAX_EARLY_BYTES, MAX_HEAD_BYTES, make_http_protocol
from tests.bare_gateway import open_bare_gateway
from tests.http_server import serve_app
from tests.patience import PATIENT_S

PIECE = b"x" * 16 * 1024
ENDLESS = 32 * 1024 * 1024 // len(PIECE)
"""Pieces; a blocked event loop, if nobody stops it."""


async def connect(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urlsplit(str(client.base_url))
    return await asyncio.open_connection(url.hostname, url.port)


async def send_until_refused(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> int:
    """Bytes that went out before the other side closed."""
    sent = 0
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    return sent


BEGINNINGS = [
    pytest.param(b"GET /", PIECE, id="request line"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", PIECE, id="one header"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n" * 1000, id="many headers"),
    pytest.param(
        b"POST /query HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: ",
        PIECE,
        id="a trailer",
    ),
]


@pytest.mark.parametrize(("beginning", "piece"), BEGINNINGS)
async def test_headers_without_end_are_cut_off(beginning: bytes, piece: bytes) -> None:
    """Soon, wherever they stand; others are served all the while."""
    async with open_bare_gateway() as client:
        _, writer = await connect(client)
        writer.write(beginning)
        sending = asyncio.create_task(send_until_refused(writer, repeat(piece, ENDLESS)))
        assert (await client.get("/health")).status_code == 200
        sent = await asyncio.wait_for(sending, PATIENT_S)
        writer.close()

    assert sent < 20 * 1024 * 1024, "what the sockets' own buffers hold"


async def test_too_many_headers_are_answered_with_our_body() -> None:
    """Whoever sends a little too much learns what is wrong."""
    async with open_bare_gateway() as client:
        reader, writer = await connect(client)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["error"]["code"] == "headers_too_large"


async def test_bodies_and_many_requests_on_a_connection_are_not_counted() -> None:
    """The limit is for one head, not for all that a connection carries."""
    async with open_bare_gateway() as client:
        for _ in range(3):
            large = {"X-Large": "x" * (MAX_HEAD_BYTES - 1024)}
            response = await client.post("/query", content=b"{" + b" " * 500_000, headers=large)
            assert response.status_code == 422


GET = b"GET /held/ HTTP/1.1\r\nHost: localhost\r\n"
SHORT_S = 0.2
"""In place of the time that a head, or the rest of a refused body, usually has."""


@dataclass
class HeldApp:
    """Begins an answer to each request, and ends it when told to, or when its client has left."""

    port: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    left: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    scopes: list[Scope] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def wait_for_departure() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.release()

        self.scopes.append(scope)
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        departure = asyncio.create_task(wait_for_departure())
        release = asyncio.create_task(self.release.wait())
        self.begun.release()
        await asyncio.wait({departure, release}, return_when=asyncio.FIRST_COMPLETED)
        if release.done():
            await send({"type": "http.response.body", "body": b"ended"})
        departure.cancel()
        release.cancel()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def begin(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection whose answer has begun."""
        reader, writer = await self.connect()
        writer.write(GET + b"\r\n")
        await reader.readuntil(b"begun")
        return reader, writer


@asynccontextmanager
async def open_held(connections: int = 100, **limits: float) -> AsyncIterator[HeldApp]:
    held, app = HeldApp(), FastAPI()
    app.mount("/held", held)
    async with serve_app(
        app, http=make_http_protocol(connections, **{"head_timeout_s": PATIENT_S, **limits})
    ) as server:
        held.port = urlsplit(server.url).port or 0
        try:
            yield held
        finally:
            held.release.set()
            for writer in held.writers:
                writer.close()


async def read_error(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], str]:
    """Status, headers and code of an error, which ends its connection."""
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body)["error"]["code"]


@pytest.mark.parametrize("already", [b"", b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_a_head_that_does_not_arrive_ends_its_connection(already: bytes) -> None:
    """The first one, and one behind a request that was answered; the client is told why."""
    async with open_bare_gateway(http=make_http_protocol(100, head_timeout_s=SHORT_S)) as client:
        reader, writer = await connect(client)
        if already:
            writer.write(already)
            await reader.readuntil(b'"}}')
        writer.write(b"GET /health HTTP/1.1\r\nHost:")
        answer = await read_error(reader)
        writer.close()

    assert (answer[0], answer[2]) == (408, "headers_stalled")


async def test_a_connection_that_says_nothing_ends_without_a_word() -> None:
    """A browser that has connected ahead would take an answer for that to its first request."""
    async with open_held(head_timeout_s=SHORT_S) as held:
        reader, writer = await held.connect()
        assert await reader.read() == b""
        writer.close()


async def test_the_rest_of_a_request_that_is_answered_may_not_take_for_ever() -> None:
    """An upload to nowhere has its 404 at once; its connection ends though its body does not."""
    async with open_bare_gateway(http=make_http_protocol(100, rest_timeout_s=SHORT_S)) as client:
        reader, writer = await connect(client)
        writer.write(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
        await reader.readuntil(b'"}}')
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_an_answer_may_take_longer_than_a_head() -> None:
    """Also when its client has sent a line break too many, as some do behind a body."""
    async with open_held(head_timeout_s=SHORT_S) as held:
        reader, writer = await held.begin()
        writer.write(b"\r\n")
        silent, other = await held.connect()
        assert await silent.read() == b"", "begun later, and its time is over"
        held.release.set()
        assert b"ended" in await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        other.close()


async def test_half_requests_lock_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit the one that has waited longest for its request makes room; what happens is logged in one line."""
    monkeypatch.setattr(connection_gate, "LOG_INTERVAL_S", SHORT_S)
    with capture_logs() as logs:
        async with open_held(connections=4) as held:
            await held.begin()
            halves = []
            for _ in range(6):
                reader, writer = await held.connect()
                writer.write(GET)
                halves.append(reader)
            answers = [await read_error(reader) for reader in halves[:3]]
            await held.begin()
            answers.append(await read_error(halves[3]))
            while count_made_room(logs) < 3:
                await asyncio.sleep(0.01)

    assert {(status, code) for status, _, code in answers} == {(503, "too_many_connections")}
    assert len(held.scopes) == 2


def count_made_room(logs: Sequence[Mapping[str, Any]]) -> int:
    """How many connections have made room by what the log says so far: it has a line for all of some time."""
    return sum(line["made_room"] for line in logs if line["event"] == "connections_turned_away")


async def test_idle_connections_make_room_in_silence() -> None:
    """Those that keep themselves for a next request; nobody is waiting for an answer there."""
    async with open_held(connections=1) as held:
        held.release.set()
        idle, writer = await held.begin()
        await idle.readuntil(b"0\r\n\r\n")
        other, other_writer = await held.begin()
        await other.readuntil(b"0\r\n\r\n")
        assert await idle.read() == b""
        writer.close()
        other_writer.close()


async def test_where_all_places_are_at_work_a_newcomer_is_told_so() -> None:
    """With 503 and when to come again; and a place that becomes free is given away again."""
    async with open_held(connections=2) as held:
        working = [await held.begin() for _ in range(2)]
        reader, writer = await held.connect()
        writer.write(GET + b"\r\n")
        status, headers, code = await read_error(reader)
        writer.close()
        working[0][1].close()
        await held.left.acquire()
        reader, writer = await held.begin()
        writer.close()
        working[1][1].close()

    assert (status, code, headers["Retry-After"]) == (503, "too_many_connections", "5")


async def test_those_who_wait_to_be_refused_are_bounded_too() -> None:
    """Or half requests would take the files that are left when all places are at work."""
    async with open_held(connections=8) as held:
        for _ in range(8):
            await held.begin()
        readers = []
        for _ in range(4):
            reader, _ = await held.connect()
            readers.append(asyncio.create_task(reader.read()))
        done, waiting = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        assert done
        held.release.set()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GET + b"\r\n", id="a request"),
        pytest.param(GET, id="half a request"),
        pytest.param(b"\x16\x03\x01", id="no HTTP"),
        pytest.param((GET + b"\r\n") * 1000, id="many requests"),
        pytest.param(
            b"POST /held/ HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, id="a body"
        ),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_client_that_leaves_is_seen_whatever_it_sent_before(behind: bytes, at_once: bool) -> None:
    """A request behind one that is being answered does not hide that its client has gone."""
    async with open_held() as held:
        reader, writer = await held.connect()
        writer.write(GET + b"\r\n" + (behind if at_once else b""))
        await reader.readuntil(b"begun")
        if not at_once:
            writer.write(behind)
            await writer.drain()
        writer.close()
        await held.left.acquire()

    assert len(held.scopes) == 1


async def test_a_request_behind_another_is_left_to_be_sent_again() -> None:
    """The first is answered whole and as it was asked, then the connection closes; the second is never begun."""
    async with open_held() as held:
        reader, writer = await held.connect()
        writer.write(GET + b"X-First: 1\r\n\r\nGET /held/ HTTP/1.1\r\nHost: localhost\r\nX-Second: 2\r\n\r\n")
        await reader.readuntil(b"begun")
        held.release.set()
        assert b"ended" in await reader.read()
        writer.close()

    assert len(held.scopes) == 1
    assert {name for name, _ in held.scopes[0]["headers"]} == {b"host", b"x-first"}


async def test_a_request_may_come_before_the_answer_to_the_last_has_ended() -> None:
    """Its client may have all of the answer that it needs; its turn comes when the last one has ended."""
    async with open_held() as held:
        reader, writer = await held.begin()
        writer.write(b"GET /held/ HTTP/1.1\r\nHost: localhost\r\nX-Second: 2\r\n\r\n")
        await writer.drain()
        held.release.set()
        await reader.readuntil(b"ended\r\n0\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"ended\r\n0\r\n\r\n")
        writer.close()

    assert [name for name, _ in held.scopes[1]["headers"]] == [b"host", b"x-second"]


async def test_what_follows_a_request_is_bounded() -> None:
    """Whoever goes on sending while an answer is on its way loses the connection, and the answer ends."""
    async with open_held() as held:
        _, writer = await held.begin()
        sent = await send_until_refused(writer, repeat(PIECE, ENDLESS))
        await held.left.acquire()
        writer.close()

    assert MAX_EARLY_BYTES < sent < 20 * 1024 * 1024, "what the sockets' own buffers hold"


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "fits"),
    [
        (1024, 1024, 1024, (1024 - 128) // 3),
        (1024, 8192, 8192, (8192 - 128) // 3),
        (1024, resource.RLIM_INFINITY, 16_384, MAX_CONNECTIONS),
        (100_000, 200_000, 100_000, MAX_CONNECTIONS),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, MAX_CONNECTIONS),
        (64, 64, 64, 1),
    ],
)
def test_connections_fit_into_the_files_that_may_be_open(
    soft: int, hard: int, raised: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of the process is raised as far as it may be, and never lowered."""
    now = (soft, hard)

    def set_limit(_: int, limits: tuple[int, int]) -> None:
        nonlocal now
        now = limits

    monkeypatch.setattr(resource, "getrlimit", lambda _: now)
    monkeypatch.setattr(resource, "setrlimit", set_limit)

    assert fit_connections() == fits
    assert now == (raised, hard)


LARGE_BYTES = 16 * 1024 * 1024
"""More than the sockets' own buffers hold."""


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_who_sends_a_refused_body_to_its_end_gets_to_read_why(connection: str) -> None:
    """413 comes at once; a client that reads only when it has sent all finds that, and no reset."""
    async with open_bare_gateway() as client:
        response = await client.post("/query", content=b"x" * LARGE_BYTES, headers={"Connection": connection})
        reader, writer = await connect(client)
        head = f"POST /query HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: {LARGE_BYTES}"
        writer.write(f"{head}\r\n\r\n".encode() + b"x" * LARGE_BYTES)
        await writer.drain()
        answer = await reader.readuntil(b'"}}')
        writer.close()

    assert response.status_code == 413
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_behind_the_last_answer_may_not_take_for_ever() -> None:
    """The answer ends at once, so that a client that looks for it sees it; its connection some time after."""
    async with open_bare_gateway(http=make_http_protocol(100, rest_timeout_s=SHORT_S)) as client:
        reader, writer = await connect(client)
        writer.write(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 99\r\n\r\n")
        assert (await read_error(reader))[0] == 404
        sending = send_until_refused(writer, repeat(b"x", 10**9))
        assert await asyncio.wait_for(sending, PATIENT_S / 2) > 0, "before an idle connection would be closed"
        writer.close()


async def test_an_upload_without_a_place_is_told_so() -> None:
    """Also when it reads only what comes after its last byte."""
    async with open_held(connections=1) as held:
        _, working = await held.begin()
        reader, writer = await held.connect()
        writer.write(b"POST /held/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES)
        writer.write(b"x" * LARGE_BYTES)
        await writer.drain()
        assert (await read_error(reader))[0] == 503
        writer.close()
        working.close()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_requests_that_have_their_answer_lock_nobody_out(connection: str) -> None:
    """However long the rest of them takes: at the limit the oldest of them makes room."""
    async with open_bare_gateway(http=make_http_protocol(4)) as client:
        refused = [await refuse_half(client, connection) for _ in range(4)]
        assert (await client.get("/health")).status_code == 200
        assert await refused[0][0].read() == b""
        for _, writer in refused:
            writer.close()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_the_end_of_the_server_takes_no_answer_away(connection: str) -> None:
    """Not from who is still sending a request that has its answer: it is read to the end, and no reset comes."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_bare_gateway())
        reader, writer = await refuse_half(client, connection, LARGE_BYTES)
        stopping = asyncio.create_task(stack.aclose())
        assert await reader.read() == b"", "the server has begun to stop"
        writer.write(b"x" * LARGE_BYTES)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await stopping


async def refuse_half(
    client: httpx.AsyncClient, connection: str, size: int = 99
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose request has been answered before it was whole."""
    reader, writer = await connect(client)
    head = f"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: {size}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b'"}}')
    return reader, writer
