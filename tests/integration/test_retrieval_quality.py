"""What searches find is as good as when it was last decided on: the gate of the evals, on data of the project."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
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
    async with MeasuredSystem.open(questions, vectors, TermProximityReranker(Bm25Encoder())) as system:
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
    assert len(scores.searched) == 2 * len([*LEGS, *RERANKED])


class CountingReranker(TermProximityReranker):
    """Remembers how many candidates each search has given it."""

    def __init__(self) -> None:
        super().__init__(Bm25Encoder())
        self.given: list[int] = []

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        self.given.append(len(candidates))
        return await super().score(query, candidates, terms)


async def test_the_first_passages_do_not_depend_on_how_many_are_asked_for(
    embedder: DenseEmbedder, tmp_path: Path
) -> None:
    """As many are reranked for five as for fifty, so the figures of the evals are those that users get."""
    questions = load_languages("*")
    vectors = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    reranker = CountingReranker()
    async with MeasuredSystem.open(questions, vectors, reranker) as system:
        question = questions.questions[0]
        found = await system.search(question, RERANKED["reranked"], within=False)
        few = await system.search(question, replace(RERANKED["reranked"], top_k=5), within=False)
    await asyncio.to_thread(vectors.close)

    assert RetrievalSettings.model_fields["rerank_count"].default is None
    assert reranker.given == [TermProximityReranker.depth] * 2
    assert few == found[:5]
    assert len(found) == TermProximityReranker.depth < len(questions.documents)
