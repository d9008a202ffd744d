"""The standalone system as a process: killed, restarted, started twice, started wrongly."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from shared.vector_index.edge import EdgeIndex
from tests.patience import PATIENT_S
from tests.pdfs import make_long_pdf, make_pdf
from tests.standalone_process import ROOT, START_TIMEOUT_S, STOP_TIMEOUT_S, StandaloneProcess, make_environment

PROGRESS_TIMEOUT_S = 120
PAGES = 20
"""Some 180 chunks, three batches for the model."""


Start = Callable[[Path], StandaloneProcess]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty folder for temporary files; its name is short, as the names of sockets must be."""
    with TemporaryDirectory(prefix="pw-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def start(scratch: Path) -> Iterator[Start]:
    """Starts systems, and ends those that a failed test leaves behind."""
    started: list[StandaloneProcess] = []

    def start_on(data: Path) -> StandaloneProcess:
        started.append(StandaloneProcess(data, {"TMPDIR": str(scratch)}))
        return started[-1]

    yield start_on
    for process in started:
        process.kill()


def list_redis_folders(scratch: Path) -> list[Path]:
    return list(scratch.glob("pagewire-redis-*"))


def upload(process: StandaloneProcess, content: bytes, name: str, wait: int = 0) -> dict[str, Any]:
    files = {"file": (name, content)}
    response = httpx.post(f"{process.url}/documents", params={"wait": wait}, files=files, timeout=wait + 30)
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    return body


def get_record(process: StandaloneProcess, document_id: str) -> dict[str, Any]:
    body: dict[str, Any] = httpx.get(f"{process.url}/documents/{document_id}", timeout=PATIENT_S).json()
    return body


def wait_for(process: StandaloneProcess, document_id: str, field: str, wanted: object) -> dict[str, Any]:
    """The record once a field has the wanted value (or, for a number, has passed it)."""
    deadline = time.monotonic() + PROGRESS_TIMEOUT_S
    while time.monotonic() < deadline:
        record = get_record(process, document_id)
        if record[field] == wanted or (isinstance(wanted, int) and record[field] > wanted):
            return record
        time.sleep(0.02)
    raise AssertionError(f"{field} did not become {wanted!r}: {record}\n{''.join(process.output)}")


def list_read(process: StandaloneProcess, event: str) -> list[str]:
    """Documents of which the log says that they were read: from the PDF, or from what was stored of it."""
    lines = [json.loads(line) for line in process.output if line.startswith("{") and f'"{event}"' in line]
    return [line["document_id"] for line in lines]


def list_redis_servers(data: Path) -> list[int]:
    """Processes of redis-servers that work in a data folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                name = (folder / "comm").read_text().strip()
                works_in = (folder / "cwd").readlink()
            except OSError:
                continue  # it has just ended
            if name.endswith("-server") and works_in == data / "redis":
                found.append(int(folder.name))
    return found


def count_points(data: Path, document_id: str) -> int:
    """Points of a document in the folder of a system that has stopped."""

    async def count() -> int:
        index = EdgeIndex(data / "index", 384)
        await index.prepare()
        try:
            return await index.count("default", document_id)
        finally:
            await index.close()

    return asyncio.run(count())


@pytest.mark.timeout(400)
def test_killed_in_the_middle_of_an_ingest_nothing_is_lost(start: Start, tmp_path: Path) -> None:
    """kill -9 while chunks are written; the next start finishes the document with exactly its points, at once.

    It does not read the PDF again, nor for a second document of the same bytes: what was read of it is stored.
    """
    content = make_long_pdf("excavator", PAGES)
    process = start(tmp_path)
    kept = upload(process, make_pdf(["The badger digs."]), "badger.pdf", wait=60)
    document_id = upload(process, content, "excavator.pdf")["document_id"]
    half = wait_for(process, document_id, "chunks_done", 1)
    assert half["status"] == "embedding"
    assert half["chunks_done"] < half["chunks_total"]
    assert list_read(process, "document_parsed") == [kept["document_id"], document_id]

    process.kill()
    process = start(tmp_path)

    assert len(list_redis_servers(tmp_path)) == 1
    assert get_record(process, kept["document_id"])["status"] == "ready"
    record = wait_for(process, document_id, "status", "ready")
    assert record["chunks_done"] == record["chunks_total"] == half["chunks_total"]
    assert (record["pages_done"], record["pages_total"]) == (PAGES, PAGES)
    control = upload(process, content, "control.pdf", wait=300)
    assert control["chunks_indexed"] == record["chunks_total"]
    assert process.stop() == 0
    assert list_read(process, "document_parsed") == []
    assert list_read(process, "stored_parse_used") == [document_id, control["document_id"]]
    assert list_redis_servers(tmp_path) == []
    assert count_points(tmp_path, document_id) == record["chunks_total"]


def test_killed_right_after_an_upload_nothing_is_lost(start: Start, tmp_path: Path) -> None:
    """The answer 202 is the promise: a kill in the next instant changes nothing."""
    process = start(tmp_path)
    document_id = upload(process, make_pdf(["The lynx hunts at dusk."]), "lynx.pdf")["document_id"]
    process.kill()

    process = start(tmp_path)

    wait_for(process, document_id, "status", "ready")
    question = {"question": "When does the lynx hunt?"}
    answer = httpx.post(f"{process.url}/query", json=question, timeout=PATIENT_S).json()
    assert "dusk" in answer["answer"]
    assert process.stop() == 0


@pytest.mark.timeout(300)
def test_a_restart_keeps_every_document(start: Start, tmp_path: Path, scratch: Path) -> None:
    """Its terminal is closed (SIGHUP) and it is started again: the same list, the same answers, nothing left behind."""
    process = start(tmp_path)
    upload(process, make_pdf(["The stork builds on chimneys."]), "stork.pdf", wait=60)
    before = httpx.get(f"{process.url}/documents", timeout=PATIENT_S).json()
    assert process.stop(signal.SIGHUP) == 0
    assert list_redis_servers(tmp_path) == []
    assert list_redis_folders(scratch) == []

    process = start(tmp_path)

    assert httpx.get(f"{process.url}/documents", timeout=PATIENT_S).json() == before
    question = {"question": "Where does the stork build?"}
    assert "chimneys" in httpx.post(f"{process.url}/query", json=question, timeout=PATIENT_S).json()["answer"]

    # Without its Redis it could only answer 503 for ever: it ends, says why, and whoever runs it starts it anew.
    os.kill(list_redis_servers(tmp_path)[0], signal.SIGKILL)
    assert process.wait() == 1
    assert "redis_broke" in "".join(process.output)
    assert list_redis_folders(scratch) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_while_it_loads_leaves_nothing(tmp_path: Path, scratch: Path, number: signal.Signals) -> None:
    """While the models are imported: no traceback, the private Redis is ended, and nobody waits for the imports."""
    with subprocess.Popen(
        [sys.executable, "-m", "services.standalone"],
        cwd=ROOT,
        env=make_environment(tmp_path, {"TMPDIR": str(scratch), "PAGEWIRE_LOG_LEVEL": "WARNING"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "answers on" in line
        url = next(word for word in line.split() if word.startswith("http"))
        assert httpx.get(f"{url}/health", timeout=PATIENT_S).status_code == 200
        assert httpx.get(f"{url}/health/ready", timeout=PATIENT_S).json()["status"] == "loading"
        process.send_signal(number)
        try:
            said, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        finally:
            process.kill()

    assert (process.returncode, said) == (0, "")  # and so it has not said that it is ready
    assert list_redis_servers(tmp_path) == []
    assert list_redis_folders(scratch) == []


def test_a_model_that_there_is_not_is_one_clear_line(tmp_path: Path) -> None:
    """It names the model and the setting, is the process's last word, and the exit status is 1."""
    ended = run_briefly(tmp_path, PAGEWIRE_EMBEDDING_MODEL="/no/such/model", PAGEWIRE_LOG_LEVEL="ERROR")

    assert ended.returncode == 1
    assert re.fullmatch(r"pagewire: .*'/no/such/model'.* PAGEWIRE_EMBEDDING_MODEL.*\n", ended.stderr)
    assert list_redis_servers(tmp_path) == []


def run_briefly(data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "services.standalone"],
        cwd=ROOT,
        env=make_environment(data, environment),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )


def test_a_second_instance_on_the_folder_says_so_and_ends(standalone: StandaloneProcess) -> None:
    """It names the folder and the way out, starts no second redis-server, and the first goes on."""
    second = run_briefly(standalone.data)

    assert second.returncode == 1
    assert str(standalone.data) in second.stderr
    assert "PAGEWIRE_DATA_DIR" in second.stderr
    assert "Traceback" not in second.stderr
    assert len(list_redis_servers(standalone.data)) == 1
    assert httpx.get(f"{standalone.url}/health/ready", timeout=PATIENT_S).status_code == 200


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PAGEWIRE_LLM_PROVIDER": "skynet"}, "choose one of"),
        ({"PAGEWIRE_LLM_PROVIDER": "openai"}, "its API key is not set"),
        ({"PAGEWIRE_PORT": "99999"}, "PAGEWIRE_PORT"),
        ({"PAGEWIRE_MAX_UPLOAD_MB": "much"}, "PAGEWIRE_MAX_UPLOAD_MB"),
        ({"PAGEWIRE_LOG_LEVEL": "loud"}, "PAGEWIRE_LOG_LEVEL"),
        ({"PAGEWIRE_MIN_FREE_DISK_MB": "1000000000"}, "PAGEWIRE_MIN_FREE_DISK_MB"),
        ({"PAGEWIRE_LEASE_S": "abc"}, "PAGEWIRE_LEASE_S"),
        ({"PAGEWIRE_BLOB_URL": "foo"}, "PAGEWIRE_BLOB_URL"),
        ({"PAGEWIRE_DATA_DIR": "/dev/null/data"}, "PAGEWIRE_DATA_DIR"),
    ],
)
def test_wrong_settings_are_one_clear_line(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    """No traceback: the variable's name, what is wrong, and exit status 1."""
    ended = run_briefly(tmp_path, **variables)

    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "answers on" not in ended.stdout  # said before anything is promised


def test_a_port_that_is_taken_is_one_clear_line(standalone: StandaloneProcess, tmp_path: Path) -> None:
    """It says which address and how to choose another, and leaves no redis-server behind."""
    ended = run_briefly(tmp_path, PAGEWIRE_PORT=standalone.url.rsplit(":", 1)[1])

    assert ended.returncode == 1
    assert "PAGEWIRE_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list_redis_servers(tmp_path) == []
