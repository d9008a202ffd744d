"""What searches find is as good as when it was last decided on: the gate of the evals, on data of the project."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from evals.retrieval.judgement import MEASURES
from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.measured_system import LEGS, RERANKED, MeasuredSystem
from evals.retrieval.question_sets import HELD_OUT, load_languages, load_set
from evals.retrieval.scores import BASELINE, Scores
from evals.retrieval.statistics import compare
from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.domain.fusion import Candidate
from services.retrieval.settings import RetrievalSettings
from shared.contracts.search import GlossaryTerm
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder


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


class CountingReranker(TermProximityReranker):
    """Remembers how many candidates each search has given it."""

    def __init__(self) -> None:
        super().__init__(Bm25Encoder())
        self.given: list[int] = []

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        self.given.append(len(candidates))
        return await super().score(query, candidates, terms)


async def test_as_many_candidates_are_reranked_as_for_a_question_of_a_user(
    embedder: DenseEmbedder, tmp_path: Path
) -> None:
    """The default of the settings, though evals judge more passages than are asked for in use: the figures are those
    that users get."""
    questions = load_languages("[def]*")
    vectors = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    reranker = CountingReranker()
    async with MeasuredSystem.open(questions, vectors, reranker) as system:
        found = await system.search(questions.questions[0], RERANKED, within=False)
    await asyncio.to_thread(vectors.close)

    default = RetrievalSettings.model_fields["rerank_count"].default
    assert reranker.given == [default]
    assert default <= len(found) < len(questions.documents)
