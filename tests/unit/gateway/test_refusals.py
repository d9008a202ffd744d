"""What the framework refuses is said in our words: each message names what to do, and no part is asked."""

import pytest

from tests.bare_gateway import open_bare_gateway

JSON = "application/json"

BODIES = [
    # Content-Type, body, what the message says
    pytest.param(None, b'{"question": "x"}', "Send the header Content-Type: application/json.", id="no type"),
    pytest.param("text/plain", b'{"question": "x"}', "Content-Type: application/json", id="another type"),
    pytest.param(JSON, b"{nope", "The body is not JSON (at character 2).", id="no JSON"),
    pytest.param(JSON, b'{"question": "\xff"}', "The body is not in UTF-8.", id="no UTF-8"),
    pytest.param(JSON, b"[" * 100_000, "The body is nested too deeply.", id="no bottom"),
    pytest.param(JSON, b"[]", "body: Input should be a valid dictionary", id="a list"),
    pytest.param(JSON, b"", "body: Field required", id="nothing"),
    pytest.param(JSON, b'{"question": "x", "top_k": true}', "top_k: Input should be a valid integer", id="true"),
    pytest.param(JSON, b'{"question": "x", "collection": "legal"}', "no collections yet", id="a collection"),
    pytest.param(JSON, b'{"question": "x", "provider": "%s"}' % (b"x" * 100_000), "at most 64", id="a long provider"),
]


@pytest.mark.parametrize(("content_type", "body", "says"), BODIES)
async def test_a_body_that_cannot_be_read_says_why(content_type: str | None, body: bytes, says: str) -> None:
    """422 with one code, a message that says what to do, and the same among the problems; never the body itself."""
    async with open_bare_gateway() as client:
        headers = {"Content-Type": content_type} if content_type else {}
        response = await client.post("/query", content=body, headers=headers)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "invalid_value")
    assert says in error["message"]
    assert error["details"]["problems"][0]["problem"] in error["message"]
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", b'{"id": "c", "messages": [%s{}]}' % (b"{}," * 300_000)),
        ("/api/chat", b'{"id": "c", "messages": [{"role": "user", "parts": [%s{}]}]}' % (b"{}," * 300_000)),
        ("/v1/chat/completions", b'{"messages": [%s{}]}' % (b"{}," * 300_000)),
        ("/v1/responses", b'{"input": [%s{}]}' % (b"{}," * 300_000)),
        ("/v1/responses", b'{"input": [{"type": "\\ud83e", "role": "user", "content": "half a character"}]}'),
    ],
)
async def test_a_body_full_of_faults_is_refused_for_few_of_them(path: str, body: bytes) -> None:
    """A list of all of them would be 40 times as long as the body, and nobody would be answered while it is made."""
    async with open_bare_gateway() as client:
        response = await client.post(path, content=body, headers={"Content-Type": JSON})

    assert 400 <= response.status_code < 500
    assert response.json()["error"]["code"] == "invalid_value"
    assert len(response.content) < 1000


@pytest.mark.parametrize("path", ["/nowhere", "/documents/", "/query/", "/static/nothing.js"])
async def test_an_unknown_address_says_where_the_routes_are(path: str) -> None:
    """No redirect for a slash too many: it would go to whatever host the caller has named."""
    async with open_bare_gateway() as client:
        response = await client.get(path)

    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert "GET /openapi.json" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/documents", "GET, HEAD, POST"),
        ("POST", "/documents/doc_1", "GET, HEAD, PUT, DELETE"),
        ("GET", "/query", "POST"),
        ("OPTIONS", "/query/stream", "POST"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/static/page.js", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_names_the_right_ones(method: str, path: str, allowed: str) -> None:
    """All of them, also where several routes share an address."""
    async with open_bare_gateway() as client:
        response = await client.request(method, path)

    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert allowed in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/static/page.js", "/openapi.json", "/favicon.ico"])
async def test_head_is_get_without_the_body(path: str) -> None:
    """Probes and link checkers send it."""
    async with open_bare_gateway() as client:
        head, whole = await client.head(path), await client.get(path)

    assert head.status_code == whole.status_code < 300
    assert head.headers.get("content-length") == whole.headers.get("content-length")
    assert head.content == b""
