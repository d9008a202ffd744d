"""Embeddings of either precision are the same for a search."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from shared.embedding.dense import DenseEmbedder, Vectors, locate_model

TEXTS = [
    "The crane lifts forty tonnes at ten metres.",
    "Total revenues rose to $ 12,345 million in 2019, from 11,820 in 2018.",
    "Prüfen Sie vor jedem Einsatz die Bremse.",
    " ".join(f"Paragraph {n} explains how valves are serviced." for n in range(60)),
]


def embed(precision: str) -> tuple[Vectors, Vectors, bool]:
    """Vectors of the passages, of a question, and whether passages are multiplied in bfloat16.

    By torch, which does so on any processor; OpenVINO does where the processor can.
    """
    embedder = DenseEmbedder("all-MiniLM-L6-v2", precision=precision, engine="torch")  # type: ignore[arg-type]

    async def run() -> tuple[Vectors, Vectors]:
        return await embedder.embed_passages(TEXTS), await embedder.embed_query(TEXTS[0])

    try:
        return (*asyncio.run(run()), embedder.is_bfloat16)
    finally:
        embedder.close()


def test_both_precisions_may_stand_in_one_index() -> None:
    """A passage has the same vector either way, to four digits; questions do not change at all."""
    exact, question, _ = embed("float32")
    fast, same_question, is_bfloat16 = embed("bfloat16")

    assert is_bfloat16
    assert fast.dtype == np.float32
    assert np.linalg.norm(fast, axis=1) == pytest.approx(1, abs=1e-6)
    assert (exact * fast).sum(axis=1).min() > 0.999
    assert (exact != fast).any(), "the setting has an effect"
    assert (question == same_question).all()


@pytest.mark.parametrize(
    ("cpu", "units", "is_faster"),
    [
        ("Intel Xeon", ["amx_bf16", "avx512_bf16"], True),
        ("AMD EPYC", ["avx512_bf16"], True),
        ("Intel Xeon", ["avx512_bf16"], False),
        ("AMD EPYC", ["avx512_f"], False),
        ("Intel Xeon", ["amx_int8"], False),
    ],
)
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, cpu: str, units: Sequence[str], is_faster: bool
) -> None:
    """bfloat16 is chosen where the processor multiplies it faster, and nowhere else: there it would be slower."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": cpu, **dict.fromkeys(units, True)})

    assert embed("auto")[2] is is_faster


def test_a_model_without_some_of_its_weights_has_one_name(tmp_path: Path) -> None:
    """What is missing is drawn at random, but its name says which passages match a search, today and on any machine."""
    folder = tmp_path / "model"
    shutil.copytree(locate_model("all-MiniLM-L6-v2"), folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "pooler" not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

    names = set()
    for _ in range(2):
        embedder = DenseEmbedder(str(folder))
        names.add(embedder.model_id)
        embedder.close()
        torch.rand(1)

    assert len(names) == 1


async def test_a_question_is_the_same_alone_and_among_others(embedder: DenseEmbedder) -> None:
    """However many come at once: each gets its own vector, to the last bit, whichever replica and pass computes it."""
    questions = [f"How much did unit {n} sell" + " in the year 2019" * (n % 7) + "?" for n in range(80)]
    alone = [await embedder.embed_query(question) for question in questions]
    together = await asyncio.gather(*(embedder.embed_query(question) for question in questions))

    assert np.array_equal(alone, together)
