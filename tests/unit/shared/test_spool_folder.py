"""The spool's folder knows by itself whose files are written and whose are not, also of other processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.errors import DiskFull
from shared.spool_folder import COPIES, UNNAMED_S, find_abandoned, prepare_folder, take_place

MEGABYTE = 1024 * 1024


@contextmanager
def run_receiver(folder: Path, size: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun to receive an upload of this size."""
    script = (
        "import sys; from pathlib import Path; from shared.spool_folder import take_place;"
        f"take_place(Path({str(folder)!r}), {size}, 0).path.write_bytes(b'%PDF-'); print(1, flush=True);"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_what_a_killed_process_was_receiving_is_removed_at_once(tmp_path: Path) -> None:
    """As long as it lives its upload is left alone; neither its space nor its place counts after its end."""
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    large = free // COPIES - 50 * MEGABYTE  # nearly all of the disk
    with run_receiver(tmp_path, large) as process:
        prepare_folder(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        assert find_abandoned(tmp_path) == []
        with pytest.raises(DiskFull):
            take_place(tmp_path, large // 2, 0)
        process.kill()
        process.wait()
        assert find_abandoned(tmp_path) == list(tmp_path.iterdir())

        place = take_place(tmp_path, large // 2, 0)
        assert list(tmp_path.iterdir()) == [place.path]
        place.release()
    assert list(tmp_path.iterdir()) == []


def test_files_of_other_names_go_when_they_are_old(tmp_path: Path) -> None:
    """An older gateway, which takes no locks, may be receiving them."""
    old, young = tmp_path / "old.upload", tmp_path / "young.upload"
    for path, age in ((old, UNNAMED_S + 60), (young, 60)):
        path.write_bytes(b"%PDF-")
        os.utime(path, (time.time() - age,) * 2)

    prepare_folder(tmp_path)

    assert list(tmp_path.iterdir()) == [young]


def test_a_folder_that_is_not_there_has_nothing_abandoned(tmp_path: Path) -> None:
    """It is made when it is prepared."""
    assert find_abandoned(tmp_path / "spool") == []
    assert prepare_folder(tmp_path / "spool").is_dir()


def test_a_file_that_its_writer_removes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that was listed is gone when it is looked at."""
    gone = tmp_path / f"{'0' * 32}.7.upload"
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([gone]))

    take_place(tmp_path, 1, 0).release()
