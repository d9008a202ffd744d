"""The spool: the folder in which uploads arrive, and how many and how large ones it takes at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

from shared.disk import check_free_space
from shared.errors import ServiceError

RETRY_AFTER_S = 5
"""About what an upload of 50 MB takes; whoever comes too early is told again."""


class Spool:
    """Gives each upload a file of its own, and promises no disk space twice.

    Parameters:
        max_uploads: how many may arrive at the same time.
        min_free_bytes: what stays free on the folder's disk, all that is announced included.
    """

    def __init__(self, folder: Path, *, max_uploads: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._max_uploads = max_uploads
        self._min_free_bytes = min_free_bytes
        self._sizes: dict[Path, int] = {}
        self._checking = asyncio.Lock()

    @asynccontextmanager
    async def reserve(self, size_bytes: int) -> AsyncIterator[Path]:
        """Yield a path for an upload of at most this size; what lies there is removed at the end.

        Raises ServiceError (`too_many_uploads`), and DiskFull when this and all other uploads might not fit.
        """
        if len(self._sizes) >= self._max_uploads:
            raise ServiceError(
                "Too many uploads arrive at the same time. Send it again in some seconds.",
                code="too_many_uploads",
                retry_after=RETRY_AFTER_S,
            )
        path = self._folder / f"{uuid4().hex}.upload"
        self._sizes[path] = 0
        try:
            # One after the other: of uploads that do not all fit, the first ones get in.
            async with self._checking:
                await asyncio.to_thread(self._check_space, size_bytes)
                self._sizes[path] = size_bytes
            yield path
        finally:
            del self._sizes[path]
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _check_space(self, size_bytes: int) -> None:
        """Count what others have yet to write; what they have written is no longer free."""
        missing = sum(max(0, size - _measure(path)) for path, size in list(self._sizes.items()))
        check_free_space(self._folder, self._min_free_bytes + missing + size_bytes)


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def prepare_spool(folder: Path, abandoned_s: float) -> Path:
    """Return the folder in which uploads arrive, without what a gateway that was killed has left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    latest = time.time() - abandoned_s
    for left in folder.iterdir():
        with suppress(FileNotFoundError):  # another gateway was quicker
            if left.stat().st_mtime <= latest:
                left.unlink()
    return folder
