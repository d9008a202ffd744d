"""A stream ends as soon as its client leaves, though nothing is written meanwhile."""

import asyncio
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request, Response

from services.gateway.api.event_stream import LogResponse
from services.gateway.settings import GatewaySettings
from shared.event_log.port import EventSink
from tests.http_server import serve_app

LIMIT_S = 10.0
"""Less than a heartbeat, which would find out, too."""


@pytest.mark.parametrize("size", [1_000, 200_000, 900_000])
async def test_the_client_of_a_silent_stream_is_seen_to_leave(size: int) -> None:
    """However long its question was: uvicorn stops reading while much of a body lies there unread."""
    ended, app = asyncio.Event(), FastAPI()

    async def be_silent(sink: EventSink[str]) -> None:
        await asyncio.Event().wait()

    async def note_end() -> None:
        ended.set()

    @app.post("/stream")
    async def answer(request: Request) -> Response:
        await request.body()
        return LogResponse(be_silent, lambda _: b"", GatewaySettings.model_construct(), on_end=note_end)

    async with serve_app(app) as server:
        url = urlsplit(server.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = f"POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + b"x" * size)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await asyncio.wait_for(ended.wait(), LIMIT_S)
