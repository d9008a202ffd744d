"""Bodies that are too large or never end are refused without waiting for them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from services.gateway.api.body_timeout import LEAST_BYTES
from services.gateway.settings import GatewaySettings
from tests.bare_gateway import open_bare_gateway
from tests.patience import PATIENT_S

BEGINNINGS = {
    "/query": b'Content-Type: application/json\r\n%s\r\n\r\n{"question": "',
    "/documents": (
        b"Content-Type: multipart/form-data; boundary=B\r\n%s\r\n\r\n"
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%%PDF-1.7\n'
    ),
}


async def send_beginning(client: httpx.AsyncClient, path: str, length: str) -> tuple[bytes, str]:
    """Head of the answer and its error code, when the body's beginning is all that is sent."""
    url = urlsplit(str(client.base_url))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + BEGINNINGS[path] % length.encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENT_S)
    body = await reader.readuntil(b"}}")
    writer.close()
    return head.lower(), json.loads(body)["error"]["code"]


@pytest.mark.parametrize("path", BEGINNINGS)
async def test_a_body_that_stalls_is_given_up(path: str, tmp_path: Path) -> None:
    """A client that vanished in the middle holds no connection and no file: 408, and the connection is closed."""
    settings = GatewaySettings.model_construct(body_idle_timeout_s=0.2)
    async with open_bare_gateway(settings, spool=tmp_path) as client:
        head, code = await send_beginning(client, path, "Content-Length: 100000")

    assert head.startswith(b"http/1.1 408 ")
    assert b"connection: close" in head
    assert code == "upload_stalled"
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


@pytest.mark.parametrize("path", BEGINNINGS)
async def test_a_body_that_announces_too_much_is_refused_at_once(path: str, tmp_path: Path) -> None:
    """Nobody has to send gigabytes to learn that they are too many."""
    async with open_bare_gateway(spool=tmp_path) as client:
        head, code = await send_beginning(client, path, "Content-Length: 9000000000")

    assert head.startswith(b"http/1.1 413 ")
    assert code == "too_large"


@pytest.mark.parametrize(("piece", "status"), [(b"{" * LEAST_BYTES, 422), (b"{", 408)])
async def test_a_slow_body_is_no_stalled_one_and_a_dripping_one_is(piece: bytes, status: int, tmp_path: Path) -> None:
    """The whole may take longer than the timeout, but a byte now and then holds no place for ever."""

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield piece
            await asyncio.sleep(0.4)  # the passing of time is what is tested

    settings = GatewaySettings.model_construct(body_idle_timeout_s=2)
    async with open_bare_gateway(settings, spool=tmp_path) as client:
        response = await client.post("/query", content=drip(), headers={"Content-Type": "application/json"})

    assert response.status_code == status


async def test_a_question_of_unknown_length_is_refused_when_it_is_too_large() -> None:
    """Memory stays bounded also when the client does not say what is coming."""

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 600_000

    async with open_bare_gateway() as client:
        response = await client.post("/query", content=drip(), headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
