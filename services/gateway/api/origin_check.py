"""Pure-ASGI middleware that keeps other websites from using the gateway through their visitor's browser.

Without API keys, whoever reaches the gateway may use it, and a browser on the same machine reaches it for any page
that it shows. Such a page gives itself away: by the Host header where it has pointed its own name at our address
(DNS rebinding), and by the Origin header of what it sends. Clients that are no browsers send no Origin.
"""

from collections.abc import Awaitable, Collection

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.origins import is_loopback, split_netloc
from shared.error_handlers import answer_pagewire_error
from shared.errors import Forbidden

ANY = "*"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing, and a browser shows their answers to no other origin."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginCheckMiddleware:
    """Refuse requests under a foreign host name, and changes that the page of another origin asks for.

    Parameters:
        hosts: names under which we are called besides those of the loopback; None: any.
        origins: origins whose pages may use us besides our own; `*`: any.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None, origins: Collection[str]) -> None:
        self.app = app
        self._hosts = hosts
        self._origins = origins

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wrap one request. No coroutine of its own, which a stream would keep."""
        if scope["type"] == "http" and (error := self._check(scope["method"], Headers(scope=scope))) is not None:
            return _refuse(error, scope, receive, send)
        return self.app(scope, receive, send)

    def _check(self, method: str, headers: Headers) -> Forbidden | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host and self._hosts is not None and not _is_known(host, self._hosts):
            message = "The server does not know the name under which it was called; add it to PAGEWIRE_ALLOWED_HOSTS."
            return Forbidden(message, code="foreign_host")
        if method in _SAFE_METHODS or origin is None or ANY in self._origins or origin in self._origins:
            return None
        if _is_same(origin, host):
            return None
        message = (
            "A page of another website may not do this. If it is yours, add its origin to PAGEWIRE_ALLOWED_ORIGINS; if"
            " a proxy stands between, let it pass the Host header on."
        )
        return Forbidden(message, code="foreign_origin")


async def _refuse(error: Forbidden, scope: Scope, receive: Receive, send: Send) -> None:
    response = await answer_pagewire_error(Request(scope), error)
    await response(scope, receive, send)


def _is_known(host: str, names: Collection[str]) -> bool:
    name, _ = split_netloc(f"//{host}")
    return is_loopback(name) or name in names


def _is_same(origin: str, host: str) -> bool:
    default = _DEFAULT_PORTS.get(origin.partition(":")[0])
    name, port = split_netloc(origin)
    own_name, own_port = split_netloc(f"//{host}")
    return bool(name) and (name, port or default) == (own_name, own_port or default)
