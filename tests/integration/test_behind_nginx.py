"""Behind a real nginx that buffers and cuts what is silent, as by default: tokens come one by one all the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.llm_server import LlmServer, Scenario
from tests.nginx_process import run_nginx, run_our_nginx
from tests.patience import PATIENT_S

QUESTION = "How much?"
TOKENS = ("first", " second", " third")
MESSAGE = {"role": "user", "content": QUESTION}
CHAT = {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": QUESTION}]}]}
HEARTBEAT_S = 0.2

# Path and body of a question in each dialect, and what its stream has last.
DIALECTS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "native": ("/query/stream", {"question": QUESTION}, b"event: sources"),
    "OpenAI chat": ("/v1/chat/completions", {"model": "pagewire", "messages": [MESSAGE], "stream": True}, b"[DONE]"),
    "OpenAI responses": (
        "/v1/responses",
        {"model": "pagewire", "input": [MESSAGE], "stream": True},
        b"response.completed",
    ),
    "AI SDK": ("/api/chat", CHAT, b"[DONE]"),
}
RUN = "a run that is read again"


@asynccontextmanager
async def open_behind_nginx(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer, folder: Path, *, compresses: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of nginx, behind which there is a gateway."""
    chosen = {
        "openai_api_key": SecretStr("sk"),
        "openai_base_url": llm.urls["openai"],
        "openai_model": Scenario.OK,
        "llm_idle_timeout_s": 60,
        "heartbeat_s": HEARTBEAT_S,
        "answer_cache": "off",  # all dialects ask the same
    }
    configured = settings.model_copy(update=chosen)
    llm.tokens, llm.steps = TOKENS, asyncio.Semaphore(0)
    app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search), configured)
    async with (
        serve_app(app) as server,
        run_nginx(server.url, folder, compresses=compresses) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENT_S) as client,
    ):
        yield client


async def open_stream(stack: AsyncExitStack, client: httpx.AsyncClient, dialect: str) -> tuple[httpx.Response, bytes]:
    """Ask in a dialect; return the stream and what it has last."""
    path, body, end = DIALECTS[dialect if dialect != RUN else "native"]
    if dialect != RUN:
        return await stack.enter_async_context(client.stream("POST", path, json=body)), end
    async with client.stream("POST", path, json={**body, "on_disconnect": "continue"}) as response:
        events = f"/runs/{response.headers['X-Run-Id']}/events"
    return await stack.enter_async_context(client.stream("GET", events)), end


def read_until(response: httpx.Response) -> Callable[[bytes, int], Awaitable[None]]:
    """Return what reads on until something has come so often in all."""
    received, pieces = b"", response.aiter_bytes()

    async def read(expected: bytes, times: int = 1) -> None:
        nonlocal received
        while received.count(expected) < times:
            try:
                received += await asyncio.wait_for(anext(pieces), PATIENT_S)
            except (TimeoutError, StopAsyncIteration, httpx.HTTPError) as error:
                pytest.fail(f"{expected!r} did not come ({type(error).__name__}); there was {received!r}")

    return read


@pytest.mark.parametrize("compresses", [False, True])
async def test_each_token_arrives_before_the_next_is_written(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer, tmp_path: Path, compresses: bool
) -> None:
    """The provider waits for the client to have it: whatever keeps a token back, keeps it for ever.

    Where nginx compresses, only `X-Accel-Buffering: no` keeps it from that.
    """
    async with open_behind_nginx(settings, search, llm, tmp_path, compresses=compresses) as client:
        for dialect in (*DIALECTS, RUN):
            async with AsyncExitStack() as stack:
                response, end = await open_stream(stack, client, dialect)
                assert response.status_code == 200
                assert response.headers["server"].startswith("nginx")
                assert ("content-encoding" in response.headers) == compresses
                read = read_until(response)
                for token in TOKENS:
                    assert llm.steps is not None
                    llm.steps.release()
                    await read(token.encode(), 1)
                await read(end, 1)


async def test_silent_streams_are_not_cut(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer, tmp_path: Path
) -> None:
    """Heartbeats pass, in each dialect, and each has nginx bear the silence anew; then the answer comes whole."""
    async with open_behind_nginx(settings, search, llm, tmp_path) as client, AsyncExitStack() as stack:
        streams = [await open_stream(stack, client, dialect) for dialect in (*DIALECTS, RUN)]
        reading = [read_until(response) for response, _ in streams]
        await asyncio.gather(*(read(b": ping\n\n", 3) for read in reading))
        assert llm.steps is not None
        for _ in range(len(streams) * len(TOKENS)):
            llm.steps.release()
        await asyncio.gather(*(read(end, 1) for read, (_, end) in zip(reading, streams, strict=True)))


async def test_metrics_do_not_pass_our_nginx(settings: GatewaySettings, search: CannedSearch, tmp_path: Path) -> None:
    """However the address is written; the gateway itself tells them, and nginx lets all else pass."""
    app = await asyncio.to_thread(create_app, lambda: open_gateway(settings, search), settings)
    async with (
        serve_app(app) as server,
        run_our_nginx(server.url, tmp_path) as url,
        httpx.AsyncClient(timeout=PATIENT_S) as client,
    ):
        told = await client.get(f"{server.url}/metrics")
        passed = await client.get(f"{url}/health/ready")
        written = ("/metrics", "/metrics?name=x", "//metrics", "/%6Detrics", "/health/../metrics", "/metrics/")
        statuses = {path: await read_status(url, path) for path in written}
        refused = await client.get(f"{url}/metrics")

    assert (told.status_code, passed.status_code) == (200, 200)
    assert statuses == dict.fromkeys(written, 404)
    assert refused.json()["error"]["code"] == "not_found"
    assert refused.json()["error"]["request_id"] == refused.headers["x-request-id"]


async def read_status(url: str, path: str) -> int:
    """The status of an answer to a path that is sent as it stands; clients would tidy it."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    return int(response.split()[1])
