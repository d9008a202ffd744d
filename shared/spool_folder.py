"""The folder in which uploads arrive, shared by all processes that take them: whose files are whose, and how large.

A file's name says how many bytes it may get; who writes it holds its lock (flock), which the kernel frees with the
process, however that ends. So each process knows what the others have yet to write, and what nobody writes any more.

All functions block: call them in a thread.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from shared.disk import check_free_space

COPIES = 2
"""How often an upload's bytes may come to lie on the disk: itself, and what is made of it (a copy where the blobs
cannot share the file, then its pages, its points and their logs)."""
UNNAMED_S = 24 * 3600
"""Age at which a file of another name than ours, perhaps of an older gateway, is certainly written no more."""

_NAME = re.compile(r"[0-9a-f]{32}\.(\d+)\.upload")


@dataclass(frozen=True)
class Place:
    """A file that is being received, and the descriptor that holds its lock."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Remove the file and let go of its lock."""
        try:
            self.path.unlink(missing_ok=True)
        finally:
            os.close(self.descriptor)


def take_place(folder: Path, size_bytes: int, min_free_bytes: int) -> Place:
    """Reserve space for an upload of at most so many bytes, and make its file. Raise DiskFull where it might not fit.

    It fits when this and all others that arrive in the folder, of whatever process, can have all that they may need.
    """
    with _alone_in(folder):
        remove_abandoned(folder)
        promised = sum(_count_missing(path) for path in folder.iterdir())
        check_free_space(folder, min_free_bytes + promised + COPIES * size_bytes)
        path = folder / f"{uuid4().hex}.{size_bytes}.upload"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            Place(path, descriptor).release()
            raise
        return Place(path, descriptor)


def prepare_folder(folder: Path) -> Path:
    """Return the folder, without what processes that were killed have left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        remove_abandoned(folder)
    return folder


def find_abandoned(folder: Path) -> list[Path]:
    """Return the files that nobody writes any more; none where there is no folder."""
    try:
        with _alone_in(folder):
            return [path for path in folder.iterdir() if _is_abandoned(path)]
    except FileNotFoundError:
        return []


def remove_abandoned(folder: Path) -> None:
    """Remove the files that nobody writes any more."""
    for path in folder.iterdir():
        if _is_abandoned(path):
            path.unlink(missing_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep all others from taking a place meanwhile: no file is seen between its making and its lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_abandoned(path: Path) -> bool:
    with suppress(FileNotFoundError):  # its writer has just removed it
        if _NAME.fullmatch(path.name) is None:
            return path.stat().st_mtime <= time.time() - UNNAMED_S
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True
    return False


def _count_missing(path: Path) -> int:
    """Return how many bytes may yet be written for a file; what it has is free no longer."""
    name = _NAME.fullmatch(path.name)
    if name is None:
        return 0
    try:
        return max(0, COPIES * int(name[1]) - path.stat().st_size)
    except FileNotFoundError:
        return 0
