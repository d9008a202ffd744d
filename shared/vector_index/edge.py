"""VectorIndex on Qdrant Edge: the Rust engine on a folder, in a process of its own that ends with this one.

The engine would otherwise hold the GIL, and with it the event loop, for up to seconds; and it maps its files into
memory, so that a full or failing disk ends the process that it is in. One process per folder.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from shared.disk import check_free_space
from shared.errors import DependencyUnavailable, ServiceError
from shared.tasks import end_tasks, run_to_end
from shared.vector_index.edge_folder import (
    find_current,
    get_deletion_mark,
    make_current,
    measure,
    name_next,
    remove_index,
    remove_others,
    remove_shard,
    sync_folder,
)
from shared.vector_index.edge_process import EdgeProcess
from shared.vector_index.port import IndexPoint, IndexQuery, IndexUpkeep, LegHits, StoredVersion

log = structlog.get_logger(__name__)

BATCH_POINTS = 64
SCROLL_POINTS = 256
FULL_BYTES = 1024 * 1024
"""With less free space than that a batch of points may not fit."""


class EdgeIndex:
    """A VectorIndex in a folder. `prepare` raises DependencyUnavailable when another process has the folder.

    Parameters:
        dimension: length of the dense vectors; None: as in the folder, which must be there.
        min_free_bytes: points are written only while that much of the disk is free: on a full disk the kernel would
            end the engine.
    """

    def __init__(self, folder: Path, dimension: int | None, *, min_free_bytes: int = 0) -> None:
        self._min_free_bytes = min_free_bytes
        self._folder = folder
        self.dimension = dimension
        self._shard = folder
        self._process: EdgeProcess | None = None
        self._successor: EdgeProcess | None = None
        """Is being written in a compaction; what is written meanwhile goes to both."""
        self._compacting = asyncio.Lock()
        self._starting = asyncio.Lock()
        """Who has it decides which process is ours."""
        self._restart: asyncio.Task[None] | None = None
        """One for all who wait: those who give up shall not end it for the others."""
        self._writing = asyncio.Lock()
        self._removed = False

    async def prepare(self) -> None:
        """Open the folder, or make it."""
        self._shard = await asyncio.to_thread(find_current, self._folder)
        self._process = await EdgeProcess.start(self._shard, self.dimension)
        await asyncio.to_thread(remove_others, self._shard)

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Write points in small batches, so that searches get their turn between them. Raises DiskFull."""
        for first in range(0, len(points), BATCH_POINTS):
            await asyncio.to_thread(check_free_space, self._folder, self._min_free_bytes)
            await self._write("write", tenant, points[first : first + BATCH_POINTS])
        await self._write("flush")

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run both legs."""
        hits: LegHits = await self._read("search", tenant, query)
        return hits

    async def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        """Return the vectors of those of these names that points have."""
        found: dict[str, list[float]] = await self._read("find_vectors", tenant, embedded)
        return found

    async def count(self, tenant: str, document_id: str | None = None) -> int:
        """Return how many points a tenant or one of its documents has."""
        return int(await self._read("count", tenant, document_id))

    async def delete_document(
        self, tenant: str, document_id: str, *, except_version: str | None = None, up_to_edition: int | None = None
    ) -> None:
        """Remove a document's points; only those of other versions, or of no later edition, where these are given."""
        await self._write("delete_document", tenant, document_id, except_version, up_to_edition)

    async def delete_version(self, tenant: str, document_id: str, version: str) -> None:
        """Remove the points of one version of a document."""
        await self._write("delete_version", tenant, document_id, version)

    async def list_versions(self) -> AsyncGenerator[Collection[StoredVersion], None]:
        """Yield which versions of which documents have points, a short call at a time."""
        after: str | None = None
        while True:
            versions, after = await self._read("list_versions", after, SCROLL_POINTS)
            yield versions
            if after is None:
                return

    async def compact(self) -> bool:
        """Write all points into a new shard, and remove the old one with what was deleted from it.

        Point by point, because deleted text is not only in the engine's segments but also in its write-ahead log.
        Searches and writes go on meanwhile; between two batches it rests as long as one takes. Whatever keeps it from
        its end leaves the old shard as it is. Raises DiskFull, as it needs as much space as the points take.
        """
        if self._compacting.locked() or not await asyncio.to_thread(get_deletion_mark(self._shard).exists):
            return False
        async with self._compacting:
            started = time.perf_counter()
            before = await asyncio.to_thread(measure, self._shard)
            await asyncio.to_thread(check_free_space, self._folder, self._min_free_bytes + before)
            await self._replace_shard()
            after = await asyncio.to_thread(measure, self._shard)
        seconds = round(time.perf_counter() - started, 3)
        log.info("index_compacted", seconds=seconds, bytes_before=before, bytes_after=after)
        return True

    async def find_left_parts(self) -> Sequence[IndexUpkeep]:
        """Return nothing: this is one part."""
        return ()

    async def check(self) -> None:
        """Raise DependencyUnavailable when the folder is not open, DiskFull where that is so for want of space."""
        async with self._telling_full_disk():
            await self._get_process()

    async def close(self) -> None:
        """Flush to disk and let go of the folder."""
        if self._restart is not None:
            await end_tasks(self._restart)
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    async def remove(self) -> None:
        """Release the engine, and remove the folder."""
        self._removed = True
        await self.close()
        await asyncio.to_thread(remove_index, self._folder)

    async def is_gone(self) -> bool:
        """Return whether the folder is removed, or about to be."""
        return self._removed

    async def _replace_shard(self) -> None:
        shard = name_next(self._shard)
        await asyncio.to_thread(remove_shard, shard)  # what a failed compaction may have left
        successor = self._successor = await EdgeProcess.start(shard, self.dimension)
        try:
            await self._copy_points(successor)
            await successor.call("flush")
            await run_to_end(self._hand_over(shard, successor))
        finally:
            if self._successor is not None:
                self._successor = None
                await run_to_end(_discard(shard, successor))

    async def _copy_points(self, successor: EdgeProcess) -> None:
        loop = asyncio.get_running_loop()
        after: str | None = None
        while True:
            started = loop.time()
            async with self._writing:  # no deletion comes between reading a point and writing it
                points, after = await self._read("copy_out", after)
                await successor.call("copy_in", points)
            if after is None:
                return
            await asyncio.sleep(loop.time() - started)

    async def _hand_over(self, shard: Path, successor: EdgeProcess) -> None:
        async with AsyncExitStack() as ending, self._writing, self._starting:
            await successor.call("flush")
            await asyncio.to_thread(make_current, shard)
            # From here on the new one has it, whatever fails: it must not be removed.
            old_shard = self._shard
            if self._process is not None:
                ending.push_async_callback(self._process.close)  # after the searches that it still has to do
            self._process, self._shard, self._successor = successor, shard, None
            await asyncio.to_thread(sync_folder, self._folder)
        await asyncio.to_thread(remove_shard, old_shard)

    async def _read(self, method: str, *arguments: Any) -> Any:
        return await (await self._get_process()).call(method, *arguments)

    async def _write(self, method: str, *arguments: Any) -> None:
        async with self._telling_full_disk(), self._writing:
            await run_to_end(self._write_to_both(method, arguments))

    @asynccontextmanager
    async def _telling_full_disk(self) -> AsyncIterator[None]:
        """Say of an engine that died, or does not start, on a full disk why."""
        try:
            yield
        except DependencyUnavailable:
            await asyncio.to_thread(check_free_space, self._folder, FULL_BYTES)
            raise

    async def _write_to_both(self, method: str, arguments: Sequence[Any]) -> None:
        try:
            await self._read(method, *arguments)
            if self._successor is not None:
                await self._successor.call(method, *arguments)
        except ServiceError:
            if self._successor is not None:
                await self._successor.kill()  # it may differ now, and must not take over
            raise

    async def _get_process(self) -> EdgeProcess:
        if self._process is not None and self._process.is_broken:
            self._restart = self._restart or asyncio.create_task(self._start_again())
            await asyncio.shield(self._restart)
        if self._process is None:
            raise DependencyUnavailable("The vector index is not open; try again in a few seconds.", retry_after=5)
        return self._process

    async def _start_again(self) -> None:
        try:
            async with self._starting:
                if self._process is not None and self._process.is_broken:
                    self._process = await EdgeProcess.start(self._shard, self.dimension)
        finally:
            self._restart = None


async def _discard(shard: Path, process: EdgeProcess) -> None:
    await process.kill()
    await asyncio.to_thread(remove_shard, shard)
