"""Finds the methods that an app has routes for at a path: the framework names only those of the first route."""

from starlette.requests import Request
from starlette.routing import Match, Mount

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MOUNTED = ["GET", "HEAD"]
"""What is mounted is files."""


def find_allowed_methods(request: Request) -> list[str]:
    """The methods that the request's path can be called with; HEAD goes with GET."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    where = {"type": "http", "path": request.scope["path"], "root_path": "", "headers": []}
    allowed = [
        method
        for method in _METHODS
        if any(route.matches({**where, "method": method})[0] is Match.FULL for route in routes)
    ]
    if "GET" in allowed:
        allowed.insert(1, "HEAD")
    return allowed or _MOUNTED
