"""The spool takes as many uploads as there are places and space for, and keeps nothing."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from services.gateway.documents.spool import Spool
from services.gateway.settings import GatewaySettings
from shared.errors import DiskFull
from shared.spool_folder import COPIES
from tests.bare_gateway import open_bare_gateway

GIGABYTE = 1 << 30


async def make_spool(folder: Path, fitting: float, *, max_uploads: int = 100) -> Spool:
    """A spool with room for so many uploads of a gigabyte, however much else is written to the disk meanwhile."""
    usage = await asyncio.to_thread(shutil.disk_usage, folder)
    return Spool(folder, max_uploads=max_uploads, min_free_bytes=usage.free - int(fitting * COPIES * GIGABYTE))


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


async def test_space_is_promised_once_among_all_who_share_the_folder(tmp_path: Path) -> None:
    """Two gateways on one disk: together they let in what fits, not each of them."""
    first, second = await make_spool(tmp_path, 3.5), await make_spool(tmp_path, 3.5)
    async with AsyncExitStack() as stack:
        assert await count_reserved(first, stack, 2) == 2
        assert await count_reserved(second, stack, 14) == 1
        assert await count_reserved(first, stack, 14) == 0


async def test_what_an_upload_has_written_is_not_counted_twice(tmp_path: Path) -> None:
    """Bytes that have arrived are gone from the free space already."""
    spool = await make_spool(tmp_path, 2)
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(spool.reserve(GIGABYTE))
        # A sparse file, which takes nothing: as if the space of half an upload more were free.
        await asyncio.to_thread(os.truncate, path, GIGABYTE + 1)
        assert await count_reserved(spool, stack, 14) == 1
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_an_upload_that_ends_while_it_gets_its_place_keeps_nothing(tmp_path: Path) -> None:
    """Its client has left: neither its file nor its space stays behind."""
    spool = await make_spool(tmp_path, 1.5)

    async def reserve() -> None:
        async with spool.reserve(GIGABYTE):
            await asyncio.Event().wait()

    for turns in range(6):  # cancelled at one step after the other
        waiting = asyncio.create_task(reserve())
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
    async with AsyncExitStack() as stack:
        assert await count_reserved(spool, stack, 2) == 1


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
