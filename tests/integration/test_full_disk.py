"""What a gateway does when its disk is full, or nearly."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.canned_search import CannedSearch
from tests.conftest import skip_or_fail
from tests.http_server import serve_app
from tests.integration.conftest import publish_document
from tests.pdfs import make_pdf
from tests.standalone_process import ROOT

MEGABYTE = 1024 * 1024


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


async def test_a_redis_that_cannot_write_is_a_full_disk(
    settings: GatewaySettings, own_redis: str, tmp_path: Path, search: CannedSearch
) -> None:
    """What has to be recorded is 507, without what Redis says; what only reads goes on. All of it works again later."""
    chosen = settings.model_copy(update={"redis_url": own_redis})
    app = await asyncio.to_thread(create_app, lambda: open_gateway(chosen, search))
    async with (
        connect_redis(own_redis, timeout_s=5) as redis,
        serve_app(app) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30) as client,
    ):
        document_id = await publish_document(RedisDocumentRegistry(redis))
        begun = await client.post("/query", json={"question": "What were the net sales?", "conversation_id": "c"})
        assert begun.status_code == 200
        await asyncio.to_thread((tmp_path / "redis" / "dump.rdb").mkdir)  # no snapshot can take its place
        await redis.config_set("save", "3600 1")
        await redis.bgsave()
        while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":
            await asyncio.sleep(0.01)

        pdf = {"file": ("a.pdf", make_pdf(["text"]))}
        refused = [
            await client.post("/documents", files=pdf),
            await client.delete(f"/documents/{document_id}"),
            await client.post("/query", json={"question": "And costs?", "conversation_id": "c"}),
            await client.delete("/conversations/c"),
        ]
        for response in refused:
            assert (response.status_code, response.json()["error"]["code"]) == (507, "disk_full")
            assert "MISCONF" not in response.text
        assert (await client.get(f"/documents/{document_id}")).status_code == 200
        listed = (await client.get("/conversations")).json()["conversations"]
        assert [conversation["conversation_id"] for conversation in listed] == ["c"]
        assert (await client.get("/conversations/c")).status_code == 200
        for on_disconnect in ("cancel", "continue"):
            body = {"question": "What were the net sales?", "on_disconnect": on_disconnect}
            assert (await client.post("/query", json=body)).status_code == 200
        assert (await client.get("/health/ready")).json()["parts"]["registry"] == "unavailable"

        await redis.config_set("save", "")
        assert (await client.post("/documents", files=pdf)).status_code == 202


@asynccontextmanager
async def run_on_small_disk(
    folder: Path, megabytes: int, environment: dict[str, str]
) -> AsyncIterator[tuple[str, Path]]:
    """A gateway process whose data folder is a disk of this size; its URL, and the folder as seen from here.

    The disk is in memory and in a namespace of the process: it needs no rights and is gone with it.
    """
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        await asyncio.to_thread(subprocess.run, [*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        skip_or_fail("this system lets no user make namespaces, which a small disk needs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
    command = [*unshare, "sh", "-c", mount, str(folder), sys.executable, "-m", "services.gateway.main"]
    environment = os.environ | environment | {"PAGEWIRE_DATA_DIR": str(folder), "PAGEWIRE_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}", Path(f"/proc/{process.pid}/root{folder}")
    finally:
        process.terminate()
        await process.wait()


async def wait_until_up(client: httpx.AsyncClient) -> None:
    """Returns when the gateway answers; pytest's timeout is the limit."""
    while True:
        try:
            await client.get("/health/live")
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("min_free_mb", ["4", "0"])
async def test_of_many_uploads_at_once_those_that_fit_are_whole(
    redis_url: str, tmp_path: Path, min_free_mb: str
) -> None:
    """14 of 8 MB on a disk of 48 MB: each is 202 or 507, and what was accepted has every byte; then one more is 507."""
    environment = {"PAGEWIRE_REDIS_URL": redis_url, "PAGEWIRE_MIN_FREE_DISK_MB": min_free_mb}
    files = {f"{number}.pdf": b"%PDF-" + bytes([number]) * 8 * MEGABYTE for number in range(14)}
    async with (
        run_on_small_disk(tmp_path, 48, environment) as (url, data),
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client,
    ):
        await wait_until_up(client)

        async def upload(name: str, content: bytes) -> tuple[str, httpx.Response]:
            return name, await client.post("/documents", files={"file": (name, content)})

        answers = dict(await asyncio.gather(*(upload(name, content) for name, content in files.items())))
        last = (await upload("last.pdf", b"%PDF-" + b"x" * 40 * MEGABYTE))[1]
        accepted = {name: answer.json()["document_id"] for name, answer in answers.items() if answer.status_code == 202}
        stored = await asyncio.to_thread(
            lambda: {path.stem: path.read_bytes() for path in (data / "blobs").rglob("*.pdf")}
        )
        spooled = await asyncio.to_thread(lambda: list((data / "spool").iterdir()))

    assert {answer.status_code for answer in answers.values()} == {202, 507}
    assert {answer.json()["error"]["code"] for answer in answers.values() if answer.is_error} == {"disk_full"}
    assert (last.status_code, last.json()["error"]["code"]) == (507, "disk_full")
    assert len(accepted) == 5
    assert {document_id: digest(content) for document_id, content in stored.items()} == {
        document_id: digest(files[name]) for name, document_id in accepted.items()
    }
    assert spooled == []


def digest(content: bytes) -> str:
    """Short enough to be shown when two differ."""
    return hashlib.sha256(content).hexdigest()
