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

    Raises FolderNotUsableError at once when its owner is alive. An owner that is dead may have left a child that is
    still writing; that is waited for.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = (
            f"Cannot use the folder {folder.absolute()} ({error.strerror}); choose another with PAGEWIRE_DATA_DIR."
        )
        raise FolderNotUsableError(message) from error
    try:
        _acquire(descriptor, folder)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + SUCCESSION_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            if _is_alive(owner) or time.monotonic() > deadline:
                message = (
                    f"Another Pagewire (process {owner or 'unknown'}) already works in {folder.absolute()}."
                    " Stop it, or choose another folder with PAGEWIRE_DATA_DIR."
                )
                raise FolderNotUsableError(message) from None
            time.sleep(0.05)
        else:
            return


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
