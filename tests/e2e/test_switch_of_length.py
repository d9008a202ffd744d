"""The standalone system as a process, switched to a model of another length and killed in the midst of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from shared.embedding.dense import locate_model
from tests.patience import PATIENT_S
from tests.pdfs import make_long_pdf
from tests.standalone_process import StandaloneProcess

THINGS = ("excavator", "bulldozer", "conveyor", "scraper")
PAGES = 4
LENGTH = 32
PROGRESS_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny embedding model with random weights, whose vectors are of another length; with MiniLM's tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=30522, hidden_size=LENGTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(locate_model("all-MiniLM-L6-v2")).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=256)
    pooling = Pooling(LENGTH)
    SentenceTransformer(modules=[transformer, pooling]).save(str(folder / "whole"))
    return folder / "whole"


Start = Callable[..., StandaloneProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts systems on one data folder, and ends those that a failed test leaves behind."""
    started: list[StandaloneProcess] = []
    with TemporaryDirectory(prefix="pw-", dir="/tmp") as scratch:

        def start_with(**settings: object) -> StandaloneProcess:
            environment = {f"PAGEWIRE_{name.upper()}": str(value) for name, value in settings.items()}
            started.append(StandaloneProcess(tmp_path / "data", {"TMPDIR": scratch} | environment))
            return started[-1]

        yield start_with
        for process in started:
            process.kill()


def check_found(process: StandaloneProcess) -> None:
    """Each document is found by the word that it alone has."""
    for thing in THINGS:
        body = {"question": f"{thing}?", "cache": False, "top_k": 20, "include": ["passages"]}
        answer = httpx.post(f"{process.url}/query", json=body, timeout=PATIENT_S)
        assert answer.status_code == 200, answer.text
        assert f"Manual of {thing}" in {source["title"] for source in answer.json()["sources"]}, thing


def wait_until(reached: Callable[[], Any], process: StandaloneProcess) -> None:
    deadline = time.monotonic() + PROGRESS_TIMEOUT_S
    while not reached():
        assert time.monotonic() < deadline, "".join(process.output)
        time.sleep(0.05)


def count_replacements(process: StandaloneProcess) -> int:
    documents = httpx.get(f"{process.url}/documents", timeout=PATIENT_S).json()["documents"]
    assert [document["status"] for document in documents] == ["ready"] * len(THINGS)
    return sum(document["replacement"] is not None for document in documents)


@pytest.mark.timeout(600)
def test_killed_in_the_midst_of_a_switch_every_document_is_found(start: Start, model: Path, tmp_path: Path) -> None:
    """At once after each start, too; in the end nothing is left of the index with the vectors of before."""
    process = start()
    for thing in THINGS:
        files = {"file": (f"{thing}.pdf", make_long_pdf(thing, PAGES))}
        added = httpx.post(f"{process.url}/documents", params={"wait": 60}, files=files, timeout=PATIENT_S + 60)
        assert added.json()["status"] == "ready", added.text
    assert process.stop() == 0
    old, new = tmp_path / "data" / "index", tmp_path / "data" / f"index-length-{LENGTH}"

    process = start(embedding_model=model, ingest_concurrency=1)
    check_found(process)
    assert httpx.post(f"{process.url}/documents/reindex", timeout=PATIENT_S).json()["queued"] == len(THINGS)
    wait_until(lambda: count_replacements(process) < len(THINGS), process)
    process.kill()

    process = start(embedding_model=model, compact_interval_s=0.5)
    check_found(process)
    wait_until(lambda: count_replacements(process) == 0, process)
    wait_until(lambda: not old.exists(), process)
    check_found(process)
    assert process.stop() == 0
    assert sorted(path.name for path in (tmp_path / "data").glob("index*")) == [new.name]
