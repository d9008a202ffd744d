"""Vectors by OpenVINO are those by torch, and where it cannot be used torch is."""

import asyncio
import importlib.util
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from structlog.testing import capture_logs
from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel, MPNetConfig, MPNetModel, PreTrainedModel

from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from shared.embedding import openvino_passes
from shared.embedding.dense import DenseEmbedder, Vectors, locate_model
from shared.embedding.port import Engine, Kind, Precision

MODEL = "all-MiniLM-L6-v2"

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None

needs_openvino = pytest.mark.skipif(
    not HAS_OPENVINO and not (sys.platform == "linux" and platform.machine() == "x86_64"),
    reason="OpenVINO is a dependency on Linux on x86_64 only",
)

TEXTS = [
    "Prüfen Sie vor jedem Einsatz die Bremse. 圧力 🙂",
    "",
    "crane",
    *(" ".join(f"valve {n}" for n in range(words)) for words in (1, 3, 9, 27, 81, 126, 127, 128, 129, 400)),
    " ",
    "Total revenues rose to $ 12,345 million in 2019, from 11,820 in 2018.",
]
"""From no word to three times what the model takes, in no order."""


def load(engine: Engine, precision: Precision = "float32", model: str = MODEL) -> DenseEmbedder:
    return DenseEmbedder(model, threads=1, precision=precision, engine=engine)


@pytest.fixture(scope="module")
def by_torch() -> Iterator[DenseEmbedder]:
    embedder = load("torch")
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def by_openvino() -> Iterator[DenseEmbedder]:
    embedder = load("openvino")
    yield embedder
    embedder.close()


async def embed_both_ways(embedder: DenseEmbedder, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
    """The texts as passages and as questions."""
    return await embedder.embed_passages(texts), np.array([await embedder.embed_query(text) for text in texts])


def find_least_cosine(some: Vectors, others: Vectors) -> float:
    """Of unit vectors, row by row."""
    assert some.shape == others.shape
    assert some.dtype == others.dtype == np.float32
    assert np.linalg.norm(some, axis=1) == pytest.approx(1, abs=1e-5)
    return float((some * others).sum(axis=1).min())


@needs_openvino
async def test_vectors_are_those_of_torch(by_torch: DenseEmbedder, by_openvino: DenseEmbedder) -> None:
    """Texts of every length, in batches of every kind, each vector at its text's place."""
    assert (by_torch.engine, by_openvino.engine) == ("torch", "openvino")

    passages, questions = await embed_both_ways(by_openvino, TEXTS)
    expected_passages, expected_questions = await embed_both_ways(by_torch, TEXTS)

    assert find_least_cosine(passages, expected_passages) > 0.9999
    assert find_least_cosine(questions, expected_questions) > 0.9999


@needs_openvino
@hypothesis_settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=40) | st.integers(0, 90).map(lambda words: "valve " * words), min_size=1, max_size=8))
def test_any_batch_is_the_same(by_torch: DenseEmbedder, by_openvino: DenseEmbedder, texts: list[str]) -> None:
    """Whatever stands in a batch, none of its texts changes what becomes of another."""
    vectors, expected = (asyncio.run(embedder.embed_passages(texts)) for embedder in (by_openvino, by_torch))

    assert find_least_cosine(vectors, expected) > 0.9999


@needs_openvino
def test_bfloat16_is_for_passages_and_the_same_to_three_digits(by_openvino: DenseEmbedder) -> None:
    """The precision is passed on: passages differ a little where the processor multiplies it, questions do not."""
    embedder = load("openvino", "bfloat16")
    try:
        passages, questions = asyncio.run(embed_both_ways(embedder, TEXTS))
    finally:
        embedder.close()
    exact_passages, exact_questions = asyncio.run(embed_both_ways(by_openvino, TEXTS))

    assert embedder.engine == "openvino"
    assert find_least_cosine(passages, exact_passages) > 0.999
    assert np.abs(questions - exact_questions).max() < 1e-6
    if torch.cpu.get_capabilities().get("avx512_bf16"):
        assert (passages != exact_passages).any()


@needs_openvino
async def test_calls_at_once_do_not_disturb_each_other(by_openvino: DenseEmbedder) -> None:
    """Passages of some documents and questions, all at once, warming up in between: as if each had come alone."""
    documents = [[f"{text} {n}" for text in TEXTS] for n in range(3)]
    questions = [f"How many valves has crane {n}?" for n in range(12)]
    alone = [await by_openvino.embed_passages(document) for document in documents]
    questions_alone = [await by_openvino.embed_query(question) for question in questions]

    *vectors, _ = await asyncio.gather(
        *(by_openvino.embed_passages(document) for document in documents),
        *(by_openvino.embed_query(question) for question in questions),
        asyncio.to_thread(by_openvino.warm_up),
    )

    for result, expected in zip(vectors, [*alone, *questions_alone], strict=True):
        assert np.abs(np.asarray(result) - expected).max() < 1e-5


@needs_openvino
def test_the_model_has_the_same_name_with_either(by_torch: DenseEmbedder, by_openvino: DenseEmbedder) -> None:
    """So that what one has made is found by the other, and no document is made anew for it."""
    assert by_torch.model_id == by_openvino.model_id


@needs_openvino
def test_openvino_tells_nobody_that_it_is_used(by_openvino: DenseEmbedder) -> None:
    """Its telemetry, which its package depends on, cannot be imported: by default it would call Google Analytics."""
    assert by_openvino.engine == "openvino"
    modules: dict[str, object] = dict(sys.modules)
    assert modules["openvino_telemetry"] is None
    assert not [name for name in modules if name.startswith("openvino_telemetry.")]


def save_model(folder: Path, transformer: PreTrainedModel, pooling: str) -> str:
    """A sentence-transformers folder with the default model's word pieces, without its last module."""
    parts = folder / "transformer"
    transformer.save_pretrained(parts)
    AutoTokenizer.from_pretrained(locate_model(MODEL)).save_pretrained(parts)
    first = Transformer(str(parts), max_seq_length=64)
    model = SentenceTransformer(modules=[first, Pooling(first.get_embedding_dimension(), pooling)], device="cpu")
    model.save(str(folder / "model"))
    return str(folder / "model")


@needs_openvino
@pytest.mark.parametrize("kind", ["distilbert", "mpnet"])
def test_another_model_is_converted_too(kind: str, tmp_path: Path) -> None:
    """One whose transformer wants no token types, or counts how far words stand apart, and that pools otherwise."""
    torch.manual_seed(0)
    transformer: PreTrainedModel
    if kind == "distilbert":
        transformer = DistilBertModel(DistilBertConfig(dim=32, hidden_dim=64, n_heads=2, n_layers=2))
    else:
        config = MPNetConfig(hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2)
        transformer = MPNetModel(config)
    folder = save_model(tmp_path, transformer, "cls")
    vectors = []
    for engine in ("openvino", "torch"):
        embedder = load(engine, model=folder)
        assert embedder.engine == engine
        vectors.append(asyncio.run(embedder.embed_passages(TEXTS)))
        embedder.close()

    assert find_least_cosine(*vectors) > 0.9999


@needs_openvino
@pytest.mark.parametrize(
    ("setting", "machine", "expected"),
    [
        ("auto", "x86_64", "openvino"),
        ("auto", "aarch64", "torch"),
        ("torch", "x86_64", "torch"),
    ],
)
def test_the_setting_and_the_machine_decide(
    monkeypatch: pytest.MonkeyPatch, setting: Engine, machine: str, expected: str
) -> None:
    """OpenVINO by itself where it was measured, without a GPU."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with capture_logs() as logs:
        embedder = load(setting)
    embedder.close()

    assert embedder.engine == expected
    assert not logs


def test_without_the_package_auto_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional: nothing is warned of."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "openvino" else find_spec(name, *rest)
    )
    with capture_logs() as logs:
        embedder = load("auto")
    embedder.close()

    assert embedder.engine == "torch"
    assert not logs


def miss_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


def fail_to_convert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openvino.convert_model", lambda *_, **__: 1 / 0)


def fail_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openvino.Core", lambda: 1 / 0)


def come_out_different(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(self: object, features: openvino_passes.Features) -> torch.Tensor:
        return torch.ones(len(features["input_ids"]), 384)

    monkeypatch.setattr(openvino_passes.OpenVinoPass, "__call__", compute)


def come_out_as_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(self: object, features: openvino_passes.Features) -> torch.Tensor:
        return torch.full((len(features["input_ids"]), 384), float("nan"))

    monkeypatch.setattr(openvino_passes.OpenVinoPass, "__call__", compute)


@needs_openvino
@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (miss_package, "ModuleNotFoundError: "),
        (fail_to_convert, "ZeroDivisionError: "),
        (fail_to_compile, "ZeroDivisionError: "),
        (come_out_different, "NotConvertibleError: its vectors have a cosine of "),
        (come_out_as_no_numbers, "NotConvertibleError: its vectors have a cosine of nan"),
    ],
)
def test_what_fails_is_done_by_torch(
    monkeypatch: pytest.MonkeyPatch,
    by_torch: DenseEmbedder,
    by_openvino: DenseEmbedder,
    break_it: object,
    said: str,
) -> None:
    """Where the package is not, or the model cannot be converted or comes out as another: a warning says so."""
    assert by_openvino.engine == "openvino"  # imported before it is broken
    assert callable(break_it)
    break_it(monkeypatch)
    with capture_logs() as logs:
        embedder = load("openvino")
    try:
        passages, questions = asyncio.run(embed_both_ways(embedder, TEXTS[:4]))
    finally:
        embedder.close()
    expected_passages, expected_questions = asyncio.run(embed_both_ways(by_torch, TEXTS[:4]))

    assert embedder.engine == "torch"
    assert [(log["event"], log["log_level"]) for log in logs] == [("openvino_not_used", "warning")]
    assert logs[0]["error"].startswith(said)
    assert find_least_cosine(passages, expected_passages) > 0.9999
    assert find_least_cosine(questions, expected_questions) > 0.9999


@needs_openvino
@pytest.mark.parametrize("kind", ["document", "query"])
def test_only_what_will_be_embedded_is_compiled(
    monkeypatch: pytest.MonkeyPatch, by_torch: DenseEmbedder, kind: Kind
) -> None:
    """A retrieval service has questions only, a worker passages; what does not work is found out at the start."""
    passes = []

    class CountedPass(openvino_passes.OpenVinoPass):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            passes.append(self)

    monkeypatch.setattr(openvino_passes, "OpenVinoPass", CountedPass)
    embedder = DenseEmbedder(MODEL, kinds=[kind], threads=1, precision="float32", engine="openvino")
    compiled = len(passes)

    async def embed(by: DenseEmbedder) -> Vectors:
        if kind == "document":
            return await by.embed_passages(TEXTS[:3])
        return np.array([await by.embed_query(text) for text in TEXTS[:3]])

    vectors, expected = asyncio.run(embed(embedder)), asyncio.run(embed(by_torch))
    embedder.close()
    come_out_different(monkeypatch)
    with capture_logs() as logs:
        different = DenseEmbedder(MODEL, kinds=[kind], threads=1, precision="float32", engine="openvino")
    different.close()

    assert (embedder.engine, compiled) == ("openvino", 1)
    assert find_least_cosine(vectors, expected) > 0.9999
    assert (different.engine, [log["event"] for log in logs]) == ("torch", ["openvino_not_used"])


def test_services_that_embed_are_told_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides of a search have the same setting."""
    monkeypatch.setenv("PAGEWIRE_EMBEDDING_ENGINE", "torch")

    assert IngestSettings().embedding_engine == "torch"
    assert RetrievalSettings().embedding_engine == "torch"
