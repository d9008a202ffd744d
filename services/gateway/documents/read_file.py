"""Reads a document's PDF as it was uploaded, piece by piece."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from services.gateway.documents.accept_document import DocumentDependencies
from shared.blobs.port import BlobStore, make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable, NotFound

PIECE_BYTES: Final = 256 * 1024
"""What is in memory of a file that is sent, beside what the connection holds."""
PIECE_S: Final = 15.0
"""Seconds for a piece; a store far away needs tenths of one."""


@dataclass(frozen=True)
class StoredFile:
    """Where a document's PDF lies, and what its record says of it."""

    key: str
    filename: str
    size_bytes: int
    sha256: str


async def find_file(tenant: str, document_id: str, deps: DocumentDependencies) -> StoredFile:
    """Return where a document's file is to be, which is not looked up. Raises NotFound for an unknown document."""
    while True:
        record = await deps.registry.get(tenant, document_id)
        found = await deps.registry.find_blobs(DocumentJob(tenant=tenant, document_id=document_id))
        for name in found.named:
            if name.sha256 == record.sha256:  # else another version was published between the two calls
                key = make_blob_key(tenant, name.sha256, name.blob)
                return StoredFile(key, record.filename, record.size_bytes, record.sha256)


async def read_file(file: StoredFile, start: int, end: int, blobs: BlobStore) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from `start` up to `end`, exclusive.

    Raises:
        NotFound: they are gone (`blob_missing`), or fewer than the record says (`blob_damaged`).
        DependencyUnavailable: a piece does not come in time.
    """
    while start < end:
        wanted = min(PIECE_BYTES, end - start)
        try:
            async with asyncio.timeout(PIECE_S):
                piece = await blobs.get_range(file.key, start, wanted)
        except TimeoutError as error:
            raise DependencyUnavailable("The document store does not answer now; try again.", retry_after=5) from error
        if len(piece) < wanted:
            raise NotFound("The store's copy of the document is damaged. Upload the file again.", code="blob_damaged")
        yield piece
        start += wanted
