"""PDFs in other languages are found: a sample of ours, in which questions have other forms of the words than texts."""

import asyncio
from collections import defaultdict
from pathlib import Path

from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.measured_system import MeasuredSystem
from evals.retrieval.question_sets import load_languages
from shared.embedding.dense import DenseEmbedder

LANGUAGES = ("ar", "de", "es", "fr", "ru", "zh")


async def test_paragraphs_are_found_in_six_languages(embedder: DenseEmbedder, tmp_path: Path) -> None:
    """All searched together. With English stems alone BM25 had .67 of the first ones right, and .31 in Russian."""
    questions = load_languages()
    vectors = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    async with MeasuredSystem.open(questions, vectors) as system:
        found = await system.measure(within=False)
    await asyncio.to_thread(vectors.close)

    shares: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for leg in ("bm25", "fused"):
        for question, row in zip(questions.questions, found[leg], strict=True):
            for measure in ("@1", "@3"):
                shares[leg, question.question_id[:2], measure].append(row[measure])
    means = {key: sum(values) / len(values) for key, values in shares.items()}
    assert {len(values) for values in shares.values()} == {36}
    assert {language for _, language, _ in shares} == set(LANGUAGES)
    for (leg, language, measure), share in means.items():
        assert share >= (0.8 if measure == "@1" else 0.9), (leg, language, measure, share)
