"""A stream whose client reads nothing ends after the send timeout; one whose client reads again goes on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from services.gateway.client_stream import open_client_stream
from services.gateway.http_protocol import make_http_protocol
from tests.http_server import serve_app

PIECE = b"x" * 16 * 1024
SHORT_S = 0.2
LIMIT_S = 20.0
"""For what takes a moment on a machine that is not busy."""


@dataclass
class EndlessApp:
    """Sends without end; `waits` is set while its client lets it wait, `left` when the connection is gone."""

    send_timeout_s: float
    sent: int = 0
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = open_client_stream(scope)
        client.abort_unread(self.send_timeout_s)
        client.on_left = self.left.set
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not client.has_left:
            client.write(PIECE)
            self.sent += 1
            if client.is_full:
                self.waits.set()
                await client.wait_for_room()
                self.waits.clear()


@asynccontextmanager
async def open_endless(send_timeout_s: float) -> AsyncIterator[tuple[EndlessApp, socket.socket]]:
    """The app, and a client that has asked and not read anything yet."""
    endless, app = EndlessApp(send_timeout_s), FastAPI()
    app.mount("/endless", endless)
    async with serve_app(app, http=make_http_protocol(10)) as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", int(server.url.rpartition(":")[2])))
            await loop.sock_sendall(client, b"GET /endless/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            yield endless, client


async def test_a_client_that_reads_nothing_loses_its_connection() -> None:
    """Whoever writes the stream sees the client leave, and one line says why."""
    with capture_logs() as logs:
        async with open_endless(SHORT_S) as (endless, _):
            await asyncio.wait_for(endless.left.wait(), LIMIT_S)

    assert [line for line in logs if line["event"] == "client_too_slow"] == [
        {"event": "client_too_slow", "send_timeout_s": SHORT_S, "log_level": "info"}
    ]


async def test_a_client_that_reads_again_goes_on() -> None:
    """What it had left unread does not count any more once it has been read."""
    timeout_s = 2.0
    async with open_endless(timeout_s) as (endless, client):
        await asyncio.wait_for(endless.waits.wait(), LIMIT_S)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s * 1.5  # the passing of time is what is tested
        while loop.time() < until:
            assert await loop.sock_recv(client, 65536)
        before = endless.sent
        while endless.sent <= before:
            assert await loop.sock_recv(client, 65536)
        assert not endless.left.is_set()
