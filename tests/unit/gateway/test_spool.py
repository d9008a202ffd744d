"""The spool takes as many uploads as there are places and space for, and keeps nothing."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from services.gateway.documents.spool import Spool, prepare_spool
from services.gateway.main import ABANDONED_S
from services.gateway.settings import GatewaySettings
from shared.errors import DiskFull
from tests.bare_gateway import open_bare_gateway

GIGABYTE = 1 << 30


def make_upload(spool: Path, name: str, age_s: float) -> Path:
    spool.mkdir(exist_ok=True)
    path = spool / name
    path.write_bytes(b"%PDF-")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_old_uploads_go_and_young_ones_stay(tmp_path: Path) -> None:
    """Another gateway may be receiving in the same folder; one that is alone there removes everything."""
    spool = tmp_path / "spool"
    make_upload(spool, "old", ABANDONED_S + 60)
    young = make_upload(spool, "young", 60)

    assert prepare_spool(spool, ABANDONED_S) == spool
    assert list(spool.iterdir()) == [young]
    prepare_spool(spool, 0)
    assert list(spool.iterdir()) == []


def test_what_another_gateway_removes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two start at once: an entry that was listed is gone when it is looked at."""
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / "gone"]))

    prepare_spool(spool, 0)


async def make_spool(folder: Path, fitting: float, *, max_uploads: int = 100) -> Spool:
    """A spool with room for so many uploads of a gigabyte, however much else is written to the disk meanwhile."""
    usage = await asyncio.to_thread(shutil.disk_usage, folder)
    return Spool(folder, max_uploads=max_uploads, min_free_bytes=usage.free - int(fitting * GIGABYTE))


async def count_reserved(spool: Spool, stack: AsyncExitStack, uploads: int) -> int:
    """How many of these uploads get their gigabyte, asking all at once."""

    async def reserve() -> Path | BaseException:
        return await stack.enter_async_context(spool.reserve(GIGABYTE))

    got = await asyncio.gather(*(reserve() for _ in range(uploads)), return_exceptions=True)
    assert {type(refused) for refused in got if not isinstance(refused, Path)} <= {DiskFull}
    return sum(isinstance(path, Path) for path in got)


async def test_space_is_promised_once(tmp_path: Path) -> None:
    """Of 14 uploads at once those that fit get in, no fewer; when they have ended, others do."""
    spool = await make_spool(tmp_path, 3.5)
    for _ in range(2):
        async with AsyncExitStack() as stack:
            assert await count_reserved(spool, stack, 14) == 3


async def test_what_an_upload_has_written_is_not_counted_twice(tmp_path: Path) -> None:
    """Bytes that have arrived are gone from the free space already."""
    spool = await make_spool(tmp_path, 2.5)
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(spool.reserve(GIGABYTE))
        # A sparse file, which takes nothing: as if the space of one more upload were free.
        await asyncio.to_thread(path.touch)
        await asyncio.to_thread(os.truncate, path, GIGABYTE)
        assert await count_reserved(spool, stack, 14) == 2
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_more_uploads_than_places_are_told_when_to_come_again(tmp_path: Path) -> None:
    """503 with Retry-After, and nothing of it is kept; a place is free again as soon as an upload ends or leaves."""
    # The bare gateway has nowhere to store them: each upload ends with what it says about its own bytes.
    settings = GatewaySettings.model_construct(max_uploads_at_once=2, min_free_disk_mb=0)
    go_on = asyncio.Event()

    async def write_slowly() -> AsyncIterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        await go_on.wait()
        yield b"no PDF\r\n--B--\r\n"

    async with open_bare_gateway(settings, spool=tmp_path) as client:

        async def upload(content: AsyncIterator[bytes] | bytes) -> httpx.Response:
            headers = {"Content-Type": "multipart/form-data; boundary=B"}
            return await client.post("/documents", content=content, headers=headers, timeout=60)

        slow = [asyncio.create_task(upload(write_slowly())) for _ in range(2)]
        while len(await asyncio.to_thread(os.listdir, tmp_path)) < 2:
            await asyncio.sleep(0.01)
        third = await upload(b"anything")
        slow[0].cancel()
        while len(await asyncio.to_thread(os.listdir, tmp_path)) > 1:
            await asyncio.sleep(0.01)
        fourth = await upload(b"anything")
        go_on.set()
        second = await slow[1]

    assert (third.status_code, third.json()["error"]["code"]) == (503, "too_many_uploads")
    assert int(third.headers["retry-after"]) > 0
    assert (fourth.status_code, fourth.json()["error"]["code"]) == (400, "broken_form")
    assert (second.status_code, second.json()["error"]["code"]) == (415, "not_a_pdf")
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
