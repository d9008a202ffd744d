"""What searches find is as good as when it was last decided on: the gate of the evals, on data of the project."""

import asyncio
from pathlib import Path

from evals.retrieval.judgement import MEASURES
from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.measured_system import LEGS, MeasuredSystem
from evals.retrieval.question_sets import HELD_OUT, load_set
from evals.retrieval.scores import BASELINE, Scores
from evals.retrieval.statistics import compare
from shared.embedding.dense import DenseEmbedder


async def test_no_ranking_is_worse_than_the_baseline_with_confidence(embedder: DenseEmbedder, tmp_path: Path) -> None:
    """122 questions, each compared with itself. A change that is wanted comes with a new baseline (evals/retrieval)."""
    questions = load_set(HELD_OUT, tmp_path)
    baseline = await asyncio.to_thread(Scores.load, BASELINE)
    vectors = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    scores = Scores()
    async with MeasuredSystem.open(questions, vectors) as system:
        for scope, within in questions.scopes.items():
            for leg, rows in (await system.measure(within=within)).items():
                scores.add(questions, scope, leg, rows)
    await asyncio.to_thread(vectors.close)

    lost = []
    for ranking, columns in scores.searched.items():
        before = scores.find_comparable(ranking, baseline)
        assert before is not None, f"the baseline lacks {ranking}"
        gains = {measure: compare(before[measure], columns[measure]) for measure in MEASURES}
        lost += [(*ranking, measure, gain) for measure, gain in gains.items() if gain.high < 0]
    assert not lost
    assert len(scores.searched) == 2 * len(LEGS)
