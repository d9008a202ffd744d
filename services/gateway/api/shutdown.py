"""Pure-ASGI middleware for the requests that are still at work when the server stops waiting for them."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.runs.supervisor import make_shutdown_error
from shared.error_handlers import answer_pagewire_error


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
            response = await answer_pagewire_error(Request(scope), make_shutdown_error())
            await response(scope, receive, send)
