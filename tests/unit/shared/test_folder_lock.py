"""One process per data folder, whatever is deleted in it."""

import fcntl
import os
from pathlib import Path

import pytest

from shared import folder_lock
from shared.folder_lock import FolderNotUsableError, lock_folder


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    """At once, as the first one is alive; when it has left, the folder is free."""
    folder, said = tmp_path / "data", f"process {os.getpid()}"
    with lock_folder(folder), pytest.raises(FolderNotUsableError, match=said), lock_folder(folder):
        pass
    with lock_folder(tmp_path / "data"):
        pass


def test_deleting_the_note_does_not_free_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the owner's name is lost."""
    monkeypatch.setattr(folder_lock, "SUCCESSION_S", 0.1)
    with lock_folder(tmp_path):
        (tmp_path / ".lock").unlink()
        with pytest.raises(FolderNotUsableError, match="process unknown"), lock_folder(tmp_path):
            pass


def test_a_child_that_is_still_writing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is dead, but who inherited its lock is not: refused in the end, and free once it is gone."""
    monkeypatch.setattr(folder_lock, "SUCCESSION_S", 0.1)
    heir = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(heir, fcntl.LOCK_EX)
    (tmp_path / ".lock").write_text("999999999")
    with pytest.raises(FolderNotUsableError), lock_folder(tmp_path):
        pass
    os.close(heir)
    with lock_folder(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    """It names the folder and the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderNotUsableError, match="PAGEWIRE_DATA_DIR"), lock_folder(tmp_path / "file" / "data"):
        pass
