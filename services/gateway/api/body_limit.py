"""Pure-ASGI middleware that bounds the bodies that are read into memory; uploads have a limit of their own."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.settings import MEGABYTE

MAX_BODY_BYTES = MEGABYTE
"""A question of 4,000 characters with 1,000 document ids has 60 kB."""
UPLOAD_PATHS = ("/documents", "/upload")

_TOO_LARGE = HTTPException(
    413, "The request's body is larger than 1 MB. Send a shorter question or fewer document ids."
)


class BodyLimitMiddleware:
    """Ends requests with 413 as soon as more has arrived than any question needs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wraps one request; responses pass through untouched."""
        if scope["type"] != "http" or scope["path"] in UPLOAD_PATHS:
            await self.app(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise _TOO_LARGE
            return message

        await self.app(scope, receive_within_limit, send)
