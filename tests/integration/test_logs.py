"""At DEBUG, too, no log holds what people ask, what their documents say, what is answered, or a key."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.embedding.dense import DenseEmbedder
from shared.telemetry import configure_logging
from tests.integration.conftest import ask_stream
from tests.llm_server import LlmServer, Scenario, run_llm_server
from tests.loaded_system import run_loaded_system
from tests.pdfs import make_pdf

PROVIDERS = ("openai", "anthropic", "groq")
QUESTION, PASSAGE, ANSWER, KEY, PROBLEM = (
    "quokkaquestion",
    "puffinpassage",
    "auklanswer",
    "sk-kestrelkey",
    "petrelproblem",
)
"""Words that occur nowhere else, each short enough to be one token of a stream."""


@pytest.fixture(autouse=True)
def log_everything(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """As with PAGEWIRE_LOG_LEVEL=DEBUG, to what `capfd` reads; the tests that follow log as before."""
    configure_logging("test", "DEBUG", "json")
    yield
    configure_logging("test", "INFO", "json")


@pytest.fixture
async def llm() -> AsyncIterator[LlmServer]:
    async with run_llm_server() as server:
        server.tokens = ("The", f" {ANSWER}", " [1]", ".")
        yield server


@pytest.fixture
async def client(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, llm: LlmServer, embedder: DenseEmbedder
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole system whose three providers are the local server."""
    chosen: dict[str, object] = {}
    for provider in PROVIDERS:
        chosen[f"{provider}_api_key"] = SecretStr(KEY)
        chosen[f"{provider}_base_url"] = llm.urls[provider]
        chosen[f"{provider}_model"] = str(Scenario.OK)
    standalone = StandaloneSettings(
        gateway=settings.model_copy(update=chosen),
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path),
    )
    async with run_loaded_system(standalone, embedder) as client:
        yield client


async def test_debug_logs_hold_nothing_of_anybody(
    client: httpx.AsyncClient, llm: LlmServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """From upload to answer, by every provider, as a stream and as a whole, when it goes well and when it does not."""
    pdf = make_pdf([f"The {PASSAGE} nests in May and lives on cliffs."])
    uploaded = await client.post("/documents", params={"wait": 60}, files={"file": ("birds.pdf", pdf)})
    assert uploaded.json()["status"] == "ready"
    question = f"When does the {QUESTION} nest?"
    for provider in PROVIDERS:
        events = await ask_stream(client, question, provider=provider)
        assert any(ANSWER in str(event.data) for event in events)
        assert PASSAGE in str(events[-1].data)
        whole = await client.post("/query", json={"question": question, "provider": provider})
        assert ANSWER in whole.json()["answer"]
        assert QUESTION in str(llm.requests[-1].body)
        assert KEY in str(llm.requests[-1].headers)
    llm.script = (f'data: {{"error": {{"message": "{PROBLEM}"}}}}\n\n'.encode(), f"data: {PROBLEM}\n\n".encode())
    for provider in PROVIDERS:
        assert (await ask_stream(client, question, provider=provider, cache=False))[-1].event == "error"

    written = "".join(capfd.readouterr())
    assert "question_answered" in written
    assert "run_failed" in written
    for word in (QUESTION, PASSAGE, ANSWER, KEY, PROBLEM):
        assert word not in written, word
