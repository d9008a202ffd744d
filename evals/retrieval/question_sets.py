"""The question sets of the retrieval evals: documents, questions, and where the evidence of each stands."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.handbook import HANDBOOKS


@dataclass(frozen=True)
class Evidence:
    """Where a question's answer stands: pages of a PDF, counted from 1, or spans of a text's characters."""

    pages: Sequence[int] = ()
    spans: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Question:
    """What is asked, of which document, and what should be found."""

    question_id: str
    text: str
    document: str
    evidence: Evidence


@dataclass(frozen=True)
class SourceDocument:
    """A PDF or, where its name ends in `.txt`, a text in UTF-8."""

    name: str
    content: bytes


@dataclass(frozen=True)
class QuestionSet:
    """Documents that are searched together, and the questions about them."""

    name: str
    documents: Sequence[SourceDocument]
    questions: Sequence[Question]


def load_set(name: str, data: Path) -> QuestionSet:
    """Return a set by its name; `data` is the folder that holds `financebench` and `passages`."""
    if name == "financebench":
        return _load_financebench(data / "financebench")
    if name == "handbooks":
        return _load_handbooks()
    return _load_passages(name, data / "passages")


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


def _load_handbooks() -> QuestionSet:
    """All made-up handbooks; questions that have no answer in their document are left out."""
    documents, questions = [], []
    for path in sorted(HANDBOOKS.glob("*/*/*.pdf")):
        documents.append(SourceDocument(path.name, path.read_bytes()))
        questions += [
            Question(f"{path.stem}-{row['id']}", row["question"], path.name, Evidence(pages=row["pages"]))
            for row in _read_lines(path.parent / "questions.jsonl")
            if row["pages"]
        ]
    return QuestionSet("handbooks", documents, questions)


def _load_passages(name: str, folder: Path) -> QuestionSet:
    documents = [
        SourceDocument(f"{row['id']}.txt", row["text"].encode())
        for row in _read_lines(folder / "documents.jsonl")
        if row["set"] == name
    ]
    questions = [
        Question(
            row["id"],
            row["question"],
            f"{row['document']}.txt",
            Evidence(spans=[(start, end) for start, end in row["spans"]]),
        )
        for row in _read_lines(folder / "questions.jsonl")
        if row["set"] == name and row.get("spans")
    ]
    if not questions:
        raise SystemExit(f"{folder} holds no set {name!r} whose evidence are spans")
    return QuestionSet(name, documents, questions)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
