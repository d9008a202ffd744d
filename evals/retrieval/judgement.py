"""Says how well a ranking of passages answers to a question's evidence: hits, reciprocal rank and nDCG.

Three kinds of evidence, one set of measures:

- pages of a PDF: `@k` is 1 where one of the first k passages stands on one of them;
- spans of a text: `@k` is the share of their words that the first k passages hold;
- whole documents with grades: `@k` is 1 where one of the first k documents is relevant.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from evals.retrieval.printed_text import list_printed_words, list_words, select_words
from evals.retrieval.question_sets import Question
from services.ingest.domain.pages import Page
from shared.contracts.search import Passage

DEPTHS = (1, 3, 5, 10)
NDCG_DEPTH = 10
MEASURES = (*(f"@{depth}" for depth in DEPTHS), "mrr", f"ndcg@{NDCG_DEPTH}")

Measures = Mapping[str, float]
"""By the names of MEASURES, each 0 to 1."""
Place = tuple[int, int, int]
"""A page and the span of a word on it."""


class Judge:
    """Judges rankings. Where a text's evidence is printed is looked up once per document."""

    def __init__(self) -> None:
        self._words: dict[str, list[tuple[tuple[int, int], Place]]] = {}

    def add_text(self, document: str, source: str, pages: Sequence[Page]) -> None:
        """Remember where the words of a text document were printed. Raises ValueError when words were lost."""
        words, printed = list_words(source), list_printed_words(pages)
        if len(words) != len(printed):
            raise ValueError(f"{document}: {len(words)} words were printed and {len(printed)} read")
        self._words[document] = list(zip(words, printed, strict=True))

    def judge(self, question: Question, passages: Sequence[Passage]) -> Measures:
        """Return the measures of a ranking, best first."""
        evidence = question.evidence
        if evidence.documents:
            return _judge_documents(evidence.documents, passages)
        own = [passage if passage.document_id == question.document else None for passage in passages]
        if evidence.pages:
            return _judge_pages(set(evidence.pages), passages, own)
        words = self._words[question.document]
        return _judge_spans({place for span in evidence.spans for place in select_words(words, span)}, own)


def _judge_pages(wanted: set[int], passages: Sequence[Passage], own: Sequence[Passage | None]) -> Measures:
    hits = [passage is not None and passage.page in wanted for passage in own]
    pages = dict.fromkeys((passage.document_id, passage.page) for passage in passages)
    right = {(passage.document_id, passage.page) for passage, hit in zip(passages, hits, strict=True) if hit}
    found = _discount(float(page in right) for page in pages)
    return {
        **{f"@{depth}": float(any(hits[:depth])) for depth in DEPTHS},
        "mrr": _invert_rank(hits),
        f"ndcg@{NDCG_DEPTH}": found / _discount([1.0] * len(wanted)),
    }


def _judge_spans(wanted: set[Place], own: Sequence[Passage | None]) -> Measures:
    """The gain of a passage is the share of the evidence that none before it holds: a repetition gains nothing."""
    held: set[Place] = set()
    touched: list[bool] = []
    gains: list[float] = []
    for passage in own:
        here = set() if passage is None else {place for place in wanted if _holds(passage, place)}
        touched.append(bool(here))
        gains.append(len(here - held) / len(wanted))
        held |= here
    return {
        **{f"@{depth}": min(1.0, sum(gains[:depth])) for depth in DEPTHS},
        "mrr": _invert_rank(touched),
        f"ndcg@{NDCG_DEPTH}": _discount(gains),
    }


def _judge_documents(grades: Mapping[str, int], passages: Sequence[Passage]) -> Measures:
    found = [grades.get(document, 0) for document in dict.fromkeys(passage.document_id for passage in passages)]
    best = _discount(sorted(map(float, grades.values()), reverse=True))
    return {
        **{f"@{depth}": float(any(found[:depth])) for depth in DEPTHS},
        "mrr": _invert_rank([grade > 0 for grade in found]),
        f"ndcg@{NDCG_DEPTH}": _discount(map(float, found)) / best,
    }


def _holds(passage: Passage, place: Place) -> bool:
    page, start, _ = place
    return passage.page == page and passage.start <= start < passage.end


def _invert_rank(hits: Sequence[bool]) -> float:
    return next((1 / rank for rank, hit in enumerate(hits, start=1) if hit), 0.0)


def _discount(gains: Iterable[float]) -> float:
    """DCG at NDCG_DEPTH."""
    return sum(gain / math.log2(rank + 1) for rank, gain in _number(gains))


def _number(gains: Iterable[float]) -> Iterator[tuple[int, float]]:
    return zip(range(1, NDCG_DEPTH + 1), gains, strict=False)
