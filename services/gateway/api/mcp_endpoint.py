"""The route of the Model Context Protocol. What answers there is loaded and started behind the open port."""

import asyncio
import importlib
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.api.dependencies import GatewayDependencies, get_gateway
from shared.tasks import end_tasks

log = structlog.get_logger(__name__)

PATH: Final = "/mcp"


class McpEndpoint:
    """Pass requests on to the SDK's session manager, and own the task in which that runs.

    `start` begins to load the SDK, which takes longer than a gateway may take to answer, and would hold up all streams
    if the first request did it. Requests wait for it.
    """

    def __init__(self) -> None:
        self._starting: asyncio.Task[ASGIApp] | None = None
        self._running: asyncio.Task[None] | None = None

    def make_route(self) -> Route:
        """Return the route. POST only: without sessions there is no stream to GET, and nothing to DELETE."""
        return Route(PATH, endpoint=self, methods=["POST"], include_in_schema=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        # Read here, so that a body which is too large, stalls or breaks off ends as anywhere else; the SDK takes it for
        # a bug, or hangs.
        body = await request.body()
        starting = self.start(await get_gateway(request), request.app.version)
        handle = await asyncio.shield(starting)  # others may wait for it, too
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return unread.pop() if unread else await receive()

        await handle(scope, receive_again, send)

    def start(self, gateway: GatewayDependencies, version: str) -> "asyncio.Task[ASGIApp]":
        """Begin to load, unless that has begun; return what is waited for."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(gateway, version), name="mcp_start")
            self._starting.add_done_callback(self._note_failure)
        return self._starting

    async def close(self) -> None:
        """End what is under way."""
        await end_tasks(*(task for task in (self._starting, self._running) if task is not None))

    async def _start(self, gateway: GatewayDependencies, version: str) -> ASGIApp:
        server: Any = await asyncio.to_thread(importlib.import_module, "services.gateway.api.mcp_server")
        manager = server.make_session_manager(gateway, version)
        started = asyncio.Event()

        async def run() -> None:
            async with manager.run():
                started.set()
                await asyncio.Event().wait()

        self._running = asyncio.create_task(run(), name="mcp_sessions")
        await started.wait()
        handle: ASGIApp = manager.handle_request
        return handle

    def _note_failure(self, starting: "asyncio.Task[ASGIApp]") -> None:
        """Let the next request try again."""
        if not starting.cancelled() and (error := starting.exception()) is not None:
            log.error("mcp_did_not_start", error=type(error).__name__)
            self._starting = None
