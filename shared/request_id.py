"""Pure-ASGI middleware that gives every request an id and a trace: in the logs, and the id in the answer's headers."""

import re
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.trace_context import TRACEPARENT, enter_trace, make_trace_headers

REQUEST_ID_HEADER = "x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")  # a caller's own id is kept when it cannot forge a log line


def make_request_headers() -> dict[str, str]:
    """Return the headers that tell the next service of the request at work now, and of its trace; empty outside."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return {} if request_id is None else {REQUEST_ID_HEADER: request_id, **make_trace_headers()}


class RequestIdMiddleware:
    """Put the caller's X-Request-ID, or a new one, into the log context and the response; its trace into the first."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request; streams pass through untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID_HEADER.encode()), b"")
        request_id = given.decode() if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        parent = next((value for name, value in scope["headers"] if name == TRACEPARENT.encode()), b"")
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with (
            enter_trace(parent) as trace_id,
            structlog.contextvars.bound_contextvars(request_id=request_id, trace_id=trace_id),
        ):
            state["trace_id"] = trace_id
            await self.app(scope, receive, send_with_id)
