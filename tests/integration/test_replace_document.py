"""PUT of a document over HTTP: what a client sees, on the whole system in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.embedding.dense import DenseEmbedder
from tests.integration.conftest import read_stream
from tests.loaded_system import run_loaded_system
from tests.pdfs import make_pdf

OLD = make_pdf(["The heron drone\nThe list price of the heron is 12,900 euro."])
NEW = make_pdf(["The heron drone\nThe list price of the heron is 9,450 euro.", "It is sold in two colours."])
QUESTION = {"question": "What is the list price of the heron?"}


@pytest.fixture
async def client(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, embedder: DenseEmbedder
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole system on an empty data folder."""
    standalone = StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path, reconcile_interval_s=0.2),
    )
    async with run_loaded_system(standalone, embedder) as client:
        yield client


async def add(client: httpx.AsyncClient, content: bytes = OLD, name: str = "heron.pdf") -> str:
    response = await client.post("/documents", params={"wait": 60}, files={"file": (name, content)})
    assert response.json()["status"] == "ready"
    return str(response.json()["document_id"])


async def put(
    client: httpx.AsyncClient, document_id: str, content: bytes = NEW, name: str = "heron.pdf", wait: float = 60
) -> httpx.Response:
    return await client.put(f"/documents/{document_id}", params={"wait": wait}, files={"file": (name, content)})


async def list_files(folder: Path) -> set[str]:
    """The names of all blobs, and of the folders of those that were read."""
    return await asyncio.to_thread(
        lambda: {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    )


async def test_new_bytes_answer_in_place_of_the_old_ones(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Under the same id; of the old ones neither text nor bytes are left, and an upload of them is a new document."""
    document_id = await add(client)
    assert "12,900" in (await client.post("/query", json=QUESTION)).json()["answer"]

    response = await put(client, document_id, name="heron-2.pdf")

    record = response.json()
    assert response.status_code == 202
    assert (record["document_id"], record["status"], record["replacement"]) == (document_id, "ready", None)
    assert (record["filename"], record["pages_done"]) == ("heron-2.pdf", 2)
    answer = (await client.post("/query", json=QUESTION)).json()
    assert "9,450" in answer["answer"]
    assert "12,900" not in str(answer)
    assert {source["document_id"] for source in answer["sources"]} == {document_id}
    assert (await client.get(f"/documents/{document_id}/file")).content == NEW
    while len(await list_files(tmp_path / "blobs")) > 2:  # the worker tidies up behind its publication
        await asyncio.sleep(0.02)
    assert all(record["sha256"] in name for name in await list_files(tmp_path / "blobs"))
    assert (await client.get("/documents", params={"status": "ready"})).json()["total"] == 1
    assert await add(client) != document_id


async def test_a_replacement_is_followed_to_its_end(client: httpx.AsyncClient) -> None:
    """The same stream as of an upload; whoever comes later is told how it ended."""
    document_id = await add(client)
    assert (await put(client, document_id, wait=0)).status_code == 202
    async with client.stream("GET", f"/documents/{document_id}/events") as response:
        events = [event async for event in read_stream(response)]

    assert (events[-1].event, events[-1].data["status"]) == ("ready", "ready")
    assert all(event.data["replacement"] for event in events)
    after = await client.get(f"/documents/{document_id}/events", headers={"Last-Event-ID": events[-1].id})
    assert after.status_code == 204


async def test_a_replacement_that_fails_leaves_the_document_and_says_so(client: httpx.AsyncClient) -> None:
    """It answers as before; a mended copy replaces it all the same."""
    document_id = await add(client)

    record: dict[str, Any] = (await put(client, document_id, make_pdf([""]), "scan.pdf")).json()

    assert (record["status"], record["filename"]) == ("ready", "heron.pdf")
    assert (record["replacement"]["status"], record["replacement"]["filename"]) == ("failed", "scan.pdf")
    assert record["replacement"]["failure"]["code"] == "no_text"
    assert "12,900" in (await client.post("/query", json=QUESTION)).json()["answer"]
    async with client.stream("GET", f"/documents/{document_id}/events") as response:
        events = [event async for event in read_stream(response)]
    assert (events[-1].event, events[-1].data["failure"]["code"]) == ("failed", "no_text")
    assert (await client.post(f"/documents/{document_id}/retry")).json()["error"]["code"] == "not_failed"
    assert (await client.get("/documents", params={"status": "failed"})).json()["total"] == 0
    assert (await put(client, document_id)).json()["replacement"] is None


async def test_what_is_no_replacement_is_refused(client: httpx.AsyncClient) -> None:
    """Unknown ids, bytes that are no PDF, another document's bytes and name. The same ones as before are no work."""
    document_id, other = await add(client), await add(client, make_pdf(["Nothing but otters here."]), "otters.pdf")
    before = (await client.get(f"/documents/{document_id}")).json()

    assert (await put(client, "doc_unknown")).json()["error"]["code"] == "not_found"
    assert (await put(client, document_id, b"hello")).json()["error"]["code"] == "not_a_pdf"
    refused = await put(client, document_id, make_pdf(["Nothing but otters here."]), "otters.pdf")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "duplicate_document")
    assert refused.json()["error"]["details"] == {"document_id": other}
    assert (await put(client, document_id, OLD)).json() == before


async def test_newer_bytes_of_a_document_that_waits_win(client: httpx.AsyncClient) -> None:
    """However many come, and whatever is being done: the last one is what the document is."""
    response = await client.post("/documents", files={"file": ("heron.pdf", OLD)})
    document_id = response.json()["document_id"]
    for number in range(5):
        await put(client, document_id, make_pdf([f"Copy {number} of the heron."]), f"{number}.pdf", wait=0)

    record = (await put(client, document_id)).json()

    assert (record["status"], record["filename"], record["replacement"]) == ("ready", "heron.pdf", None)
    assert (await client.get("/documents")).json()["total"] == 1
    assert (await client.get(f"/documents/{document_id}/file")).content == NEW


async def test_a_document_that_is_deleted_while_it_is_replaced_leaves_nothing(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Neither of the old bytes nor of the new ones."""
    document_id = await add(client)
    await put(client, document_id, wait=0)

    assert (await client.delete(f"/documents/{document_id}")).status_code == 204

    assert (await client.post("/query", json=QUESTION)).json()["error"]["code"] == "no_documents"
    assert (await put(client, document_id)).status_code == 404
    while await list_files(tmp_path / "blobs"):
        await asyncio.sleep(0.02)
