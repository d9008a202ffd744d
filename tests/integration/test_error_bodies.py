"""Every error is the one JSON body, also those that nobody meant to raise; and OpenAPI says so."""

import httpx
import pytest
from fastapi import FastAPI

from shared.error_handlers import install_error_handlers
from shared.request_id import RequestIdMiddleware
from tests.http_server import serve_app


async def test_a_bug_is_a_500_with_our_body_and_the_requests_id(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the exception reaches the client; the id that finds it does, twice, and stands in the log."""
    app = FastAPI()
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)

    @app.get("/bug")
    async def fail() -> None:
        raise ZeroDivisionError("a secret")

    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url) as client:
        response = await client.get("/bug", headers={"X-Request-ID": "my-id"})

    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert response.json()["error"]["request_id"] == "my-id"
    assert response.headers.get_list("x-request-id") == ["my-id"]
    assert "secret" not in response.text
    assert response.headers["connection"] == "close", "uvicorn closes it, which the client should know"
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["request_id"] for line in logged if line["event"] == "unexpected_error"] == ["my-id"]
