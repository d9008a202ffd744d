"""Ask a running Pagewire all questions about handbooks and count the right pages and answers.

    python -m evals.handbook                      # all made-up handbooks of evals/handbooks, on a server of its own
    python -m evals.handbook --url http://…       # on a server that runs
    python -m evals.handbook --made SET           # development, held-out or all of the made-up handbooks
    python -m evals.handbook --data FOLDER        # any folder with one PDF and its questions.jsonl

evals/handbooks/README.md says what a question looks like. Ends with exit status 1 if the totals are below the goals.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from shared.contracts.questions import NOT_FOUND_ANSWER
from tests.standalone_process import StandaloneProcess

TOP_K = 5
UPLOAD_WAIT_S = 120
_ANSWER_COLUMN = 76


HANDBOOKS = Path(__file__).parent / "handbooks"
GOALS = {"page": 0.95, "contains": 13 / 16, "not_found": 0.85}
"""The least ratios: right page among the sources, answer holds the string, right to say not found."""


@dataclass(frozen=True)
class QuestionSet:
    """A PDF and what is asked about it."""

    name: str
    pdf: bytes
    questions: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """How one question went; None where it does not apply."""

    id: str
    page: bool | None
    contains: bool | None
    not_found: bool | None
    answer: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = _parse_arguments(arguments)
    folders = [options.data] if options.data else _find_made(options.made)
    sets = [load_folder(folder) for folder in folders]
    with open_server(options.url) as url, httpx.Client(base_url=url, timeout=UPLOAD_WAIT_S + 30) as client:
        outcomes: list[Outcome] = []
        for questions in sets:
            outcomes += _run_set(client, questions)
    if len(sets) > 1:
        print("\nall sets")
        _print_totals(outcomes)
    missed = _find_missed(outcomes)
    print("\n" + (f"below the goal: {', '.join(missed)}" if missed else "all goals reached"))
    return 1 if missed else 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.handbook", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="a running gateway; default: start the standalone server")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--made", choices=("development", "held-out", "all"), default="all", help="made-up handbooks")
    source.add_argument("--data", type=Path, help="a folder with one PDF and questions.jsonl")
    return parser.parse_args(arguments)


def load_folder(folder: Path) -> QuestionSet:
    """Return the PDF and the questions of a folder."""
    pdfs = sorted(folder.glob("*.pdf"))
    if len(pdfs) != 1:
        raise SystemExit(f"{folder} must hold exactly one PDF, it holds {len(pdfs)}")
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return QuestionSet(pdfs[0].name, pdfs[0].read_bytes(), [json.loads(line) for line in lines if line.strip()])


def _find_made(which: str) -> list[Path]:
    return sorted(file.parent for file in HANDBOOKS.glob(f"{'*' if which == 'all' else which}/*/questions.jsonl"))


@contextmanager
def open_server(url: str | None) -> Iterator[str]:
    """Yield the URL of a running server, of one that is started for it where none is named."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="pagewire-eval-") as folder:
        process = StandaloneProcess(Path(folder))
        try:
            yield process.url
        finally:
            try:
                process.stop()
            except subprocess.TimeoutExpired:
                print("the server did not stop when asked and was killed", file=sys.stderr)
                process.kill()


def _run_set(client: httpx.Client, questions: QuestionSet) -> list[Outcome]:
    document_id = upload(client, questions)
    outcomes = [_ask(client, document_id, question) for question in questions.questions]
    print(f"\n{questions.name}")
    print(f"{'id':<12} {'page':<5} {'holds':<6} {'not found':<10} answer")
    for outcome in outcomes:
        marks = [_mark(value) for value in (outcome.page, outcome.contains, outcome.not_found)]
        answer = " ".join(outcome.answer.split())
        cut = answer if len(answer) <= _ANSWER_COLUMN else answer[: _ANSWER_COLUMN - 1] + "…"
        print(f"{outcome.id:<12} {marks[0]:<5} {marks[1]:<6} {marks[2]:<10} {cut}")
    _print_totals(outcomes)
    return outcomes


def upload(client: httpx.Client, questions: QuestionSet) -> str:
    """Upload the PDF and return its document's id once it is ready."""
    file = {"file": (questions.name, questions.pdf, "application/pdf")}
    response = client.post("/documents", files=file, params={"wait": UPLOAD_WAIT_S})
    response.raise_for_status()
    accepted = response.json()
    if accepted["status"] != "ready":
        raise SystemExit(f"{questions.name} did not become ready: {accepted}")
    return str(accepted["document_id"])


def _ask(client: httpx.Client, document_id: str, question: dict[str, Any]) -> Outcome:
    body = {"question": question["question"], "top_k": TOP_K, "document_ids": [document_id]}
    response = client.post("/query", json=body)
    response.raise_for_status()
    result = response.json()
    answer = str(result["answer"])
    if not question["pages"]:
        return Outcome(question["id"], None, None, answer == NOT_FOUND_ANSWER, answer)
    page = any(source["page"] in question["pages"] for source in result["sources"])
    # An answer may break a line where the expected string has a blank.
    flat = " ".join(answer.split())
    contains = all(expected in flat for expected in question["answer_contains"])
    return Outcome(question["id"], page, contains, None, answer)


def _mark(value: bool | None) -> str:
    return "—" if value is None else "yes" if value else "no"


def _count(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Per measure how many are right, of how many."""
    counts = {}
    for name in ("page", "contains", "not_found"):
        values = [getattr(outcome, name) for outcome in outcomes]
        counts[name] = (values.count(True), len(values) - values.count(None))
    return counts


def _print_totals(outcomes: Sequence[Outcome]) -> None:
    labels = {"page": "right page", "contains": "answer holds", "not_found": "not found"}
    print(" · ".join(f"{labels[name]} {right}/{total}" for name, (right, total) in _count(outcomes).items()))


def _find_missed(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{name} {right}/{total}"
        for name, (right, total) in _count(outcomes).items()
        if total and right / total < GOALS[name]
    ]


if __name__ == "__main__":
    sys.exit(main())
