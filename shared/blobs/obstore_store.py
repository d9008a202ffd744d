"""The blob store on obstore: in a folder or an S3-compatible bucket, by one async API."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlparse
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.blobs.port import StoredBlob
from shared.disk import is_full_disk, telling_full_disk
from shared.errors import DependencyUnavailable, NotFound, TooLarge
from shared.settings import MEGABYTE

PART_BYTES = 5 * MEGABYTE
"""The least that S3 takes as a part of an object."""
_UNFINISHED = "#"
"""In the names of blobs that are being written, of obstore's and of ours."""
_CLOCK = "clock"
"""The folder of what is written to learn a bucket's time. Keys of blobs have more parts."""
COPIES_AT_ONCE = 4
"""Each has a part or two in memory. More at once are no faster, and 200 uploads of 50 MB would hold gigabytes."""


class ObstoreBlobStore:
    """A BlobStore in the folder or the bucket that an URL names."""

    def __init__(self, url: str) -> None:
        parsed = urlparse(url)
        self._folder: Path | None = None
        self._store: ObjectStore
        self._copying = asyncio.Semaphore(COPIES_AT_ONCE)
        if parsed.scheme == "file":
            self._folder = Path(unquote(parsed.path))
            self._folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(self._folder, mkdir=True, automatic_cleanup=True)  # of empty folders, on delete
        else:
            # Plain HTTP where AWS_ENDPOINT_URL says http://, as stores inside a private network have it.
            self._store = from_url(url, client_options={"timeout": "30s", "connect_timeout": "5s", "allow_http": True})

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file that is not written to any more; when the call returns, the bytes survive a power cut.

        In a folder on the same disk the blob is the file itself under a second name: nothing is copied, and no space
        is needed. Raises DiskFull.
        """
        try:
            with telling_full_disk(), _telling_system_errors():
                if self._folder is None or not await asyncio.to_thread(_link, path, self._folder / key):
                    async with self._copying:
                        await obstore.put_async(self._store, key, path, chunk_size=PART_BYTES, max_concurrency=1)
                if self._folder is not None:
                    await asyncio.to_thread(_sync_to_disk, self._folder / key, self._folder)
        except (ObstoreError, OSError) as error:
            raise DependencyUnavailable("The document store does not take files now; try again.") from error

    @asynccontextmanager
    async def open_as_file(self, key: str) -> AsyncIterator[Path]:
        """A local file with the blob's bytes, to be read only and only inside the block.

        In a folder it is the blob itself: no copy, and nothing to leave behind. Raises NotFound when there is none.
        """
        if self._folder is not None:
            path = self._folder / key
            if not await asyncio.to_thread(path.is_file):
                raise _make_missing()
            yield path
            return
        folder = await asyncio.to_thread(TemporaryDirectory, prefix="pagewire-")
        try:
            path = Path(folder.name) / "blob"
            await self._download(key, path)
            yield path
        finally:
            await asyncio.to_thread(folder.cleanup)

    async def _download(self, key: str, path: Path) -> None:
        try:
            result = await obstore.get_async(self._store, key)
            with await asyncio.to_thread(path.open, "wb") as file:
                async for piece in result.stream(min_chunk_size=MEGABYTE):
                    await asyncio.to_thread(file.write, bytes(piece))
        except FileNotFoundError as error:
            raise _make_missing() from error
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error

    async def put(self, key: str, content: bytes) -> None:
        """Store bytes in place of what was there, in one step. Raises DiskFull."""
        try:
            with telling_full_disk(), _telling_system_errors():
                await obstore.put_async(self._store, key, content, use_multipart=False)
        except (ObstoreError, OSError) as error:
            raise DependencyUnavailable("The document store takes nothing now; try again.") from error

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Return a blob's bytes. Raises NotFound, and TooLarge when there are more than `max_bytes`."""
        try:
            result = await obstore.get_async(self._store, key)
            if result.meta["size"] > max_bytes:
                raise TooLarge(f"The blob has {result.meta['size']} bytes, the limit is {max_bytes}.")
            return bytes(await result.bytes_async())
        except FileNotFoundError as error:
            raise _make_missing() from error
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return the bytes from `start` on, at most so many; fewer where the blob ends before. Raises NotFound."""
        try:
            return bytes(await obstore.get_range_async(self._store, key, start=start, length=length))
        except FileNotFoundError as error:
            raise _make_missing() from error
        except ObstoreError as error:
            if start >= await self._find_size(key):
                return b""  # which all stores refuse, each in its own words
            raise DependencyUnavailable("The document store does not answer now; try again.") from error

    async def _find_size(self, key: str) -> int:
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError as error:
            raise _make_missing() from error
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error

    async def delete(self, key: str) -> None:
        """Removes a blob, also an unfinished one; one that is not there is fine."""
        if self._folder is not None and _UNFINISHED in key:
            await asyncio.to_thread((self._folder / key).unlink, missing_ok=True)
            return
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error

    async def delete_all(self, folder: str) -> None:
        """Remove all blobs whose keys begin with a folder and a slash; none is fine."""
        try:
            found = await obstore.list(self._store, folder).collect_async()
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error
        for blob in found:
            await self.delete(blob["path"])

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob."""
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error
        return True

    async def read_clock(self) -> float:
        """The store's time in seconds since 1970, to a second: of a folder that is touched, or of an empty object.

        Whoever is killed in this moment leaves the object.
        """
        key = f"{_CLOCK}/{uuid4().hex}"
        try:
            if self._folder is not None:
                return await asyncio.to_thread(_read_clock, self._folder)
            await obstore.put_async(self._store, key, b"", use_multipart=False)
            written = (await obstore.head_async(self._store, key))["last_modified"]
            await obstore.delete_async(self._store, key)
        except (ObstoreError, OSError) as error:
            raise DependencyUnavailable("The document store does not tell its time now; try again.") from error
        return written.timestamp()

    async def list_all(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """All blobs of all tenants, some at a time."""
        if self._folder is not None:
            for part in await asyncio.to_thread(_list_parts, self._folder):
                yield await asyncio.to_thread(_list_files, part, self._folder)
            return
        try:
            async for found in obstore.list(self._store):
                yield [StoredBlob(meta["path"], meta["last_modified"].timestamp()) for meta in found]
        except ObstoreError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.") from error


def _read_clock(folder: Path) -> float:
    os.utime(folder)  # to what its file system takes for now: of one in the network, the server
    return folder.stat().st_mtime


def _list_parts(root: Path) -> list[Path]:
    """The folders of the first level below the tenants': 256 of each tenant at most."""
    return sorted(part for tenant in root.iterdir() if tenant.is_dir() for part in tenant.iterdir() if part.is_dir())


def _list_files(part: Path, root: Path) -> list[StoredBlob]:
    blobs = []
    for folder, _, names in os.walk(part):
        for path in (Path(folder) / name for name in names):
            with suppress(FileNotFoundError):  # it was deleted in this moment
                key, modified = path.relative_to(root).as_posix(), path.stat().st_mtime
                blobs.append(StoredBlob(key, modified, is_unfinished=_UNFINISHED in key))
    return blobs


@contextmanager
def _telling_system_errors() -> Iterator[None]:
    """Turn the errors in which obstore passes on one of the system, with its number in the text only, into OSError."""
    try:
        yield
    except ObstoreError as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
        raise


def _make_missing() -> NotFound:
    return NotFound("The document's file is not in the store.", code="blob_missing")


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name, in place of what has it; return False where that cannot be, as between two disks."""
    partial = target.with_name(
        f"{target.name}{_UNFINISHED}{uuid4().int}"
    )  # a name that obstore, too, takes for an unfinished blob
    while True:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.hardlink_to(source)
            partial.replace(target)  # in one step: a worker may be opening the bytes that were there
        except FileNotFoundError:
            source.stat()  # it is there, so the folder is gone: the last blob in it was deleted
        except OSError as error:
            if is_full_disk(error):
                raise
            return False
        else:
            partial.unlink(missing_ok=True)  # the target was this very file, which `replace` leaves as it is
            return True


def _sync_to_disk(path: Path, root: Path) -> None:
    """Flushes a file and the folders above it, up to the store's root: obstore itself does not fsync."""
    current = path
    while True:
        descriptor = os.open(current, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if current == root:
            return
        current = current.parent
