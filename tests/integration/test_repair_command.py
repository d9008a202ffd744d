"""The commands that report and repair orphans, as people run them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.identifiers import make_document_id
from tests.standalone_process import ROOT, make_environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["services.standalone_repair", "services.ingest.repair"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a command on a data folder; that of the services on the session's Redis."""
    environment = make_environment(tmp_path, {})
    if request.param == "services.ingest.repair":
        environment["PAGEWIRE_REDIS_URL"] = request.getfixturevalue("redis_url")

    def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", request.param, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run_command


def test_the_command_lists_and_then_repairs(run: Run, tmp_path: Path) -> None:
    """Without `--repair` nothing is changed; the exit status says whether something is left."""
    path = tmp_path / "blobs" / "t" / "aa" / "aaaa" / f"{make_document_id()}.pdf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"%PDF-")
    os.utime(path, (0, 0))

    listed = run()
    assert (listed.returncode, path.name in listed.stdout, path.exists()) == (1, True, True), listed.stderr
    repaired = run("--repair")
    assert (repaired.returncode, path.exists()) == (0, False), repaired.stderr
    again = run()
    assert (again.returncode, again.stdout) == (0, "nothing to repair\n"), again.stderr


def test_stores_that_are_away_are_one_clear_line(tmp_path: Path) -> None:
    """Not a traceback; nothing is reported that was not looked at."""
    environment = make_environment(tmp_path, {"PAGEWIRE_REDIS_URL": "redis://127.0.0.1:9/0"})
    command = [sys.executable, "-m", "services.ingest.repair"]
    (tmp_path / "blobs" / "t" / "aa").mkdir(parents=True)

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
