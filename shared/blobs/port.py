"""The port of the blob store: the bytes of documents, and what was read of them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


def make_blob_key(tenant: str, sha256: str, blob: str) -> str:
    """Where a document's bytes lie.

    `blob` is the document's id, with another name behind it for each upload that replaced its bytes: so removing one
    document, or what it had before, can never take away bytes that were uploaded with the same content in the same
    moment.
    """
    return f"{tenant}/{sha256[:2]}/{sha256}/{blob}.pdf"


def make_blob_name(document_id: str, upload: str) -> str:
    """Return the name of the bytes that an upload brings to a document that is there."""
    return f"{document_id}.{upload}"


def parse_blob_name(blob: str) -> str:
    """Return the id of the document to which bytes of this name belong."""
    return blob.partition(".")[0]


def make_parses_folder(tenant: str, sha256: str) -> str:
    """Where lies what was read of these bytes, for all documents of the tenant that have them."""
    return f"{tenant}/{sha256[:2]}/{sha256}/parses"


def make_parse_key(tenant: str, sha256: str, parser_version: str) -> str:
    """Where the stored parse of these bytes lies that a version of the parser made."""
    return f"{make_parses_folder(tenant, sha256)}/{parser_version}"


def make_recognized_key(tenant: str, sha256: str, parser_version: str) -> str:
    """Where lies what a parse of these bytes that has not ended yet has read in pictures of pages."""
    return f"{make_parse_key(tenant, sha256, parser_version)}.recognized"


@dataclass(frozen=True)
class StoredBlob:
    """A blob in a list of all: its key, and when its bytes were last written, in seconds since 1970.

    The time is that of the store's clock, see `read_clock`. In a folder there may be blobs that were never finished:
    whoever wrote them was killed.
    """

    key: str
    modified: float
    is_unfinished: bool = False


class BlobStore(Protocol):
    """Stores whole files under keys. Raises DependencyUnavailable when the store does not answer."""

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file that is not written to any more, in place of what was there. Raises DiskFull.

        When the call returns, the bytes survive a power cut.
        """
        ...

    def open_as_file(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A local file with the blob's bytes, to be read only and only inside the block.

        Raises NotFound (`blob_missing`) when there is none.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob; one that is not there is fine."""
        ...

    async def put(self, key: str, content: bytes) -> None:
        """Store bytes in place of what was there, in one step: nobody ever reads half of them. Raises DiskFull.

        For what can be made anew: a power cut may take it.
        """
        ...

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Return a blob's bytes. Raises NotFound (`blob_missing`), and TooLarge when it has more than `max_bytes`."""
        ...

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return the bytes from `start` on, at most so many; fewer where the blob ends before.

        Raises NotFound (`blob_missing`).
        """
        ...

    async def delete_all(self, folder: str) -> None:
        """Remove all blobs whose keys begin with a folder and a slash; none is fine."""
        ...

    async def exists(self, key: str) -> bool:
        """Return whether there is such a blob."""
        ...

    async def read_clock(self) -> float:
        """Return the store's time in seconds since 1970: what `modified` is of bytes that are written now, to a second.

        The clock of whoever asks may be another one, and wrong.
        """
        ...

    def list_all(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """Yield all blobs of all tenants, some at a time; those that are there all the while come once."""
        ...
