"""What precedes a body is bounded: nobody can block the gateway, or fill its memory, with headers without end."""

import asyncio
import json
from collections.abc import Iterator
from itertools import repeat
from urllib.parse import urlsplit

import httpx
import pytest

from services.gateway.http_protocol import MAX_HEAD_BYTES
from tests.bare_gateway import open_bare_gateway

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
        sent = await asyncio.wait_for(sending, 20)
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
