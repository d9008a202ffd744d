"""What `/metrics` tells is what has happened: to questions, uploads and documents, in the gateway and in standalone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.embedding.dense import DenseEmbedder
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.integration.conftest import ask_stream
from tests.llm_server import INPUT_TOKENS, LlmServer, Scenario, end_with
from tests.loaded_system import run_loaded_system
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf
from tests.scraped import pick, scrape, scrape_until

PDF = make_pdf(["The heron is a survey drone. It costs 12,900 euro."])
TOKENS = ("first", " second")


@pytest.fixture
async def client(settings: GatewaySettings, search: CannedSearch, llm: LlmServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway, two of whose providers answer, and one of which rejects every question."""
    chosen: dict[str, object] = {"max_upload_mb": 1}
    scenarios = {"openai": Scenario.OK, "anthropic": end_with("max_tokens", tokens=1), "groq": Scenario.STATUS_401}
    for provider, scenario in scenarios.items():
        chosen[f"{provider}_api_key"] = SecretStr("sk-ours")
        chosen[f"{provider}_base_url"] = llm.urls[provider]
        chosen[f"{provider}_model"] = str(scenario)
    configured = settings.model_copy(update=chosen)
    app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search), configured)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        yield client


async def test_answers_are_counted_by_how_they_end(
    client: httpx.AsyncClient, search: CannedSearch, llm: LlmServer
) -> None:
    """Each once: finished, cut off, failed, given again, stopped, left; only those that were written have durations."""
    search.fingerprint = "known"  # or nothing would be given again
    assert pick(await scrape(client), "pagewire_runs_total") == {}
    await ask_stream(client, "How much?")
    await ask_stream(client, "How much?")
    await client.post("/query", json={"question": "How much?", "provider": "anthropic"})
    await ask_stream(client, "How much?", provider="groq")
    llm.tokens, llm.steps = TOKENS, asyncio.Semaphore(1)
    async with client.stream("POST", "/query/stream", json={"question": "Stopped?"}) as response:
        assert (await scrape(client))["pagewire_runs_in_progress"] == 1
        await client.delete(f"/runs/{response.headers['X-Run-Id']}")
        await response.aread()
    llm.steps = asyncio.Semaphore(1)
    async with client.stream("POST", "/query/stream", json={"question": "Left?"}) as response:
        await anext(response.aiter_bytes())
    samples = await scrape_until(client, lambda told: told["pagewire_runs_in_progress"] == 0)

    # labels: code, outcome
    assert pick(samples, "pagewire_runs_total") == {
        "stop finished": 1,
        "length finished": 1,
        "llm_rejected failed": 1,
        "cached": 1,
        "stopped": 1,
        "left": 1,
    }
    assert samples["pagewire_first_token_seconds_count"] == samples["pagewire_answer_seconds_count"] == 2
    assert 0 < samples["pagewire_first_token_seconds_sum"] <= samples["pagewire_answer_seconds_sum"]
    assert samples["pagewire_llm_tokens_total input"] == 2 * INPUT_TOKENS
    assert samples["pagewire_llm_tokens_total output"] > 0


async def test_uploads_are_counted_by_what_comes_of_them(client: httpx.AsyncClient) -> None:
    """Taken, known, refused with a code, broken off; those that nobody works on stand in the queue."""

    async def upload(content: bytes, **request: Any) -> httpx.Response:
        return await client.post("/documents", files={"file": ("a.pdf", content)}, **request)

    document_id = (await upload(PDF)).json()["document_id"]
    await upload(PDF)
    await upload(b"no PDF")
    await upload(b"%PDF-" + bytes(2_000_000))
    await client.put(f"/documents/{document_id}", files={"file": ("b.pdf", PDF)})
    await client.put("/documents/doc_unknown", files={"file": ("b.pdf", PDF)})
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    head = "Host: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000"
    writer.write(f"POST /documents HTTP/1.1\r\n{head}\r\n\r\n--x\r\n".encode())
    await writer.drain()
    writer.close()
    samples = await scrape_until(client, lambda told: "left" in pick(told, "pagewire_uploads_total"))

    assert pick(samples, "pagewire_uploads_total") == {
        "accepted": 1,
        "duplicate": 1,
        "replaced": 1,
        "not_a_pdf refused": 1,
        "too_large refused": 1,
        "not_found refused": 1,
        "left": 1,
    }
    assert pick(samples, "pagewire_queued_jobs") == {"small": 1}
    assert {"pagewire_queued_jobs large", "pagewire_queued_jobs purges"} <= samples.keys()


async def test_metrics_are_guarded_as_health_is(client: httpx.AsyncClient) -> None:
    """Not under a foreign name; and a HEAD has no body."""
    refused = await client.get("/metrics", headers={"Host": "evil.example"})
    head = await client.head("/metrics")

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "foreign_host")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["x-content-type-options"] == "nosniff"


async def test_standalone_tells_of_all_three(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, embedder: DenseEmbedder
) -> None:
    """The gateway's numbers, the search's and the worker's, in one answer, with the reranker that is in force."""
    standalone = StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )
    async with run_loaded_system(standalone, embedder) as client:
        for content in (PDF, make_pdf([""])):
            await client.post("/documents", params={"wait": 60}, files={"file": ("heron.pdf", content)})
        await ask_stream(client, "What does the heron cost?")
        samples = await scrape_until(client, lambda told: told["pagewire_jobs_in_progress"] == 0)

    assert pick(samples, "pagewire_uploads_total") == {"accepted": 2}
    assert pick(samples, "pagewire_jobs_total") == {"ready": 1, "no_text failed": 1}
    assert pick(samples, "pagewire_ingest_seconds_count") == {"parse": 2, "embed": 1, "write": 1}
    assert pick(samples, "pagewire_searches_total") == {"found": 1}
    assert pick(samples, "pagewire_search_seconds_count") == {"embed": 1, "search": 1, "rerank": 1, "whole": 1}
    assert samples["pagewire_searches_in_progress"] == 0
    assert pick(samples, "pagewire_reranker_info") == {"term-proximity  on": 1}
    assert pick(samples, "pagewire_runs_total") == {"stop finished": 1}
    assert samples["process_resident_memory_bytes"] > 0
