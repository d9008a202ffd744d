"""A BlobStore in memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.blobs.port import StoredBlob
from shared.errors import NotFound, TooLarge


class MemoryBlobStore:
    """Keeps bytes in `blobs`, by key."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file."""
        self.blobs[key] = await asyncio.to_thread(path.read_bytes)

    @asynccontextmanager
    async def open_as_file(self, key: str) -> AsyncIterator[Path]:
        """A file with the blob's bytes."""
        if key not in self.blobs:
            raise NotFound("The document's file is not in the store.", code="blob_missing")
        folder = await asyncio.to_thread(TemporaryDirectory)
        try:
            path = Path(folder.name) / "blob"
            await asyncio.to_thread(path.write_bytes, self.blobs[key])
            yield path
        finally:
            await asyncio.to_thread(folder.cleanup)

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        self.blobs.pop(key, None)

    async def put(self, key: str, content: bytes) -> None:
        """Store bytes."""
        self.blobs[key] = content

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Return a blob's bytes."""
        if key not in self.blobs:
            raise NotFound("There is no such blob.", code="blob_missing")
        if len(self.blobs[key]) > max_bytes:
            raise TooLarge("The blob has more bytes.")
        return self.blobs[key]

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of a blob's bytes."""
        if key not in self.blobs:
            raise NotFound("There is no such blob.", code="blob_missing")
        return self.blobs[key][start : start + length]

    async def delete_all(self, folder: str) -> None:
        """Remove all blobs below a folder."""
        for key in [key for key in self.blobs if key.startswith(f"{folder}/")]:
            del self.blobs[key]

    async def exists(self, key: str) -> bool:
        """Return whether there is such a blob."""
        return key in self.blobs

    async def read_clock(self) -> float:
        """Return the time at which all blobs seem to be written."""
        return 0

    async def list_all(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """Yield all blobs; when they were written is not known."""
        yield [StoredBlob(key, 0) for key in self.blobs]
