"""Pure-ASGI middleware that gives every request an id, in the logs and in the answer's headers."""

import re
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = "x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")  # a caller's own id is kept when it cannot forge a log line


def make_request_id_headers() -> dict[str, str]:
    """Return the header that names the request at work now to the next service; empty outside of any."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return {} if request_id is None else {REQUEST_ID_HEADER: request_id}


class RequestIdMiddleware:
    """Put the caller's X-Request-ID, or a new one, into the log context and the response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request; streams pass through untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID_HEADER.encode()), b"")
        request_id = given.decode() if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)
