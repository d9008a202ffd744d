"""The routes of documents over real sockets: the file, another try, lists by status, keys of uploads, addresses."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from services.gateway.documents import read_file
from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from shared.blobs.port import make_blob_key
from shared.contracts.documents import DocumentFailure
from shared.contracts.jobs import DocumentJob
from shared.registry.port import Lease
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.patience import PATIENT_S

CONTENT = b"%PDF-1.7\n" + bytes(range(256)) * 4_000
"""Some pieces of a file that is sent."""
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@asynccontextmanager
async def open_client(settings: GatewaySettings) -> AsyncIterator[httpx.AsyncClient]:
    app = await asyncio.to_thread(create_app, lambda: open_gateway(settings, CannedSearch("d", 1)), settings)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        yield client


@pytest.fixture
async def client(settings: GatewaySettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway behind which no worker is."""
    async with open_client(settings) as opened:
        yield opened


async def upload(
    client: httpx.AsyncClient, content: bytes = CONTENT, name: str = "Größe 1.pdf", **headers: str
) -> httpx.Response:
    return await client.post("/documents", files={"file": (name, content)}, headers=headers)


async def upload_one(client: httpx.AsyncClient, content: bytes = CONTENT) -> str:
    document_id: str = (await upload(client, content)).raise_for_status().json()["document_id"]
    return document_id


async def end(registry: RedisDocumentRegistry, document_id: str, *, failed: bool) -> None:
    """Be the worker that ends a document."""
    job = DocumentJob(tenant="default", document_id=document_id)
    lease = await registry.claim(job, "w", 30_000)
    assert isinstance(lease, Lease)
    if failed:
        await registry.fail(lease, DocumentFailure(code="damaged", detail="Save a new copy."))
    else:
        await registry.publish(lease, "v1", [])
    await registry.release(lease)


def read_code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_the_file_is_what_was_uploaded(client: httpx.AsyncClient) -> None:
    """To be shown by a browser, and by nothing else: no page, no script, in nobody's frame."""
    document_id = await upload_one(client)
    response = await client.get(f"/documents/{document_id}/file")
    head = await client.head(f"/documents/{document_id}/file")

    assert response.content == CONTENT
    assert (head.status_code, head.content) == (200, b"")
    for found in (response, head):
        assert found.headers["content-type"] == "application/pdf"
        assert found.headers["content-length"] == str(len(CONTENT))
        assert found.headers["etag"] == ETAG
        assert found.headers["accept-ranges"] == "bytes"
        assert found.headers["cache-control"] == "private, no-cache"
        assert found.headers["content-disposition"] == "inline; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.pdf"
        assert found.headers["x-content-type-options"] == "nosniff"
        policy = found.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'", "sandbox"} <= set(policy)


async def test_parts_of_the_file_join_to_all_of_it(client: httpx.AsyncClient) -> None:
    """As a viewer asks for them; one that has the file already gets none of it again."""
    url = f"/documents/{await upload_one(client)}/file"
    size = len(CONTENT)
    parts = b""
    for start in range(0, size, 300_000):
        part = await client.get(url, headers={"Range": f"bytes={start}-{start + 299_999}", "If-Range": ETAG})
        last = min(start + 299_999, size - 1)
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{last}/{size}"
        parts += part.content
    assert parts == CONTENT

    tail = await client.get(url, headers={"Range": "bytes=-5"})
    assert (tail.status_code, tail.content) == (206, CONTENT[-5:])
    other = await client.get(url, headers={"Range": "bytes=0-5", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, CONTENT)
    behind = await client.get(url, headers={"Range": f"bytes={size}-"})
    assert read_code(behind) == (416, "range_not_satisfiable")
    assert behind.headers["content-range"] == f"bytes */{size}"
    known = await client.get(url, headers={"If-None-Match": f'"x", W/{ETAG}'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", ETAG)


async def test_what_is_not_there_has_no_file(client: httpx.AsyncClient, settings: GatewaySettings) -> None:
    """Unknown, deleted, or lost from the store: 404, each with its code; and one that is too short is not sent."""
    document_id = await upload_one(client)
    url = f"/documents/{document_id}/file"
    sha256 = ETAG.strip('"')
    path = Path(settings.data_dir) / "blobs" / make_blob_key("default", sha256, document_id)
    await asyncio.to_thread(path.write_bytes, CONTENT[:100])
    assert read_code(await client.get(url)) == (404, "blob_damaged")
    await asyncio.to_thread(path.unlink)
    assert read_code(await client.get(url)) == (404, "blob_missing")
    await client.delete(f"/documents/{document_id}")
    assert read_code(await client.get(url)) == (404, "not_found")
    assert read_code(await client.get(url, headers={"If-None-Match": ETAG})) == (404, "not_found")
    assert read_code(await client.get("/documents/doc_0/file")) == (404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_the_same_file_again_replaces_a_copy_that_was_damaged(
    client: httpx.AsyncClient, settings: GatewaySettings, registry: RedisDocumentRegistry, method: str
) -> None:
    """Of a document that is ready: it is told so by `blob_damaged`, and that is all it takes."""
    document_id = await upload_one(client)
    await end(registry, document_id, failed=False)
    url = f"/documents/{document_id}/file"
    path = Path(settings.data_dir) / "blobs" / make_blob_key("default", ETAG.strip('"'), document_id)
    await asyncio.to_thread(path.write_bytes, CONTENT[:100])
    assert read_code(await client.get(url)) == (404, "blob_damaged")

    target = "/documents" if method == "POST" else f"/documents/{document_id}"
    again = await client.request(method, target, files={"file": ("Größe 1.pdf", CONTENT)})

    assert (again.status_code, again.json()["document_id"]) == (202, document_id)
    assert (await client.get(url)).content == CONTENT
    names = await asyncio.to_thread(lambda: [found.name for found in path.parent.iterdir()])
    assert names == [path.name]


async def test_a_store_that_stalls_ends_the_answer(
    client: httpx.AsyncClient, settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first byte with a status; later the connection breaks off, and nobody takes a part for the whole.

    A line says why: it is the store's fault, or a deletion, and no bug of ours.
    """
    url = f"/documents/{await upload_one(client)}/file"
    pieces = 0

    async def stall(self: Any, key: str, start: int, length: int) -> bytes:
        if pieces <= start // length:
            await asyncio.Event().wait()
        return CONTENT[start : start + length]

    monkeypatch.setattr("shared.blobs.obstore_store.ObstoreBlobStore.get_range", stall)
    monkeypatch.setattr(read_file, "PIECE_S", 0.2)
    assert read_code(await client.get(url)) == (503, "dependency_unavailable")
    pieces = 1
    with capture_logs() as logs, pytest.raises(httpx.TransportError):
        await client.get(url)
    assert [line["code"] for line in logs if line["event"] == "file_broken"] == ["dependency_unavailable"]
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_lists_are_filtered_by_status(client: httpx.AsyncClient, registry: RedisDocumentRegistry) -> None:
    """With a total and pages of their own; a status that there is not is refused with those that there are."""
    made = [await upload_one(client, CONTENT + bytes([n])) for n in range(5)]
    await end(registry, made[0], failed=True)
    await end(registry, made[1], failed=False)

    async def read(**query: Any) -> tuple[list[str], int, int | None]:
        page = (await client.get("/documents", params=query)).raise_for_status().json()
        return [record["document_id"] for record in page["documents"]], page["total"], page["next_offset"]

    assert await read(status="failed") == ([made[0]], 1, None)
    assert await read(status="ready") == ([made[1]], 1, None)
    assert await read(status="embedding") == ([], 0, None)
    first, second = await read(status="queued", limit=2), await read(status="queued", limit=2, offset=2)
    assert (first[1:], second[1:]) == ((3, 2), (3, None))
    assert sorted(first[0] + second[0]) == sorted(made[2:])
    refused = await client.get("/documents", params={"status": "lost"})
    assert read_code(refused) == (422, "invalid_value")
    message = refused.json()["error"]["message"]
    assert all(name in message for name in ("queued", "parsing", "embedding", "ready", "failed"))


async def test_who_goes_on_by_cursor_misses_no_document(client: httpx.AsyncClient) -> None:
    """While those that were read are deleted and others come; by offset one would be missed for each."""
    made = [await upload_one(client, CONTENT + bytes([n])) for n in range(5)]
    read: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while query.get("cursor", "") is not None:
        page = (await client.get("/documents", params=query)).raise_for_status().json()
        ids = [record["document_id"] for record in page["documents"]]
        assert page["total"] == 5
        assert (page["next_offset"] is None) == (page["next_cursor"] is None)
        query["cursor"] = page["next_cursor"]
        read += ids
        await client.delete(f"/documents/{ids[0]}")
        await upload_one(client, CONTENT + bytes([100 + len(read)]))

    assert sorted(read) == sorted(made)


@pytest.mark.parametrize("cursor", ["", "1", "x-doc_1", "-doc_1", "1-", "1-doc:1", "1" * 16 + "-doc_1", "٣-doc_1"])
async def test_a_cursor_that_is_none_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    """As is one with an offset; one behind which nothing is, is fine."""
    assert read_code(await client.get("/documents", params={"cursor": cursor})) == (422, "invalid_value")
    both = await client.get("/documents", params={"cursor": "1-doc_1", "offset": 1})
    assert read_code(both) == (422, "invalid_value")
    assert (await client.get("/documents", params={"cursor": "1-doc_1"})).json() == {
        "documents": [],
        "total": 0,
        "next_cursor": None,
        "next_offset": None,
    }


async def test_a_failed_document_is_tried_again(client: httpx.AsyncClient, registry: RedisDocumentRegistry) -> None:
    """With its stored bytes; nothing else is."""
    document_id = await upload_one(client)
    assert read_code(await client.post(f"/documents/{document_id}/retry")) == (409, "not_failed")
    await end(registry, document_id, failed=True)
    retried = await client.post(f"/documents/{document_id}/retry")
    assert (retried.status_code, retried.json()["status"], retried.json()["failure"]) == (202, "queued", None)
    assert read_code(await client.post("/documents/doc_0/retry")) == (404, "not_found")


@pytest.mark.parametrize("path", ["/documents", "/upload"])
async def test_an_upload_with_a_key_is_one_document(client: httpx.AsyncClient, path: str) -> None:
    """Twice at once, again, and quoted as the draft has it; another file under the same key is refused."""

    async def send(key: str, content: bytes = CONTENT, name: str = "a.pdf") -> httpx.Response:
        return await client.post(path, files={"file": (name, content)}, headers={"Idempotency-Key": key})

    both = await asyncio.gather(send("k-1"), send("k-1"))
    again = await send('"k-1"')
    assert [response.status_code for response in (*both, again)] == [202] * 3
    assert len({response.json()["document_id"] for response in (*both, again)}) == 1
    assert again.json()["duplicate"] is True
    for other in (await send("k-1", CONTENT + b"!"), await send("k-1", name="b.pdf")):
        assert read_code(other) == (422, "idempotency_key_reused")
    assert (await client.get("/documents")).json()["total"] == 1

    await client.delete(f"/documents/{again.json()['document_id']}")
    assert read_code(await send("k-1")) == (404, "not_found")
    assert (await send("k-2")).json()["duplicate"] is False


@pytest.mark.parametrize("key", ["", "k" * 256, "ключ".encode().decode("latin-1")])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, key: str) -> None:
    """Too long, empty, or with characters that no header has: before the file is read."""
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    response = await client.post("/documents", files={"file": ("a.pdf", CONTENT)}, headers=headers)
    assert read_code(response) == (422, "invalid_value")
    assert (await client.get("/documents")).json()["total"] == 0


async def test_who_lost_the_answer_finds_the_document(client: httpx.AsyncClient) -> None:
    """The connection is gone as soon as all is sent; the same upload again is answered with what it has made."""
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + CONTENT + b"\r\n--b--\r\n"
    head = {"Content-Type": "multipart/form-data; boundary=b", "Idempotency-Key": "k"}
    target = urlsplit(str(client.base_url))
    _, writer = await asyncio.open_connection(target.hostname, target.port)
    lines = [f"POST /documents HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in head.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    writer.close()
    while (await client.get("/documents")).json()["total"] == 0:
        await asyncio.sleep(0.01)

    again = await client.post("/documents", content=body, headers=head)

    (record,) = (await client.get("/documents")).json()["documents"]
    assert (again.status_code, again.json()["document_id"]) == (202, record["document_id"])


async def test_an_address_is_no_upload(client: httpx.AsyncClient) -> None:
    """In whatever form it comes, it is said that nothing is fetched, and what to do; other bodies are no upload."""
    link = "https://example.com/a.pdf"
    asked = [
        await client.post("/documents", json={"url": link}),
        await client.post("/documents", data={"url": link}),
        await client.post("/upload", files={"url": (None, link)}),
    ]
    assert [read_code(response) for response in asked] == [(422, "url_not_fetched")] * 3
    assert all("send the file itself" in response.json()["error"]["message"] for response in asked)

    nothing = [
        await client.post("/documents", json={"file": "x"}),
        await client.post("/documents", json=[1]),
        await client.post("/documents", content=b"{", headers={"Content-Type": "application/json"}),
        await client.post("/documents", content=b"[" * 60_000, headers={"Content-Type": "application/json"}),
        await client.post("/documents", content=json.dumps({"url": "x" * 70_000}).encode()),
    ]
    assert [read_code(response) for response in nothing] == [(422, "missing_file")] * 5
    both = await client.post("/documents", files={"url": (None, link), "file": ("a.pdf", CONTENT)})
    assert both.status_code == 202
