"""What rankings are worth: each measure on rankings that were judged by hand."""

from collections.abc import Sequence

import pytest

from evals.retrieval.judgement import Judge
from evals.retrieval.printed_text import print_text
from evals.retrieval.question_sets import Evidence, Question
from services.ingest.domain.pages import Page
from shared.contracts.search import Passage, StageScores

SOURCE = "One fish two fish\n\nred fish blue fish"
LOG_3 = 0.6309297535714574
"""1 / log2(3): what the second place counts."""


def make_passage(document: str, page: int, start: int = 0, end: int = 100) -> Passage:
    scores = StageScores(fused=1)
    return Passage(
        document_id=document, chunk_id=0, title="", page=page, start=start, end=end, text="…", score=1, scores=scores
    )


def ask(evidence: Evidence, document: str = "d") -> Question:
    return Question("q", "?", document, evidence)


def test_a_page_counts_once_and_only_in_its_own_document() -> None:
    ranking = [make_passage("other", 7), make_passage("d", 7), make_passage("d", 7), make_passage("d", 9)]
    measures = Judge().judge(ask(Evidence(pages=[7, 9])), ranking)

    assert (measures["@1"], measures["@3"], measures["mrr"]) == (0, 1, 0.5)
    # Of distinct pages the second and the third are right; at best the first two would be.
    assert measures["ndcg@10"] == pytest.approx((LOG_3 + 0.5) / (1 + LOG_3))


def test_words_of_the_evidence_count_once_wherever_they_are_found() -> None:
    judge = Judge()
    ((text, _),) = print_text(SOURCE)
    judge.add_text("d", SOURCE, [Page(1, text)])
    red, blue = text.index("red"), text.index("blue")
    evidence = Evidence(spans=[(SOURCE.index("red"), len(SOURCE))])  # four words
    halves = [make_passage("d", 1, red, blue), make_passage("d", 1, red, blue), make_passage("d", 1, blue, len(text))]
    measures = judge.judge(ask(evidence), [make_passage("d", 1, 0, red - 1), *halves])

    assert [measures[f"@{depth}"] for depth in (1, 3, 5)] == [0, 0.5, 1]
    assert measures["mrr"] == 0.5
    assert measures["ndcg@10"] == pytest.approx(0.5 * LOG_3 + 0.5 * 0.43067655807339306)


def test_a_text_whose_words_were_lost_is_told_from_one_that_is_not_found() -> None:
    with pytest.raises(ValueError, match="8 words were printed and 1 read"):
        Judge().add_text("d", SOURCE, [Page(1, "fish")])


@pytest.mark.parametrize(
    ("documents", "ndcg"),
    [(["best", "good"], 1.0), (["good", "good", "best"], (1 + 3 * LOG_3) / (3 + LOG_3)), (["bad"], 0.0)],
)
def test_documents_are_judged_by_their_grades(documents: Sequence[str], ndcg: float) -> None:
    question = ask(Evidence(documents={"best": 3, "good": 1}), document="")
    measures = Judge().judge(question, [make_passage(document, 1) for document in documents])

    assert measures["ndcg@10"] == pytest.approx(ndcg)
    assert measures["@1"] == (0 if documents == ["bad"] else 1)


def test_nothing_found_is_worth_nothing() -> None:
    assert set(Judge().judge(ask(Evidence(pages=[1])), []).values()) == {0}
