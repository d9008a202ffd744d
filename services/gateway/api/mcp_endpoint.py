"""The route of the Model Context Protocol. What answers there is loaded and started with the first request."""

import asyncio
import importlib
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.api.dependencies import GatewayDependencies, get_gateway
from shared.tasks import end_tasks

PATH: Final = "/mcp"


class McpEndpoint:
    """Pass requests on to the SDK's session manager, and own the task in which that runs."""

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
        if self._starting is None:
            starting = self._start(get_gateway(request), request.app.version)
            self._starting = asyncio.create_task(starting, name="mcp_start")
        handle = await asyncio.shield(self._starting)  # others may wait for it, too
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return unread.pop() if unread else await receive()

        await handle(scope, receive_again, send)

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
