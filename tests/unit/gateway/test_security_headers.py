"""Every answer tells browsers to run, embed and guess nothing; the page alone may load what is its own."""

from typing import Any, cast

import httpx
from starlette.types import Message, Receive, Scope, Send

from services.gateway.api.security_headers import SecurityHeadersMiddleware
from services.gateway.settings import GatewaySettings
from tests.bare_gateway import open_bare_gateway


def find_directives(response: httpx.Response) -> dict[str, str]:
    """The content security policy, by name; there must be exactly one."""
    (policy,) = response.headers.get_list("content-security-policy")
    return dict(directive.strip().split(" ", 1) for directive in policy.split(";"))


ANSWERS: list[tuple[str, str, int, dict[str, str]]] = [
    ("GET", "/", 200, {}),
    ("HEAD", "/", 200, {}),
    ("GET", "/static/page.js", 200, {}),
    ("GET", "/static/none.js", 404, {}),
    ("GET", "/favicon.ico", 204, {}),
    ("GET", "/health/live", 200, {}),
    ("GET", "/openapi.json", 200, {}),
    ("GET", "/nowhere", 404, {}),
    ("PUT", "/query", 405, {}),
    ("POST", "/query", 422, {}),
    ("POST", "/query", 413, {}),
    ("GET", "/health/live", 403, {"Host": "evil.example"}),
    ("GET", "/documents", 500, {}),
]


async def test_every_answer_has_the_headers() -> None:
    """Whoever gives it: a route, the file server, a middleware, or what answers a bug."""
    async with open_bare_gateway() as client:
        for method, path, status, headers in ANSWERS:
            body = b" " * 2_000_000 if status == 413 else None
            response = await client.request(method, path, headers=headers, content=body)

            assert response.status_code == status
            assert response.headers.get_list("x-content-type-options") == ["nosniff"], path
            assert response.headers.get_list("referrer-policy") == ["no-referrer"], path
            assert response.headers.get_list("cross-origin-resource-policy") == ["same-origin"], path
            directives = find_directives(response)
            assert directives["default-src"] == ("'self'" if path == "/" else "'none'"), path
            assert directives["frame-ancestors"] == directives["base-uri"] == directives["form-action"] == "'none'"


async def test_no_page_of_others_is_shown() -> None:
    """FastAPI's pages about the API load scripts from a CDN into our origin."""
    async with open_bare_gateway() as client:
        for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
            assert (await client.get(path)).status_code == 404, path


async def test_pages_that_are_allowed_to_use_us_may_embed_what_we_send() -> None:
    """Pictures of pages, for one."""
    settings = GatewaySettings.model_construct(**cast("Any", {"allowed_origins": "http://localhost:3000"}))
    async with open_bare_gateway(settings) as client:
        response = await client.get("/health/live")

    assert response.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_a_stream_passes_through_piece_by_piece() -> None:
    """Nothing is held back, and only its beginning is changed."""
    passed: list[Message] = []
    seen: list[int] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-run-id", b"1")]})
        for piece in (b"a", b"b", b""):
            await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})
            seen.append(len(passed))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        passed.append(message)

    await SecurityHeadersMiddleware(stream, embeddable=False)({"type": "http"}, receive, send)

    assert seen == [2, 3, 4]
    assert [message.get("body") for message in passed] == [None, b"a", b"b", b""]
    names = [name for name, _ in passed[0]["headers"]]
    assert names[0] == b"x-run-id"
    assert len(names) == len(set(names)) == 5
