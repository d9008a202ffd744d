"""Documents are made anew in the background while they answer: over HTTP, and by the command of the services."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from services.ingest.reindex import main
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.embedding.dense import DenseEmbedder
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.loaded_system import run_loaded_system
from tests.pdfs import make_pdf

ANIMALS = ("otter", "lynx", "heron")


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


async def reindex(client: httpx.AsyncClient, *, everything: bool = False) -> dict[str, int]:
    response = await client.post("/documents/reindex", params={"all": everything})
    assert response.status_code == 202, response.text
    found: dict[str, int] = response.json()
    return found


async def wait_until_settled(client: httpx.AsyncClient) -> None:
    """Until then each of them can be searched."""
    while True:
        documents = (await client.get("/documents")).json()["documents"]
        assert [document["status"] for document in documents] == ["ready"] * len(documents)
        if all(document["replacement"] is None for document in documents):
            return
        await asyncio.sleep(0.02)


async def test_documents_of_another_pipeline_are_made_anew(
    client: httpx.AsyncClient, registry: RedisDocumentRegistry, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """Once, without a break in their answers; with `all` also those of the present one."""
    for animal in ANIMALS:
        files = {"file": (f"{animal}.pdf", make_pdf([f"The {animal} weighs {len(animal)} kilograms."]))}
        assert (await client.post("/documents", params={"wait": 60}, files=files)).json()["status"] == "ready"
    assert await reindex(client) == {"queued": 0, "documents": 3}
    pipeline = await registry.find_pipeline()
    assert pipeline is not None
    before = {job: version async for pairs in registry.list_versions("default") for job, version in pairs}

    await registry.note_pipeline("another")
    assert await reindex(client) == {"queued": 3, "documents": 3}
    await wait_until_settled(client)
    await registry.note_pipeline(pipeline)

    after = {job: version async for pairs in registry.list_versions("default") for job, version in pairs}
    assert {job: version[:-1] + "1" for job, version in after.items()} == before
    assert {version[-2:] for version in after.values()} == {"-2"}
    answer = (await client.post("/query", json={"question": "How heavy is the heron?"})).json()["answer"]
    assert "5 kilograms" in answer
    assert await reindex(client) == {"queued": 0, "documents": 3}
    monkeypatch.setenv("PAGEWIRE_REDIS_URL", redis_url)
    assert await asyncio.to_thread(main, ["--all"]) == 0
    await wait_until_settled(client)
    assert {version[-2:] async for pairs in registry.list_versions("default") for _, version in pairs} == {"-3"}


async def test_nothing_is_queued_before_a_worker_has_said_what_it_makes(
    client: httpx.AsyncClient, registry: RedisDocumentRegistry
) -> None:
    """Nobody else knows."""
    while await registry.find_pipeline() is None:
        await asyncio.sleep(0.02)
    await registry._redis.delete("pagewire:pipeline")

    response = await client.post("/documents/reindex")

    assert (response.status_code, response.json()["error"]["code"]) == (409, "no_pipeline")
