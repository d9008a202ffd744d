"""What a gateway does when its disk is full, or nearly."""

import asyncio
import hashlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.gateway.main import create_app, open_gateway
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.settings import GatewaySettings
from shared.private_redis import find_redis_server
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.canned_search import CannedSearch
from tests.gateway_process import find_free_port
from tests.http_server import serve_app
from tests.integration.conftest import publish_document
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf
from tests.small_disk import make_namespace
from tests.standalone_process import ROOT, make_environment

MEGABYTE = 1024 * 1024


async def test_an_upload_to_a_full_disk_is_refused_and_a_deletion_is_not(
    settings: GatewaySettings, ready_document: str, tmp_path: Path
) -> None:
    """507 with what to do, nothing left in the spool; deleting is how space is made."""
    full = settings.model_copy(update={"min_free_disk_mb": 10**9})
    app = await asyncio.to_thread(
        create_app, lambda: open_gateway(full, RetrievalClient("http://127.0.0.1:9", timeout_s=1))
    )
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
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
        connect_redis(own_redis, timeout_s=PATIENT_S) as redis,
        serve_app(app) as server,
        httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client,
    ):
        document_id = await publish_document(RedisDocumentRegistry(redis, deadline_s=PATIENT_S))
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


@dataclass(frozen=True)
class CrowdedGateways:
    """Gateways whose data folder is a small disk, with the folder as seen from here."""

    urls: list[str]
    data: Path


@asynccontextmanager
async def run_on_small_disk(
    folder: Path, megabytes: int, *, min_free_mb: int, gateways: int = 1
) -> AsyncIterator[CrowdedGateways]:
    """Gateway processes and a redis-server that all have their data on a disk of this size.

    The disk is in memory and in a namespace of the processes: it needs no rights and is gone with them.
    """
    ports = [find_free_port() for _ in range(gateways)]
    with tempfile.TemporaryDirectory(prefix="pagewire-") as sockets:  # a short path, not on the disk
        server = await asyncio.to_thread(find_redis_server)
        redis = f"{server} --port 0 --unixsocket {sockets}/redis --dir {folder} --save '' --logfile /dev/null"
        script = (
            f"mount -t tmpfs -o size={megabytes}m tmpfs {folder} || exit 1;"
            f" {redis} --appendonly yes --appendfsync always & all=$!;"
            f" for port in {' '.join(map(str, ports))}; do"
            f' PAGEWIRE_PORT=$port {sys.executable} -m services.gateway.main & all="$all $!"; done;'
            " trap 'kill $all' TERM; wait; wait $all"
        )
        environment = {
            "PAGEWIRE_DATA_DIR": str(folder),
            "PAGEWIRE_REDIS_URL": f"unix://{sockets}/redis",
            "PAGEWIRE_MIN_FREE_DISK_MB": str(min_free_mb),
        }
        process = await asyncio.create_subprocess_exec(
            *await make_namespace(), "sh", "-c", script, env=os.environ | environment, cwd=ROOT
        )
        try:
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            await asyncio.gather(*map(wait_until_up, urls))
            yield CrowdedGateways(urls, Path(f"/proc/{process.pid}/root{folder}"))
        finally:
            process.terminate()
            await process.wait()


async def wait_until_up(url: str) -> None:
    """Returns when the gateway and its Redis answer; pytest's timeout is the limit."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENT_S, trust_env=False) as client:
        while True:
            try:
                answer = await client.get("/documents")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                if answer.is_success:
                    return


async def watch_free_space(folder: Path) -> int:
    """Returns, when it is cancelled, the least that was free meanwhile, in bytes."""
    least = 1 << 62
    try:
        while True:
            least = min(least, (await asyncio.to_thread(shutil.disk_usage, folder)).free)
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        return least


@pytest.mark.parametrize(("gateways", "min_free_mb"), [(1, 0), (2, 4)])
async def test_of_many_uploads_at_once_those_that_fit_are_whole(
    tmp_path: Path, gateways: int, min_free_mb: int
) -> None:
    """14 of 8 MB on a disk of 48 MB that gateways share with Redis: each is 202 or 507, and the reserve is never used.

    What was accepted has every byte; then one more that is too large is 507.
    """
    files = {f"{number}.pdf": b"%PDF-" + bytes([number]) * 8 * MEGABYTE for number in range(14)}
    async with (
        run_on_small_disk(tmp_path, 48, min_free_mb=min_free_mb, gateways=gateways) as disk,
        httpx.AsyncClient(timeout=PATIENT_S, trust_env=False) as client,
    ):

        async def upload(name: str, content: bytes, url: str) -> tuple[str, httpx.Response]:
            return name, await client.post(f"{url}/documents", files={"file": (name, content)})

        urls = itertools.cycle(disk.urls)
        least_free = asyncio.create_task(watch_free_space(disk.data))
        answers = dict(await asyncio.gather(*(upload(*file, next(urls)) for file in files.items())))
        last = (await upload("last.pdf", b"%PDF-" + b"x" * 40 * MEGABYTE, disk.urls[0]))[1]
        accepted = {name: answer.json()["document_id"] for name, answer in answers.items() if answer.status_code == 202}
        listed = (await client.get(f"{disk.urls[0]}/documents")).json()["documents"]
        stored = await asyncio.to_thread(
            lambda: {path.stem: path.read_bytes() for path in (disk.data / "blobs").rglob("*.pdf")}
        )
        spooled = await asyncio.to_thread(lambda: list((disk.data / "spool").iterdir()))
        least_free.cancel()

    assert await least_free >= (min_free_mb or 1) * MEGABYTE
    assert {answer.status_code for answer in answers.values()} == {202, 507}
    assert {answer.json()["error"]["code"] for answer in answers.values() if answer.is_error} == {"disk_full"}
    assert (last.status_code, last.json()["error"]["code"]) == (507, "disk_full")
    assert 2 <= len(accepted) <= 5
    assert {record["document_id"] for record in listed} == set(accepted.values())
    assert {document_id: digest(content) for document_id, content in stored.items()} == {
        document_id: digest(files[name]) for name, document_id in accepted.items()
    }
    assert spooled == []


async def test_standalone_starts_on_a_disk_that_a_killed_upload_has_filled(tmp_path: Path) -> None:
    """The spool is emptied before the free space is looked at."""
    left = tmp_path / "spool" / f"{'0' * 32}.{40 * MEGABYTE}.upload"
    script = (
        f"mount -t tmpfs -o size=64m tmpfs {tmp_path} && mkdir {left.parent} && head -c 40M /dev/zero >{left}"
        f" && exec {sys.executable} -m services.standalone"
    )
    process = await asyncio.create_subprocess_exec(
        *await make_namespace(),
        *("sh", "-c", script),
        env=make_environment(tmp_path, {"PAGEWIRE_MIN_FREE_DISK_MB": "32"}),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = ""
    while b"answers on" not in (line := await process.stdout.readline()) and line:
        said += line.decode()
    if process.returncode is None:
        process.terminate()
    await process.communicate()

    assert b"answers on" in line, said


def digest(content: bytes) -> str:
    """Short enough to be shown when two differ."""
    return hashlib.sha256(content).hexdigest()
