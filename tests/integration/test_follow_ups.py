"""A follow-up finds its page because of what was asked before, with the real search."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.embedding.dense import DenseEmbedder
from tests.llm_server import LlmServer, Scenario
from tests.loaded_system import run_loaded_replicas
from tests.pdfs import make_pdf

YEARS = range(2016, 2022)
OTHERS = ("Harbour", "Weather", "Traffic", "Library")
FIRST = "What was the revenue of Acme in 2019?"
FOLLOW_UP = "and in 2020?"
BY_MODEL = "What was the revenue of Acme in 2020?"

PAGES = [f"Acme annual report\nIn {year} the revenue of Acme was {year - 1990} million euro." for year in YEARS]
PAGES += [
    f"{name} in 2020\nAnd in 2020 the {name.lower()} had {n} events, in 2020 as never before."
    for n, name in enumerate(OTHERS, start=3)
]
PAGE_2019, PAGE_2020 = YEARS.index(2019) + 1, YEARS.index(2020) + 1


@pytest.fixture
def system(redis_url: str, tmp_path: Path, settings: GatewaySettings, llm: LlmServer) -> StandaloneSettings:
    """A whole system on a data folder of its own, which also has a language model."""
    model = {"openai_api_key": SecretStr("sk"), "openai_base_url": llm.urls["openai"], "openai_model": Scenario.OK}
    return StandaloneSettings(
        gateway=settings.model_copy(update={"llm_provider": "extractive", "llm_idle_timeout_s": 30, **model}),
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )


@asynccontextmanager
async def open_filled(
    system: StandaloneSettings, embedder: DenseEmbedder
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Two gateways on documents about Acme and about other things of the year 2020."""
    async with run_loaded_replicas(system, embedder) as clients:
        response = await clients[0].post(
            "/documents", params={"wait": 60}, files={"file": ("acme.pdf", make_pdf(PAGES))}
        )
        assert response.json()["status"] == "ready", response.text
        yield clients


async def ask(client: httpx.AsyncClient, question: str, **body: Any) -> dict[str, Any]:
    response = await client.post("/query", json={"question": question, "top_k": 1, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_follow_up_finds_its_page(system: StandaloneSettings, embedder: DenseEmbedder, llm: LlmServer) -> None:
    """Without its history it finds another; with it the right one: by rules, by a model, elsewhere, after a restart."""
    llm.replies["You rewrite the last question"] = (BY_MODEL,)
    llm.tokens = ("Some", " revenue", " [1].")
    async with open_filled(system, embedder) as (first, second):
        alone = await ask(first, FOLLOW_UP)
        asked = await ask(first, FIRST, conversation_id="quoting")
        here = await ask(first, FOLLOW_UP, conversation_id="quoting")
        await ask(first, FIRST, conversation_id="writing", provider="openai")
        elsewhere = await ask(second, FOLLOW_UP, conversation_id="writing", provider="openai")
    async with run_loaded_replicas(system, embedder) as (first, second):
        later = await ask(second, "And in 2021?", conversation_id="quoting")

    assert [source["page"] for source in alone["sources"]] != [PAGE_2020]
    assert "30 million" not in alone["answer"]
    assert [source["page"] for source in asked["sources"]] == [PAGE_2019]
    assert [source["page"] for source in here["sources"]] == [PAGE_2020]
    assert "30 million" in here["answer"]
    assert here["sources"][0]["cited"]
    assert here["standalone_question"] == "What was the revenue of Acme, and in 2020?"
    assert [source["page"] for source in elsewhere["sources"]] == [PAGE_2020]
    assert (elsewhere["answer"], elsewhere["standalone_question"]) == ("Some revenue [1].", BY_MODEL)
    assert [source["page"] for source in later["sources"]] == [PAGE_2020 + 1]
    assert "31 million" in later["answer"]
