"""Pure-ASGI middleware that tells browsers what they may do with an answer: nothing but show it to who asked."""

from collections.abc import Awaitable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What one of our answers holds (text of PDFs, of models) may not run or load anything where a browser opens it itself,
# nor be framed or embedded by a page of somebody else. The web page has a policy of its own.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class SecurityHeadersMiddleware:
    """Add the headers to every response, unless it has its own; bodies pass through untouched.

    Parameters:
        embeddable: whether pages of other origins may embed what we send, as those that are allowed to use us may.
    """

    def __init__(self, app: ASGIApp, *, embeddable: bool) -> None:
        self.app = app
        self._headers = _HEADERS | {"Cross-Origin-Resource-Policy": "cross-origin" if embeddable else "same-origin"}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wrap one request. No coroutine of its own, which a stream would keep."""
        if scope["type"] != "http":
            return self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        return self.app(scope, receive, send_with_headers)
