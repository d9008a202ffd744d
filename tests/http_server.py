"""Runs an ASGI app on a real socket with real uvicorn, in the test's own event loop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import uvicorn
import uvicorn.server
from fastapi import FastAPI

from services.gateway.http_protocol import make_http_protocol
from services.gateway.listen import bind_socket
from services.gateway.server import GatewayServer
from tests.patience import PATIENT_S

TICK_S = 0.01


def _make_quick_asyncio() -> ModuleType:
    """What uvicorn's server loop sees of asyncio: the same, but for how long it sleeps.

    It looks ten times a second whether it is to stop, and whether all connections are closed: some 0.2 s for each
    server of each test.
    """

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, TICK_S))

    quick = ModuleType("asyncio")
    vars(quick).update({**vars(asyncio), "sleep": sleep})
    return quick


vars(uvicorn.server)["asyncio"] = _make_quick_asyncio()


@dataclass(frozen=True)
class RunningServer:
    """A server that answers at `url`."""

    url: str
    server: uvicorn.Server

    def begin_stop(self) -> None:
        """What Ctrl-C does."""
        self.server.should_exit = True


@asynccontextmanager
async def serve_app(app: FastAPI, *, http: Any = None) -> AsyncIterator[RunningServer]:
    """The running app; leaving stops it and waits for its end.

    Parameters:
        http: the protocol, when it is not to be the gateway's with room for all that tests need.
    """
    http = http or make_http_protocol(1000, head_timeout_s=PATIENT_S)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=http,
        ws="none",
        timeout_keep_alive=PATIENT_S,
        timeout_graceful_shutdown=5,
    )
    listener = bind_socket("127.0.0.1", 0, unsent_timeout_s=PATIENT_S)
    started = asyncio.Event()

    async def stop_requests(drains: bool) -> None:
        if hasattr(app.state, "stop_requests"):
            await app.state.stop_requests(drains)

    server = GatewayServer(config, on_started=started.set, on_stopping=stop_requests)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    task = asyncio.create_task(server.serve(sockets=[listener]))
    waiter = asyncio.create_task(started.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    try:
        if task.done():
            task.result()
            raise RuntimeError("the server ended while it was starting")
        yield RunningServer(f"http://127.0.0.1:{listener.getsockname()[1]}", server)
    finally:
        server.should_exit = True
        await task
        for number, handler in before.items():
            signal.signal(number, handler)
