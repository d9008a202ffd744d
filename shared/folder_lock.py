"""One process per data folder, and a clear word for the second one."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUCCESSION_S = 15.0
"""How long a predecessor that was killed may take to write its data out."""


class FolderNotUsableError(Exception):
    """Another process works in the folder, or it cannot be written; the message says which."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[int]:
    """Holds the folder's lock; yields its descriptor, for child processes that must be gone before it is free.

    The lock is on the folder itself, as files in it may be deleted; `.lock` only notes whose it is. Raises
    FolderNotUsableError at once when its owner is alive. An owner that is dead may have left a child that is still
    writing; that is waited for.
    """
    note = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note.touch(mode=0o600)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _make_unusable(folder, error) from error
    try:
        _acquire(descriptor, folder, note)
        note.write_text(str(os.getpid()))
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, note: Path) -> None:
    deadline = time.monotonic() + SUCCESSION_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read_owner(note)
            if _is_alive(owner) or time.monotonic() > deadline:
                message = (
                    f"Another Pagewire (process {owner or 'unknown'}) already works in {folder.absolute()}."
                    " Stop it, or choose another folder with PAGEWIRE_DATA_DIR."
                )
                raise FolderNotUsableError(message) from None
            time.sleep(0.05)
        except OSError as error:  # some network file systems cannot lock folders
            raise _make_unusable(folder, error) from error
        else:
            return


def _make_unusable(folder: Path, error: OSError) -> FolderNotUsableError:
    return FolderNotUsableError(
        f"Cannot use the folder {folder.absolute()} ({error.strerror}); choose another with PAGEWIRE_DATA_DIR."
    )


def _read_owner(note: Path) -> str:
    try:
        return note.read_bytes()[:32].decode(errors="replace").strip()
    except FileNotFoundError:  # somebody deleted it
        return ""


def _is_alive(owner: str) -> bool:
    if not owner.isdigit():
        return False
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
