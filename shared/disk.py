"""Keeps some of the disk free: parts of us write through memory maps, and on a full disk the kernel kills who does."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import DiskFull

_FULL = "The server has no space left for documents. Free some on its disk, then try again."


def check_free_space(folder: Path, min_free_bytes: int) -> None:
    """Raises DiskFull when less than that is free where the folder is. Blocks: call it in a thread."""
    if shutil.disk_usage(folder).free < min_free_bytes:
        raise DiskFull(_FULL)


@contextmanager
def telling_full_disk() -> Iterator[None]:
    """Turn the errors by which the system says that a disk or a quota is full into DiskFull."""
    try:
        yield
    except OSError as error:
        if is_full_disk(error):
            raise DiskFull(_FULL) from error
        raise


def is_full_disk(error: OSError) -> bool:
    """Return whether an error means a full disk or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
