"""The HTTP server: uvicorn, which tells the application when it begins to stop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvicorn


class GatewayServer(uvicorn.Server):
    """Serve, and let streams end themselves when the server stops: uvicorn only waits for them, or cuts them.

    Parameters:
        on_started: called once requests are answered.
        on_stopping: called once no new connection is taken; open requests go on meanwhile.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_started: Callable[[], None] | None = None,
        on_stopping: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._on_stopping = on_stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started and self._on_started is not None:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, end streams, wait for open requests."""
        stopping = asyncio.ensure_future(self._stop_streams())
        await super().shutdown(sockets)
        await stopping

    async def _stop_streams(self) -> None:
        if self._on_stopping is not None:
            await self._on_stopping()
