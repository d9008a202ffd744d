"""Documents are made anew in the background while they answer: over HTTP, and by the command of the services."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest

from services.gateway.settings import GatewaySettings
from services.ingest.reindex import main
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.embedding.dense import DenseEmbedder, Vectors
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.loaded_system import run_loaded_system
from tests.pdfs import make_pdf

ANIMALS = ("otter", "lynx", "heron")


@pytest.fixture
def standalone(redis_url: str, tmp_path: Path, settings: GatewaySettings) -> StandaloneSettings:
    """Those of a whole system on an empty data folder."""
    return StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path, reconcile_interval_s=0.2),
    )


@pytest.fixture
async def client(standalone: StandaloneSettings, embedder: DenseEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of such a system."""
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


class TurnedModel(DenseEmbedder):
    """Another model of the same length: the same vectors, read from behind."""

    def __init__(self, model: DenseEmbedder) -> None:
        self.__dict__.update(model.__dict__)
        self.model_id = "0123abcd"

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return np.ascontiguousarray((await super().embed_passages(texts))[:, ::-1])

    async def embed_query(self, text: str) -> Vectors:
        return np.ascontiguousarray((await super().embed_query(text))[::-1])


async def test_vectors_of_two_models_of_one_length_are_never_compared(
    standalone: StandaloneSettings, embedder: DenseEmbedder
) -> None:
    """Until a document is made anew it is found by its words alone, and then as ever. The switch is a start."""
    texts = {animal: f"The {animal} weighs {len(animal)} kilograms." for animal in ANIMALS}
    async with run_loaded_system(standalone, embedder) as client:
        for animal, text in texts.items():
            files = {"file": (f"{animal}.pdf", make_pdf([text]))}
            assert (await client.post("/documents", params={"wait": 60}, files=files)).json()["status"] == "ready"
        assert await count_sources(client, "animal size") == len(ANIMALS)

    async with run_loaded_system(standalone, TurnedModel(embedder)) as client:
        assert await count_sources(client, "animal size") == 0
        assert await count_sources(client, "otter") == 1
        assert await reindex(client) == {"queued": 3, "documents": 3}
        await wait_until_settled(client)
        assert await count_sources(client, "animal size") == len(ANIMALS)


async def count_sources(client: httpx.AsyncClient, question: str) -> int:
    answer = await client.post("/query", json={"question": question, "cache": False, "include": ["passages"]})
    assert answer.status_code == 200, answer.text
    return len(answer.json()["sources"])
