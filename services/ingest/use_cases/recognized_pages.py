"""Keeps what is read in pictures of a PDF's pages as it comes: that takes seconds a page, and workers die."""

import asyncio
import hashlib
from typing import Self

import structlog

from services.ingest.domain.stored_parse import MAX_PARSE_BYTES
from shared.blobs.port import BlobStore
from shared.errors import NotFound, ServiceError, TooLarge

log = structlog.get_logger(__name__)

KEEP_S = 10.0
"""Between two writings. As much of the reading is done once more by a worker that takes over."""
KEEP_SHARE = 0.1
"""Of the time so far, where that is more. Each writes all: together they write ten times what there is at the end."""
_DIGEST_BYTES = hashlib.sha256().digest_size


class RecognizedPages:
    """What was read in pictures of a PDF's pages, in one blob, from which a worker that takes over goes on.

    The blob begins with the SHA-256 of the rest: of what is damaged nothing is believed, and what is read anew replaces
    it.
    """

    def __init__(self, key: str, blobs: BlobStore, content: bytes) -> None:
        self._key, self._blobs = key, blobs
        self._parts = [content]
        self._began = self._kept_at = asyncio.get_running_loop().time()
        self._unkept = False

    @classmethod
    async def find(cls, key: str, blobs: BlobStore) -> Self:
        """Begin with what an earlier worker has kept."""
        try:
            content = await asyncio.to_thread(_open, await blobs.get(key, MAX_PARSE_BYTES))
            log.info("recognized_pages_used", key=key, bytes=len(content))
        except NotFound:
            content = b""
        except (TooLarge, ValueError):
            content = b""
            log.warning("recognized_pages_damaged", key=key)
        return cls(key, blobs, content)

    @property
    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)

    def add(self, content: bytes) -> None:
        """Take what was read in a page; mostly nothing."""
        if content:
            self._parts.append(content)
            self._unkept = True

    def is_due(self) -> bool:
        """Whether it is to be kept now."""
        now = asyncio.get_running_loop().time()
        return self._unkept and now - self._kept_at >= max(KEEP_S, KEEP_SHARE * (now - self._began))

    async def keep(self) -> None:
        """Store it. Ask for the lease just before, as with the parse. What does not work costs only time, later."""
        try:
            await self._blobs.put(self._key, await asyncio.to_thread(_seal, self.content))
        except ServiceError as error:
            log.warning("recognized_pages_not_kept", key=self._key, code=error.error_code)
        self._unkept = False
        self._kept_at = asyncio.get_running_loop().time()


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def _open(stored: bytes) -> bytes:
    """Return the content. Raise ValueError where it is not what was stored."""
    content = stored[_DIGEST_BYTES:]
    if _seal(content) != stored:
        raise ValueError("damaged")
    return content
