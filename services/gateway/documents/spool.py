"""The spool: where uploads arrive, and how many and how large ones it takes at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.errors import ServiceError
from shared.spool_folder import Place, take_place
from shared.tasks import run_to_end

RETRY_AFTER_S = 5
"""About what an upload of 50 MB takes; whoever comes too early is told again."""


class Spool:
    """Gives each upload a file of its own, and promises no disk space twice, whoever else takes uploads in the folder.

    Parameters:
        max_uploads: how many may arrive here at the same time.
        min_free_bytes: what stays free on the folder's disk, all that is announced included.
    """

    def __init__(self, folder: Path, *, max_uploads: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._max_uploads = max_uploads
        self._min_free_bytes = min_free_bytes
        self._uploads = 0
        self._checking = asyncio.Lock()

    @asynccontextmanager
    async def reserve(self, size_bytes: int) -> AsyncIterator[Path]:
        """Yield a path for an upload of at most this size; what lies there is removed at the end.

        Raises ServiceError (`too_many_uploads`), and DiskFull when this and all other uploads might not fit.
        """
        if self._uploads >= self._max_uploads:
            raise ServiceError(
                "Too many uploads arrive at the same time. Send it again in some seconds.",
                code="too_many_uploads",
                retry_after=RETRY_AFTER_S,
            )
        place: Place | None = None

        async def take() -> None:
            nonlocal place
            # One after the other: of uploads that do not all fit, the first ones get in, and one thread waits, not all.
            async with self._checking:
                place = await asyncio.to_thread(take_place, self._folder, size_bytes, self._min_free_bytes)

        self._uploads += 1
        try:
            await run_to_end(take())  # also when its client has left: nobody else knows of the place
            assert place is not None  # noqa: S101 - or taking it would have raised
            yield place.path
        finally:
            self._uploads -= 1
            if place is not None:
                await asyncio.to_thread(place.release)
