"""Other websites cannot use a gateway through the browser of somebody who reaches it; everybody else can."""

from typing import Any, cast

import pytest
from pydantic import ValidationError

from services.gateway.settings import GatewaySettings
from tests.bare_gateway import open_bare_gateway


def configure(**chosen: str) -> GatewaySettings:
    return GatewaySettings.model_construct(**cast("Any", chosen))


@pytest.mark.parametrize(
    ("chosen", "host", "known"),
    [
        ({}, "localhost:8000", True),
        ({}, "127.0.0.1:8000", True),
        ({}, "[::1]:8000", True),
        ({}, "127.1.2.3", True),
        ({}, "evil.example", False),
        ({}, "localhost.evil.example:8000", False),
        ({}, "localhost:8000@evil.example", False),
        ({}, "192.168.0.7:8000", False),
        ({"host": "localhost"}, "evil.example", False),
        ({"host": "0.0.0.0"}, "localhost:8000", True),
        ({"host": "0.0.0.0"}, "evil.example", False),
        ({"host": "0.0.0.0", "allowed_hosts": "*"}, "any.example", True),
        ({"allowed_hosts": "pages.example, Other.example:9000"}, "Pages.Example:443", True),
        ({"allowed_hosts": "pages.example, Other.example:9000"}, "other.example", True),
        ({"allowed_hosts": "pages.example"}, "localhost:8000", True),
        ({"allowed_hosts": "pages.example"}, "evil.example", False),
        ({"allowed_hosts": "pages.example", "host": "0.0.0.0"}, "evil.example", False),
        ({"allowed_hosts": "*"}, "any.example", True),
    ],
)
async def test_only_known_names_are_answered(chosen: dict[str, str], host: str, known: bool) -> None:
    """A website that has pointed its own name at our address gets nothing, not even by GET, wherever we listen."""
    async with open_bare_gateway(configure(**chosen)) as client:
        response = await client.get("/health/live", headers={"Host": host})

    if known:
        assert response.status_code == 200
    else:
        assert (response.status_code, response.json()["error"]["code"]) == (403, "foreign_host")
        assert response.json()["error"]["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "localhost:8000", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://LOCALHOST:8000", "localhost:8000", True),
        ("https://pages.example", "pages.example", True),
        ("https://pages.example", "pages.example:443", True),
        ("http://front.example", "localhost:8000", True),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://127.0.0.1:8000", "localhost:8000", False),
        ("https://evil.example", "localhost:8000", False),
        ("https://evil.example", "", False),
        ("null", "localhost:8000", False),
        ("http://[", "localhost:8000", False),
    ],
)
async def test_a_change_must_come_from_our_own_pages(origin: str | None, host: str, allowed: bool) -> None:
    """Uploads, deletions and questions; clients that are no browsers send no Origin."""
    settings = configure(allowed_hosts="pages.example", allowed_origins="http://front.example/")
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    async with open_bare_gateway(settings) as client:
        answers = [
            await client.post("/query", json={}, headers=headers),
            await client.post("/upload?wait=soon", headers=headers),
            await client.delete("/nowhere", headers=headers),
            await client.get("/health/live", headers=headers),
        ]

    *changes, read = answers
    expected = ["invalid_value", "invalid_value", "not_found"] if allowed else ["foreign_origin"] * 3
    assert [change.json()["error"]["code"] for change in changes] == expected
    assert read.status_code == 200
    assert all(
        ("access-control-allow-origin" in answer.headers) == (origin == "http://front.example") for answer in answers
    )


async def test_pages_of_an_allowed_origin_may_ask_and_read() -> None:
    """The browser asks first, and is told which methods and headers may be used; refusals can be read as well."""
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Headers": "content-type, authorization, x-stainless-lang",
    }
    async with open_bare_gateway(configure(allowed_origins="http://localhost:3000")) as client:
        for method in ("POST", "DELETE"):
            preflight = await client.options("/query", headers=asked | {"Access-Control-Request-Method": method})
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "http://localhost:3000"
            assert "x-stainless-lang" in preflight.headers["access-control-allow-headers"]
        refused = await client.post("/query", json={}, headers=asked)

    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "X-Request-ID" in refused.headers["access-control-expose-headers"]


async def test_without_allowed_origins_no_page_may_ask() -> None:
    """The question of a browser whether it may send JSON or delete is not answered with yes."""
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "DELETE"}
    async with open_bare_gateway(configure()) as client:
        preflight = await client.options("/documents/doc_1", headers=asked)

    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("origins", ["localhost:3000", "http://localhost:3000/app", "ftp://x"])
def test_an_origin_that_could_never_match_is_refused_at_the_start(origins: str) -> None:
    """Or its owner would look for the reason in the browser."""
    with pytest.raises(ValidationError, match="is not an origin like"):
        GatewaySettings(allowed_origins=origins)
