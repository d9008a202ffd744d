"""A stream ends as soon as its client leaves, though nothing is written meanwhile, and keeps nothing of its request."""

import asyncio
import gc
import weakref
from urllib.parse import urlsplit

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request, Response

from services.gateway.api.event_stream import LogResponse
from services.gateway.settings import GatewaySettings
from shared.event_log.port import EventBatch, EventSink
from shared.request_id import RequestIdMiddleware
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


async def test_a_stream_keeps_its_context_and_nothing_else_of_its_request() -> None:
    """What was made of the request is gone when the first event comes; log lines and errors still name it."""
    app, requests = FastAPI(), list[weakref.ref[Request]]()
    app.add_middleware(RequestIdMiddleware)

    async def tell(sink: EventSink[str]) -> None:
        await asyncio.sleep(0)
        gc.collect()
        named = structlog.contextvars.get_contextvars()["request_id"]
        sink.take(EventBatch(1, [f"{named} {requests[0]() is None}"]))

    @app.get("/stream")
    async def answer(request: Request) -> Response:
        requests.append(weakref.ref(request))
        return LogResponse(tell, lambda batch: "".join(batch.events).encode(), GatewaySettings.model_construct())

    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        for number in range(2):  # on one connection
            requests.clear()
            response = await client.get("/stream", headers={"X-Request-ID": f"asked-{number}"})
            assert response.text == f"asked-{number} True"
