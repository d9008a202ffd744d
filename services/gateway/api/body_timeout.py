"""Pure-ASGI middleware that gives up on a body that hardly arrives: its client went away without a word, or drips."""

import asyncio
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import UploadStalled

LEAST_BYTES = 32 * 1024
"""In the time that is given, 60 s as it comes: 550 bytes a second, which the worst of connections makes."""


class BodyTimeoutMiddleware:
    """Ends requests with 408 when the body's next LEAST_BYTES, or its rest, take too long; the whole may take any time.

    A byte now and then does not count: there are few places for uploads, and some hundred clients could hold them all.

    Parameters:
        idle_timeout_s: seconds for LEAST_BYTES.
    """

    def __init__(self, app: ASGIApp, *, idle_timeout_s: float) -> None:
        self.app = app
        self._idle_timeout_s = idle_timeout_s

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wraps one request; what is received behind the body, the client's departure, may take as long as it likes."""
        loop = asyncio.get_running_loop()
        arrived = scope["type"] != "http"
        received, deadline = 0, loop.time() + self._idle_timeout_s

        async def receive_in_time() -> Message:
            nonlocal arrived, received, deadline
            if arrived:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                arrived = True
                raise UploadStalled(
                    "Too little more of the request arrived. Check the connection; send it again."
                ) from error
            arrived = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received >= LEAST_BYTES:
                received, deadline = 0, loop.time() + self._idle_timeout_s
            return message

        return self.app(scope, receive_in_time, send)
