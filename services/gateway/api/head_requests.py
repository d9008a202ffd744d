"""Pure-ASGI middleware that answers HEAD wherever GET is answered, as HTTP asks; probes and link checkers use it."""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadRequestMiddleware:
    """Lets the routes see a GET; the server knows better and sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wraps one request."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)
