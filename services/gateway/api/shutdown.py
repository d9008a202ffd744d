"""Pure-ASGI middleware for the requests that are still at work when the server stops waiting for them."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.runs.supervisor import make_shutdown_error
from shared.error_handlers import answer_pagewire_error


class ShutdownMiddleware:
    """Answers 503 `server_shutdown` to requests that are cancelled. Streams end themselves.

    Parameters:
        unanswered: filled with the tasks of requests without a response; whoever stops the server cancels them, soon
            enough for the response to arrive. uvicorn does it when its time is over.
    """

    def __init__(self, app: ASGIApp, unanswered: "set[asyncio.Task[object]]") -> None:
        self.app = app
        self._unanswered = unanswered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wraps one request; a response that has begun passes through untouched, and breaks off when cancelled."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        self._unanswered.add(task)

        async def send_and_note(message: Message) -> None:
            self._unanswered.discard(task)
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if task not in self._unanswered:
                return  # its client reads nothing, or the end may not wait for it: there is nothing to tell, or to log
            response = await answer_pagewire_error(Request(scope), make_shutdown_error())
            await response(scope, receive, send)
        finally:
            self._unanswered.discard(task)
