"""Pure-ASGI middleware that answers HEAD wherever GET is answered, as HTTP asks; probes and link checkers use it."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequestMiddleware:
    """Lets the routes see a GET, and ends its response where the body begins.

    To a route it looks as if the client had left then: a stream is not read on for somebody who sees none of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wraps one request. No coroutine of its own, which a stream would keep."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return self.app(scope, receive, send)

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        return self.app({**scope, "method": "GET"}, receive, send_head)
