"""What a gateway does when its disk is nearly full."""

import asyncio
from pathlib import Path

import httpx

from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from tests.http_server import serve_app
from tests.pdfs import make_pdf


async def test_an_upload_to_a_full_disk_is_refused_and_a_deletion_is_not(
    settings: GatewaySettings, ready_document: str, tmp_path: Path
) -> None:
    """507 with what to do, nothing left in the spool; deleting is how space is made."""
    full = settings.model_copy(update={"min_free_disk_mb": 10**9})
    app = await asyncio.to_thread(
        create_app, lambda: open_gateway(full, RetrievalClient("http://127.0.0.1:9", timeout_s=1))
    )
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        response = await client.post("/documents", files={"file": ("a.pdf", make_pdf(["text"]))})
        assert (response.status_code, response.json()["error"]["code"]) == (507, "disk_full")
        assert str(tmp_path) not in response.text
        assert (await client.delete(f"/documents/{ready_document}")).status_code == 204

    assert await asyncio.to_thread(lambda: list((tmp_path / "spool").iterdir())) == []
