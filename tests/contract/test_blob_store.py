"""One suite for every kind of store: what holds in a folder holds in an S3 bucket, and in memory."""

import asyncio
import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from shared.blobs.obstore_store import ObstoreBlobStore
from shared.blobs.port import BlobStore, make_blob_key, make_parse_key, make_parses_folder
from shared.errors import DependencyUnavailable, NotFound, TooLarge
from tests.conftest import skip_or_fail
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.patience import PATIENT_S
from tests.standalone_process import ROOT

CONTENT = bytes(range(256)) * 12_000
"""3 MB: more than one piece of a download."""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Where an S3 server answers."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says where a folder is on another disk than the spool."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)


@pytest.fixture(params=["memory", "folder", "folder on another disk", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryBlobStore()
    if request.param == "folder on another disk":
        refuse_links(monkeypatch)
    if request.param != "s3":
        return await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "a folder").as_uri())
    endpoint: str = request.getfixturevalue("s3")
    set_up_s3(monkeypatch, endpoint)
    async with httpx.AsyncClient(base_url=endpoint) as client:
        await client.post("/moto-api/reset")
        assert (await client.put("/papers")).status_code == 200
    return await asyncio.to_thread(ObstoreBlobStore, "s3://papers/some/prefix")


def set_up_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The environment that names the server, as docs/operations.md has it."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A file that waits to be stored."""
    path = tmp_path / "upload"
    await asyncio.to_thread(path.write_bytes, CONTENT)
    return path


async def read(store: BlobStore, key: str) -> bytes:
    async with store.open_as_file(key) as path:
        return await asyncio.to_thread(path.read_bytes)


async def test_all_blobs_are_listed(store: BlobStore, tmp_path: Path) -> None:
    """Of all tenants, with their keys; what was deleted is neither listed nor there."""
    path = tmp_path / "upload"
    await asyncio.to_thread(path.write_bytes, CONTENT)
    keys = {make_blob_key(tenant, f"{number}a{number}", "doc") for tenant in "tu" for number in range(3)}
    for key in keys:
        await store.put_file(key, path)
    gone = make_blob_key("t", "1a1", "doc")

    assert {blob.key async for blobs in store.list_all() for blob in blobs} == keys
    assert await store.exists(gone) is True
    await store.delete(gone)
    assert {blob.key async for blobs in store.list_all() for blob in blobs} == keys - {gone}
    assert await store.exists(gone) is False


async def test_the_stores_clock_tells_when_blobs_were_written(store: BlobStore, tmp_path: Path) -> None:
    """What is stored between two looks at it was written between them, to a second. A look leaves nothing behind."""
    before = await store.read_clock()
    file = tmp_path / "upload"
    await asyncio.to_thread(file.write_bytes, CONTENT)
    await store.put_file("t/ab/abab/doc.pdf", file)
    after = await store.read_clock()

    blobs = [blob async for found in store.list_all() for blob in found]
    assert [blob.key for blob in blobs] == ["t/ab/abab/doc.pdf"]
    assert before - 1 <= blobs[0].modified <= after + 1


async def test_what_was_stored_comes_back_byte_by_byte(store: BlobStore, file: Path) -> None:
    """As often as it is asked for."""
    key = make_blob_key("a tenant", "ab" * 32, "doc_1")
    await store.put_file(key, file)

    assert await read(store, key) == CONTENT
    assert await read(store, key) == CONTENT


async def test_what_is_stored_again_replaces_what_was_there(store: BlobStore, file: Path, tmp_path: Path) -> None:
    """A document whose bytes were damaged is mended by its upload; the same file twice is fine."""
    damaged = tmp_path / "damaged"
    await asyncio.to_thread(damaged.write_bytes, b"%PDF-")
    await store.put_file("t/ab/doc.pdf", damaged)
    await store.put_file("t/ab/doc.pdf", file)
    await store.put_file("t/ab/doc.pdf", file)

    await asyncio.to_thread(file.unlink)

    assert await read(store, "t/ab/doc.pdf") == CONTENT
    await store.delete("t/ab/doc.pdf")
    assert not await asyncio.to_thread(lambda: [path for path in tmp_path.rglob("doc*") if path.is_file()])


async def test_nothing_is_copied_on_the_same_disk(tmp_path: Path, file: Path) -> None:
    """The blob is the upload itself, so that it takes neither time nor space."""
    store = await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri())
    await store.put_file("t/ab/doc.pdf", file)

    assert await asyncio.to_thread(file.samefile, tmp_path / "blobs/t/ab/doc.pdf")


STORE_MUCH = r"""
import asyncio, pathlib, re, sys
from shared.blobs.obstore_store import ObstoreBlobStore

def read_peak():
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024

async def store_all(folder):
    file = folder / "upload"
    with file.open("wb") as upload:
        upload.truncate(64 << 20)
    store = ObstoreBlobStore(folder.joinpath("blobs").as_uri())
    await store.put_file("t/first.pdf", file)
    before = read_peak()
    await asyncio.gather(*(store.put_file(f"t/{number}.pdf", file) for number in range(8)))
    print(read_peak() - before)

import os
def refuse(*_, **__):
    raise OSError(18, "Invalid cross-device link")
os.link = refuse
asyncio.run(store_all(pathlib.Path(sys.argv[1])))
"""


def test_copies_take_little_memory(tmp_path: Path) -> None:
    """Eight files of 64 MB at once stay below the size of two: pieces are few and small."""
    if not Path("/proc/self/status").exists():
        skip_or_fail("only Linux tells the most memory that was used")
    command = [sys.executable, "-c", STORE_MUCH, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=ROOT)
    assert int(result.stdout) < 2 * 64


async def test_each_document_has_its_own_bytes(store: BlobStore, file: Path) -> None:
    """Deleting one of two documents with the same content leaves the other's bytes."""
    first, second = (make_blob_key("t", "ab" * 32, name) for name in ("doc_1", "doc_2"))
    await store.put_file(first, file)
    await store.put_file(second, file)

    await store.delete(first)

    assert await read(store, second) == CONTENT
    with pytest.raises(NotFound):
        await read(store, first)


async def test_a_blob_that_is_not_there_is_said(store: BlobStore) -> None:
    """With the code that ends up in the document's record."""
    with pytest.raises(NotFound) as caught:
        await read(store, "t/ab/none.pdf")
    assert caught.value.error_code == "blob_missing"


async def test_bytes_come_back_as_they_were_put(store: BlobStore) -> None:
    """The last ones that were put; never more than the reader takes."""
    key = make_parse_key("a tenant", "ab" * 32, "1")
    await store.put(key, b"older")
    await store.put(key, CONTENT)

    assert await store.get(key, len(CONTENT)) == CONTENT
    with pytest.raises(TooLarge):
        await store.get(key, len(CONTENT) - 1)
    with pytest.raises(NotFound):
        await store.get(make_parse_key("a tenant", "ab" * 32, "2"), 10)


async def test_whoever_reads_while_bytes_are_replaced_reads_all_of_the_old_or_the_new(store: BlobStore) -> None:
    """Two workers may have read the same PDF."""
    contents = [bytes([number]) * 300_000 for number in range(6)]
    await store.put("t/ab/parse", contents[0])

    *_, first, second, third = await asyncio.gather(
        *(store.put("t/ab/parse", content) for content in contents),
        *(store.get("t/ab/parse", 300_000) for _ in range(3)),
    )

    assert {first, second, third} <= {*contents}


async def test_a_folder_is_deleted_with_all_that_is_in_it(store: BlobStore, file: Path) -> None:
    """And nothing beside it, also where the names begin alike."""
    folder, pdf = make_parses_folder("t", "ab" * 32), make_blob_key("t", "ab" * 32, "doc_1")
    for key in (f"{folder}/1", f"{folder}/2", f"{folder}-of-others/1"):
        await store.put(key, b"text")
    await store.put_file(pdf, file)

    for _ in range(2):
        await store.delete_all(folder)

    for version in ("1", "2"):
        with pytest.raises(NotFound):
            await store.get(f"{folder}/{version}", 10)
    assert await store.get(f"{folder}-of-others/1", 10) == b"text"
    assert await read(store, pdf) == CONTENT


async def test_deleting_what_is_not_there_is_fine(store: BlobStore) -> None:
    """A purge may run twice."""
    await store.delete("t/ab/none.pdf")


async def test_deleting_leaves_no_empty_folders(tmp_path: Path, file: Path) -> None:
    """Neither while others are stored below the same ones: every blob that was stored is there."""
    store = await asyncio.to_thread(ObstoreBlobStore, tmp_path.joinpath("blobs").as_uri())

    async def come_and_go(name: str) -> None:
        for _ in range(20):
            key = make_blob_key("t", "ab" * 32, name)
            await store.put_file(key, file)
            assert await read(store, key) == CONTENT
            await store.delete(key)

    await asyncio.gather(*(come_and_go(f"doc_{number}") for number in range(4)))

    assert await asyncio.to_thread(lambda: list((tmp_path / "blobs").iterdir())) == []


async def test_reading_leaves_nothing_behind(
    store: BlobStore, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy stays in the temporary folder, also when the reader fails."""
    scratch = tmp_path / "scratch"
    await asyncio.to_thread(scratch.mkdir)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    await store.put_file("t/ab/doc.pdf", file)

    with pytest.raises(ZeroDivisionError):
        async with store.open_as_file("t/ab/doc.pdf"):
            raise ZeroDivisionError

    assert await asyncio.to_thread(lambda: list(scratch.iterdir())) == []
    assert await read(store, "t/ab/doc.pdf") == CONTENT


@pytest.fixture
async def unreachable(monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    """A bucket on a server that refuses connections."""
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    set_up_s3(monkeypatch, f"http://127.0.0.1:{port}")
    return await asyncio.to_thread(ObstoreBlobStore, "s3://papers")


async def test_a_store_that_does_not_answer_is_a_dependency_that_is_away(unreachable: BlobStore, file: Path) -> None:
    """Each call ends, and with the error that means: try again."""
    calls = (
        unreachable.put_file("a", file),
        unreachable.delete("a"),
        read(unreachable, "a"),
        unreachable.put("a", b"text"),
        unreachable.get("a", 10),
        unreachable.delete_all("a"),
        unreachable.read_clock(),
    )
    async with asyncio.timeout(PATIENT_S):
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DependencyUnavailable] * len(calls)


async def test_a_part_of_a_blob_is_read(store: BlobStore, file: Path) -> None:
    """From anywhere, also over the end; behind it there is nothing, and of what is not there, no part."""
    await store.put_file("t/ab/abc/d.pdf", file)

    size = len(CONTENT)
    for start, length in ((0, 10), (1_000_003, 70_000), (size - 5, 5), (size - 5, 100), (size, 1), (size + 9, 3)):
        assert await store.get_range("t/ab/abc/d.pdf", start, length) == CONTENT[start : start + length]
    with pytest.raises(NotFound) as missing:
        await store.get_range("t/ab/abc/e.pdf", 0, 10)
    assert missing.value.error_code == "blob_missing"
