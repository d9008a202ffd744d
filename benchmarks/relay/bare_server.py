"""The floor: a relay of the same libraries that does nothing else, `uvicorn …bare_server:app`.

aiohttp asks and takes the chunks apart, a bare ASGI function under uvicorn answers, uvloop runs both. Nothing is looked
up, checked, timed, counted or numbered, no request is read, and no fault is handled: what a relay costs more than this
is its own.
"""

import json
import os
from typing import Any

import aiohttp
from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

_BODY = json.dumps({"model": "bench", "stream": True, "messages": [{"role": "user", "content": "…"}]}).encode()
_HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench", "Accept-Encoding": "identity"}
_URL = os.environ["BENCH_UPSTREAM"] + "/chat/completions"
_SESSIONS: list[aiohttp.ClientSession] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer any request with the model's answer."""
    if scope["type"] != "http":
        return
    if not _SESSIONS:
        _SESSIONS.append(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), headers=_HEADERS
            )
        )
    if scope["method"] == "GET":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    async with _SESSIONS[0].post(_URL, data=_BODY) as response:
        rest = b""
        async for piece in response.content.iter_any():
            *lines, rest = (rest + piece).split(b"\n")
            if sent := b"".join(_encode(line[6:]) for line in lines if line.startswith(b"data: {")):
                await send({"type": "http.response.body", "body": sent, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _encode(data: bytes) -> bytes:
    chunk: dict[str, Any] = from_json(data)
    if chunk["choices"] and (text := chunk["choices"][0]["delta"].get("content")):
        return b'data: {"token": %s}\n\n' % json.dumps(text).encode()
    return b""
