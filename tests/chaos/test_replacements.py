"""Questions while a document is replaced again and again: each is answered from one version, and from all of it.

`make test` takes a few replacements; `make chaos` sets PAGEWIRE_CHAOS=1 and makes 100.
"""

import asyncio
import os
import re
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
from tests.asking import end_asking
from tests.loaded_system import run_loaded_system
from tests.pdfs import make_pdf

FULL = os.environ.get("PAGEWIRE_CHAOS") == "1"
REPLACEMENTS = 100 if FULL else 6
PAGES = 4
ASKERS = 3

pytestmark = pytest.mark.timeout(900 if FULL else 120)


@pytest.fixture
async def client(redis_url: str, tmp_path: Path, embedder: DenseEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole system on an empty data folder."""
    folder: dict[str, Any] = {"redis_url": redis_url, "data_dir": tmp_path}
    settings = StandaloneSettings(
        gateway=GatewaySettings(**folder, llm_provider="extractive"),
        retrieval=RetrievalSettings(**folder, reranker_model=""),
        ingest=IngestSettings(**folder, reconcile_interval_s=0.2),
    )
    async with run_loaded_system(settings, embedder) as client:
        yield client


def make_edition(number: int) -> bytes:
    """A document of which every page says which edition it is of."""
    things = ("crane", "winch", "gantry", "hoist")
    return make_pdf([f"The {thing} is described in edition {number} of the manual." for thing in things])


async def ask_forever(client: httpx.AsyncClient, seen: list[tuple[int, ...]]) -> None:
    """Note of each answer from which edition each of its sources is."""
    body = {"question": "What is described in which edition of the manual?", "top_k": 10, "cache": False}
    while True:
        answer = (await client.post("/query", json=body)).raise_for_status().json()
        seen.append(tuple(int(number) for number in re.findall(r"edition (\d+)", str(answer["sources"]))))


async def test_no_question_sees_two_versions_or_none(client: httpx.AsyncClient) -> None:
    """All pages of exactly one edition, whenever the question comes; and none is older than one seen before."""
    added = await client.post("/documents", params={"wait": 60}, files={"file": ("crane.pdf", make_edition(0))})
    document_id = added.json()["document_id"]
    seen: list[list[tuple[int, ...]]] = [[] for _ in range(ASKERS)]
    asking = [asyncio.create_task(ask_forever(client, answers)) for answers in seen]
    try:
        for number in range(1, REPLACEMENTS + 1):
            file = {"file": ("crane.pdf", make_edition(number))}
            record = (await client.put(f"/documents/{document_id}", params={"wait": 60}, files=file)).json()
            assert (record["status"], record["replacement"]) == ("ready", None)
            if any(task.done() for task in asking):
                break
    finally:
        await end_asking(asking)

    for answers in seen:
        assert len(answers) > REPLACEMENTS
        assert [answer for answer in answers if len(answer) != PAGES or len(set(answer)) != 1] == []
        editions = [answer[0] for answer in answers]
        assert editions == sorted(editions)
    print(f"{sum(map(len, seen))} answers during {REPLACEMENTS} replacements")
