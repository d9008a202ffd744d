"""The question sets of the retrieval evals: documents, questions, and where the evidence of each stands."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals.handbook import HANDBOOKS


@dataclass(frozen=True)
class Evidence:
    """Where a question's answer stands: one of the three.

    Attributes:
        pages: of its PDF, counted from 1.
        spans: of its text's characters.
        documents: that are relevant as a whole, with the grade of each.
    """

    pages: Sequence[int] = ()
    spans: Sequence[tuple[int, int]] = ()
    documents: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What is asked, of which document (empty: of none in particular), and what should be found."""

    question_id: str
    text: str
    document: str
    evidence: Evidence


@dataclass(frozen=True)
class SourceDocument:
    """A PDF or, where its name ends in `.txt`, a text in UTF-8."""

    name: str
    content: bytes

    @property
    def is_text(self) -> bool:
        """Whether it is none of the PDFs."""
        return self.name.endswith(".txt")


@dataclass(frozen=True)
class QuestionSet:
    """Documents that are searched together, and the questions about them."""

    name: str
    documents: Sequence[SourceDocument]
    questions: Sequence[Question]

    @property
    def scopes(self) -> Mapping[str, bool]:
        """What can be searched: `within` a question's own document (True), and `over all` of them (False)."""
        within = {"within": True} if all(question.document for question in self.questions) else {}
        return {**within, "over all": False} if len(self.documents) > 1 else within


LANGUAGE_SAMPLE = "languages"
"""A sample of our own: a file for each language, a paragraph and what is asked about it in each line."""
FINANCEBENCH = "financebench"
MEASURES_SET = "measures"
"""Questions of our own about measures in the same filings."""
SETS = (
    FINANCEBENCH,
    MEASURES_SET,
    "handbooks",
    "held-out",
    "handbook",
    "chunking",
    "tatqa",
    "xquad",
    "covidqa",
    "cranfield",
    LANGUAGE_SAMPLE,
)
LANGUAGES = Path(__file__).parents[1] / "languages"
MEASURES_FILE = Path(__file__).parents[1] / "measures.jsonl"


HELD_OUT = "held-out"
"""The handbooks that nothing was tuned on. They are small and in the project: `make test` measures them."""
_THINNED = {"cranfield": 2}
"""Of this set every second document is taken."""
_LONG_TEXTS = frozenset({"finance.txt", "pubmed.txt"})
"""Of `chunking`: six sevenths of its text."""


def load_set(name: str, data: Path, *, whole: bool = False) -> QuestionSet:
    """Return a set by its name; `data` is the folder that holds `financebench`, `passages` and others.

    Raises SystemExit when there is no such set.

    Parameters:
        whole: all of it; else a part of the large sets, so that the first run, which embeds all, takes a third
            less.
    """
    if name == FINANCEBENCH:
        return _load_financebench(data / FINANCEBENCH)
    if name == MEASURES_SET:
        return replace(_load_financebench(data / FINANCEBENCH), name=MEASURES_SET, questions=_load_measures())
    if name == "handbooks":
        return load_handbooks()
    if name == HELD_OUT:
        return replace(load_handbooks("held-out/*"), name=HELD_OUT)
    if name == "handbook":
        return _load_folders("handbook", [data / "handbook"])
    if name == LANGUAGE_SAMPLE:
        return load_languages()
    questions = _load_chunking(data / "chunking") if name == "chunking" else _load_passages(name, data / "passages")
    if whole:
        return questions
    documents = [document for document in questions.documents if document.name not in _LONG_TEXTS]
    return _select(questions, documents[:: _THINNED.get(name, 1)])


def _select(questions: QuestionSet, documents: Sequence[SourceDocument]) -> QuestionSet:
    """These documents, and the questions that they answer."""
    names = {document.name for document in documents}
    kept = []
    for question in questions.questions:
        grades = {name: grade for name, grade in question.evidence.documents.items() if name in names}
        if grades or question.document in names:
            kept.append(replace(question, evidence=replace(question.evidence, documents=grades)))
    return QuestionSet(questions.name, documents, kept)


def load_handbooks(pattern: str = "*/*") -> QuestionSet:
    """Return the made-up handbooks whose folder matches."""
    return _load_folders("handbooks", sorted(path.parent for path in HANDBOOKS.glob(f"{pattern}/questions.jsonl")))


def load_languages(pattern: str = "*") -> QuestionSet:
    """Return the paragraphs in the languages that match, each a document, and what is asked about them."""
    documents, questions = [], []
    for path in sorted(LANGUAGES.glob(f"{pattern}.jsonl")):
        for number, row in enumerate(_read_lines(path), start=1):
            name = f"{path.stem}-{number}"
            documents.append(SourceDocument(f"{name}.txt", row["text"].encode()))
            questions += [
                Question(f"{name}-{which}", question, "", Evidence(documents={f"{name}.txt": 1}))
                for which, question in enumerate(row["questions"])
            ]
    return QuestionSet(LANGUAGE_SAMPLE, documents, questions)


def _load_financebench(folder: Path) -> QuestionSet:
    documents = [SourceDocument(path.name, path.read_bytes()) for path in sorted((folder / "pdfs").glob("*.pdf"))]
    questions = [
        Question(
            row["id"],
            row["question"],
            row["document"],
            Evidence(pages=sorted({evidence["page"] for evidence in row["evidence"]})),
        )
        for row in _read_lines(folder / "questions.jsonl")
    ]
    return QuestionSet("financebench", documents, questions)


def _load_measures() -> list[Question]:
    return [
        Question(row["id"], row["question"], row["document"], Evidence(pages=row["pages"]))
        for row in _read_lines(MEASURES_FILE)
    ]


def _load_folders(name: str, folders: Sequence[Path]) -> QuestionSet:
    """Folders of one PDF and its questions; questions that have no answer in their document are left out."""
    documents, questions = [], []
    for folder in folders:
        (path,) = folder.glob("*.pdf")
        documents.append(SourceDocument(path.name, path.read_bytes()))
        questions += [
            Question(f"{path.stem}-{row['id']}", row["question"], path.name, Evidence(pages=row["pages"]))
            for row in _read_lines(folder / "questions.jsonl")
            if row["pages"]
        ]
    return QuestionSet(name, documents, questions)


def _load_chunking(folder: Path) -> QuestionSet:
    # A byte-order mark and Windows' line ends would shift the places of the evidence: the bytes are taken as they are.
    documents = [SourceDocument(f"{path.stem}.txt", path.read_bytes()) for path in sorted(folder.glob("*.md"))]
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    questions = [
        Question(
            f"chunking-{number}",
            row["question"],
            f"{row['corpus_id']}.txt",
            Evidence(spans=[(one["start_index"], one["end_index"]) for one in json.loads(row["references"])]),
        )
        for number, row in enumerate(rows)
    ]
    return QuestionSet("chunking", documents, questions)


def _load_passages(name: str, folder: Path) -> QuestionSet:
    documents = [
        SourceDocument(f"{row['id']}.txt", row["text"].encode())
        for row in _read_lines(folder / "documents.jsonl")
        if row["set"] == name and row["text"].strip()  # two of cranfield's abstracts are empty
    ]
    questions = [
        Question(
            row["id"],
            row["question"],
            f"{row['document']}.txt" if "document" in row else "",
            Evidence(
                spans=[(start, end) for start, end in row.get("spans", ())],
                documents={f"{document}.txt": grade for document, grade in row.get("relevant", {}).items()},
            ),
        )
        for row in _read_lines(folder / "questions.jsonl")
        if row["set"] == name
    ]
    if not questions:
        raise SystemExit(f"{folder} holds no set {name!r}")
    return QuestionSet(name, documents, questions)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
