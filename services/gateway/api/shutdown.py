"""Pure-ASGI middleware for the requests that are still at work when the server stops waiting for them."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.error_handlers import answer_pagewire_error
from shared.errors import DependencyUnavailable

SHUTDOWN_CODE = "server_shutdown"
SHUTDOWN_RETRY_AFTER_S = 5
SHUTDOWN_MESSAGE = "The server is restarting; ask again."


class ShutdownMiddleware:
    """Answers 503 `server_shutdown` where uvicorn would send a plain 500. Streams end themselves before that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wraps one request; a response that has begun passes through untouched."""
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            # Only uvicorn cancels requests, when the grace period is over. The request's task ends here.
            if scope["type"] != "http" or started:
                raise
            error = DependencyUnavailable(SHUTDOWN_MESSAGE, code=SHUTDOWN_CODE, retry_after=SHUTDOWN_RETRY_AFTER_S)
            response = await answer_pagewire_error(Request(scope), error)
            await response(scope, receive, send)
