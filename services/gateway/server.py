"""The HTTP server: uvicorn, which tells the application when it begins to stop."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn
from sse_starlette.sse import AppStatus

from shared.tasks import end_tasks


class GatewayServer(uvicorn.Server):
    """Serve, and let requests end themselves when the server stops: uvicorn only waits for them, or cuts them.

    Parameters:
        on_started: called once requests are answered.
        on_stopping: called once no new connection is taken; open requests go on meanwhile. It is told whether answers
            may come to their end: SIGTERM, which a deployment sends, lets them; who presses Ctrl-C wants the end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_started: Callable[[], None] | None = None,
        on_stopping: Callable[[bool], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(config)
        self._drains = False
        self._on_started = on_started
        self._on_stopping = on_stopping
        # Streams end with their runs; sse-starlette by itself would cut those of the MCP SDK at the signal.
        AppStatus.enable_automatic_graceful_drain = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started and self._on_started is not None:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at Ctrl-C once more, end at once."""
        self._drains = sig == signal.SIGTERM
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, end open requests, wait for them."""
        stopping = asyncio.create_task(self._stop_requests())
        await super().shutdown(sockets)  # also the application, which waits for what it has to
        await end_tasks(stopping)
        if self.force_exit:  # uvicorn leaves the rest to the end of the loop, which logs it as faults
            self._drains = False
            await self._stop_requests()
            await end_tasks(*self.server_state.tasks)
            await self.lifespan.shutdown()

    async def _stop_requests(self) -> None:
        if self._on_stopping is not None:
            await self._on_stopping(self._drains)
