"""The cross-encoder: a small one made here and loaded by path; and what happens when there are no weights."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.retrieval.adapters.cross_encoder import CrossEncoderOrElse, CrossEncoderReranker
from services.retrieval.domain.fusion import Candidate, FusionWeights
from services.retrieval.main import build_reranker, create_app
from services.retrieval.ports import Reranker
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.contracts.search import OFFLINE_RERANKER, SearchRequest
from shared.embedding.dense import DenseEmbedder, locate_model
from shared.embedding.sparse import Bm25Encoder
from shared.registry.port import DocumentRegistry
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload
from tests.http_server import serve_app
from tests.indexed_texts import index_texts
from tests.patience import PATIENT_S
from tests.scraped import pick, scrape
from tests.standalone_process import ROOT

TEXTS = ["The crane lifts nine tonnes.", "The crane is yellow.", "Otters eat fish.", "A crane is also a bird."]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny cross-encoder with random weights, saved to a folder, with MiniLM's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross-encoder")
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(locate_model("all-MiniLM-L6-v2")).save_pretrained(folder)
    return folder


async def search(
    reranker: Reranker, embedder: DenseEmbedder, registry: DocumentRegistry, document_id: str, folder: Path
) -> object:
    """The response to one search over TEXTS, which are one published document."""
    index, bm25 = EdgeIndex(folder / "index", embedder.dimension), Bm25Encoder()
    await index.prepare()
    await index_texts(index, embedder, bm25, document_id, TEXTS)
    options = SearchOptions(candidates=50, rerank_count=None, fusion=FusionWeights())
    deps = SearchDependencies(embedder, bm25, index, registry, reranker, options)
    try:
        return await search_passages(SearchRequest(tenant="default", query="How much does the crane lift?"), deps)
    finally:
        await index.close()


async def test_passages_stand_in_the_cross_encoders_order(
    cross_encoder: Path,
    embedder: DenseEmbedder,
    registry: DocumentRegistry,
    ready_document: str,
    tmp_path: Path,
) -> None:
    """With weights in a folder: the order and the score are the cross-encoder's own, and the state says `on`."""
    from sentence_transformers import CrossEncoder

    reranker = CrossEncoderReranker(str(cross_encoder))
    await asyncio.to_thread(reranker.loaded.wait, 60)
    model = await asyncio.to_thread(CrossEncoder, str(cross_encoder), num_labels=1)
    pairs = [("How much does the crane lift?", text) for text in TEXTS]
    expected = await asyncio.to_thread(model.predict, pairs)

    response = await search(reranker, embedder, registry, ready_document, tmp_path)

    assert response.reranker.status == "on"  # type: ignore[attr-defined]
    assert response.timings_ms.rerank > 0  # type: ignore[attr-defined]
    passages = response.passages  # type: ignore[attr-defined]
    order = sorted(range(len(TEXTS)), key=lambda n: -expected[n])
    assert [passage.chunk_id for passage in passages] == order
    assert [passage.score for passage in passages] == pytest.approx([expected[n] for n in order], abs=1e-5)
    assert all(passage.scores.rerank == passage.score for passage in passages)
    await asyncio.to_thread(reranker.close)


def make_candidates(texts: Sequence[str]) -> list[Candidate]:
    """One per text, as fusion gives them."""
    return [
        Candidate(str(n), ChunkPayload("d", "v1", n, "T", n + 1, 0, len(text), text), None, None, 1.0)
        for n, text in enumerate(texts)
    ]


async def test_without_a_cross_encoder_words_that_stand_together_count(
    cross_encoder: Path,
    embedder: DenseEmbedder,
    registry: DocumentRegistry,
    ready_document: str,
    tmp_path: Path,
) -> None:
    """By default: until the weights are there, and where they cannot be had; then the cross-encoder takes over."""
    missing = build_reranker(RetrievalSettings(reranker_model=str(tmp_path / "no-such-model")), Bm25Encoder())
    assert isinstance(missing, CrossEncoderOrElse)
    early = missing.state
    await asyncio.to_thread(missing._cross_encoder.loaded.wait, 60)
    response = await search(missing, embedder, registry, ready_document, tmp_path)
    there = build_reranker(RetrievalSettings(reranker_model=str(cross_encoder)), Bm25Encoder())
    assert isinstance(there, CrossEncoderOrElse)
    await asyncio.to_thread(there._cross_encoder.loaded.wait, 60)

    assert (early.status, early.model) == ("on", OFFLINE_RERANKER)
    assert early.reason in ("cross_encoder_loading", "weights_unavailable")
    assert response.reranker.model == OFFLINE_RERANKER  # type: ignore[attr-defined]
    assert response.reranker.reason == "weights_unavailable"  # type: ignore[attr-defined]
    assert response.timings_ms.rerank is not None  # type: ignore[attr-defined]
    passages = response.passages  # type: ignore[attr-defined]
    assert passages[0].chunk_id == 0
    assert all(passage.scores.rerank == passage.score for passage in passages)
    assert there.state.model == str(cross_encoder)
    assert (missing.depth, there.depth) == (50, 20)
    assert len(await there.score("How much?", make_candidates(TEXTS), [])) == len(TEXTS)
    for reranker in (missing, there):
        await asyncio.to_thread(reranker.close)


async def test_the_reranker_in_force_is_told(cross_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each scrape that of the moment: without a model until the weights have been loaded, then the cross-encoder."""
    may_load, load = threading.Event(), CrossEncoderReranker._load

    def load_later(reranker: CrossEncoderReranker) -> None:
        may_load.wait(PATIENT_S)
        load(reranker)

    monkeypatch.setattr(CrossEncoderReranker, "_load", load_later)
    reranker = build_reranker(RetrievalSettings(reranker_model=str(cross_encoder)), Bm25Encoder())
    part: Any = None
    options = SearchOptions(candidates=50, rerank_count=None, fusion=FusionWeights())
    deps = SearchDependencies(part, part, part, part, reranker, options)
    app = await asyncio.to_thread(create_app, RetrievalSettings(), deps)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        before = pick(await scrape(client), "pagewire_reranker_info")
        may_load.set()
        assert isinstance(reranker, CrossEncoderOrElse)
        await asyncio.to_thread(reranker._cross_encoder.loaded.wait, 60)
        after = pick(await scrape(client), "pagewire_reranker_info")
    await asyncio.to_thread(reranker.close)

    # labels: model, reason, status
    assert before == {"term-proximity cross_encoder_loading on": 1}
    assert after == {f"{cross_encoder}  on": 1}


async def test_searches_that_are_scored_together_get_what_they_get_alone(cross_encoder: Path) -> None:
    """Texts of all lengths, more searches than a batch holds: each gets the scores of its own pairs, in their order."""
    reranker = CrossEncoderReranker(str(cross_encoder))
    await asyncio.to_thread(reranker.loaded.wait, 60)
    searches = {
        f"Question {n}?": make_candidates([text * (1 + n % 30) for text in TEXTS[: 1 + n % 4]]) for n in range(20)
    }
    alone = [await reranker.score(query, candidates, []) for query, candidates in searches.items()]
    together = await asyncio.gather(*(reranker.score(query, candidates, []) for query, candidates in searches.items()))
    await asyncio.to_thread(reranker.close)

    assert [len(scores) for scores in together] == [len(texts) for texts in searches.values()]
    assert [score for scores in together for score in scores] == pytest.approx(
        [score for scores in alone for score in scores], abs=1e-5
    )


async def test_without_weights_searches_are_answered_and_say_so(
    embedder: DenseEmbedder, registry: DocumentRegistry, ready_document: str, tmp_path: Path
) -> None:
    """A model that cannot be had: fused order, `rerank` null in the timings, state `off` with the reason."""
    reranker = CrossEncoderReranker(str(tmp_path / "no-such-model"))
    await asyncio.to_thread(reranker.loaded.wait, 60)

    response = await search(reranker, embedder, registry, ready_document, tmp_path)

    assert response.reranker.status == "off"  # type: ignore[attr-defined]
    assert response.reranker.reason == "weights_unavailable"  # type: ignore[attr-defined]
    assert response.timings_ms.rerank is None  # type: ignore[attr-defined]
    passages = response.passages  # type: ignore[attr-defined]
    assert passages[0].chunk_id == 0
    assert [passage.score for passage in passages] == sorted((p.score for p in passages), reverse=True)
    await asyncio.to_thread(reranker.close)


def test_a_hub_that_does_not_answer_delays_nothing() -> None:
    """A hub that takes the connection and stays silent: the reranker is `loading` at once and the process can end."""
    script = (
        "from services.retrieval.adapters.cross_encoder import CrossEncoderReranker\n"
        "reranker = CrossEncoderReranker('cross-encoder/ms-marco-MiniLM-L6-v2')\n"
        "print(reranker.state.status, flush=True)\n"
        "input()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as hub:
        environment = os.environ | {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_ETAG_TIMEOUT": "1000",  # whoever waited for the hub would wait for as long
            "HF_HUB_DOWNLOAD_TIMEOUT": "1000",
            "NO_PROXY": "127.0.0.1",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        hub.settimeout(240)  # importing torch on a machine that is busy otherwise
        connection, _ = hub.accept()
        with connection:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline().split() == ["loading"]
            process.stdin.write("\n")
            process.stdin.close()
            assert process.wait(PATIENT_S) == 0
        process.stdout.close()
