"""Pure-ASGI middleware that gives up on a body that no longer arrives: its client went away without a word."""

import asyncio
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import UploadStalled


class BodyTimeoutMiddleware:
    """Ends requests with 408 when the next piece of the body takes too long; how long the whole takes is free.

    Parameters:
        idle_timeout_s: seconds for which a client may send nothing.
    """

    def __init__(self, app: ASGIApp, *, idle_timeout_s: float) -> None:
        self.app = app
        self._idle_timeout_s = idle_timeout_s

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wraps one request; what is received behind the body, the client's departure, may take as long as it likes."""
        arrived = scope["type"] != "http"

        async def receive_in_time() -> Message:
            nonlocal arrived
            if arrived:
                return await receive()
            try:
                async with asyncio.timeout(self._idle_timeout_s):
                    message = await receive()
            except TimeoutError as error:
                arrived = True
                raise UploadStalled(
                    "Nothing more of the request arrived. Check the connection; send it again."
                ) from error
            arrived = not message.get("more_body", False)
            return message

        return self.app(scope, receive_in_time, send)
