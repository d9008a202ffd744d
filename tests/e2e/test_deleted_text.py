"""Deleted is gone: of a deleted document no byte of its text is left in the data folder of the standalone system."""

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.patience import PATIENT_S
from tests.pdfs import make_pdf
from tests.standalone_process import StandaloneProcess

TIMEOUT_S = 120


@pytest.fixture
def process(tmp_path: Path) -> Iterator[StandaloneProcess]:
    """A running system that looks for deleted text every second; its temporary files are in a folder of their own."""
    with TemporaryDirectory(prefix="pw-", dir="/tmp") as scratch:
        process = StandaloneProcess(tmp_path / "data", {"TMPDIR": scratch, "PAGEWIRE_COMPACT_INTERVAL_S": "1"})
        yield process
        process.kill()


def find_words(folder: Path, words: set[str]) -> set[str]:
    """Those of these words that stand in a file of the folder or in its name, as UTF-8 or UTF-16."""
    paths = list(folder.rglob("*"))
    content = "\n".join(map(str, paths)).encode()
    for path in paths:
        try:
            content += path.read_bytes().translate(None, b"\0") if path.is_file() else b""
        except FileNotFoundError:  # the system is at work
            continue
    return {word for word in words if word.encode() in content}


def count_events(process: StandaloneProcess, event: str) -> int:
    """How many lines of the log have this event."""
    lines = [json.loads(line) for line in process.output if line.startswith("{")]
    return sum(line["event"] == event for line in lines)


def wait_for_events(process: StandaloneProcess, event: str, count: int) -> None:
    """Return when the log has so many lines with this event."""
    deadline = time.monotonic() + TIMEOUT_S
    while count_events(process, event) < count:
        assert time.monotonic() < deadline, f"{event} was not logged:\n{''.join(process.output)}"
        time.sleep(0.02)


def upload(process: StandaloneProcess, content: bytes, name: str) -> str:
    """Add a document, and return its id when it can be asked about."""
    files, key = {"file": (name, content)}, {"Idempotency-Key": secrets.token_hex(8)}
    response = httpx.post(f"{process.url}/documents", params={"wait": 60}, files=files, headers=key, timeout=90)
    assert response.json()["status"] == "ready", response.text
    return str(response.json()["document_id"])


def ask(process: StandaloneProcess, question: str) -> str:
    """Return the answer."""
    response = httpx.post(f"{process.url}/query", json={"question": question}, timeout=PATIENT_S)
    return str(response.json()["answer"])


@pytest.mark.timeout(400)
def test_nothing_of_a_deleted_document_is_left_in_the_data_folder(process: StandaloneProcess) -> None:
    """Neither file name, title, headings nor text, nor what a kept answer quoted; while it runs, and after a stop.

    What was not deleted is found all the while, and after another start.
    """
    words = {secrets.token_hex(8) for _ in range(6)}
    name, first, second, third, fourth, fifth = sorted(words)
    kept = secrets.token_hex(8)
    pages = [f"{first} Annual Report\nThe badger called {second} digs.", f"{third}\nThe crane lifts {fourth} tonnes."]
    gone = [
        upload(process, make_pdf(pages), f"{name}.pdf"),
        upload(process, make_pdf([f"The ferry {fifth} sails."]), "f.pdf"),
    ]
    upload(process, make_pdf([f"The lighthouse keeper is called {kept}."]), "kept.pdf")
    assert second in ask(process, "What is the badger called?")
    assert find_words(process.data, words)

    for document_id in gone:
        httpx.delete(f"{process.url}/documents/{document_id}", timeout=PATIENT_S).raise_for_status()
    wait_for_events(process, "document_purged", len(gone))
    removals = 0
    while find_words(process.data, words):
        assert kept in ask(process, "What is the lighthouse keeper called?")
        removals += 1  # the first may have begun between two purges
        wait_for_events(process, "deleted_text_removed", removals)
        assert removals <= 2 * len(gone)

    assert process.stop() == 0
    assert find_words(process.data, words) == set()
    assert find_words(process.data, {kept}) == {kept}
