"""The port of the blob store: the bytes of documents."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol


def make_blob_key(tenant: str, sha256: str, document_id: str) -> str:
    """Where a document's bytes lie.

    The document's id is part of the key so that removing one document can never take away the bytes of another
    that was uploaded with the same content in the same moment.
    """
    return f"{tenant}/{sha256[:2]}/{sha256}/{document_id}.pdf"


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
