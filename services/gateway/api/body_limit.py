"""Pure-ASGI middleware that bounds the bodies that are read into memory; uploads have a limit of their own.

FastAPI's `max_body_size` (0.165) has no say here: to a body that announces too much it answers in plain text.
"""

from collections.abc import Awaitable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.error_handlers import answer_pagewire_error
from shared.errors import TooLarge
from shared.settings import MEGABYTE

MAX_BODY_BYTES = MEGABYTE
"""A question of 4,000 characters with 1,000 document ids has 60 kB."""
UPLOAD_PATHS = ("/documents", "/upload")

_MESSAGE = "The request's body is larger than 1 MB. Send a shorter question or fewer document ids."


class BodyLimitMiddleware:
    """Ends requests with 413: at once when they announce more than any question needs, else as soon as it arrives."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wraps one request; responses pass through untouched. No coroutine of its own, which a stream would keep."""
        if scope["type"] != "http" or _is_upload(scope):
            return self.app(scope, receive, send)
        if int(Headers(scope=scope).get("content-length", 0)) > MAX_BODY_BYTES:
            return _refuse(scope, receive, send)
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise TooLarge(_MESSAGE)
            return message

        return self.app(scope, receive_within_limit, send)


def _is_upload(scope: Scope) -> bool:
    replaces = scope["method"] == "PUT" and scope["path"].startswith("/documents/")
    return replaces or scope["path"] in UPLOAD_PATHS


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    response = await answer_pagewire_error(Request(scope), TooLarge(_MESSAGE))
    await response(scope, receive, send)
