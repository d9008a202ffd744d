"""Receives one file of a multipart form: straight to disk, hashed on the way, never more than the limit.

Starlette's own form parser has no limit for files and only calls back when everything has arrived.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from services.gateway.api.disposition import clean_filename, read_filename
from services.gateway.api.links import FIELD as LINK_FIELD
from services.gateway.api.links import make_link_error
from services.gateway.documents.received_file import ReceivedFile
from shared.errors import InvalidRequest, TooLarge, UnprocessableRequest
from shared.settings import MEGABYTE

FIELD = "file"
BLOCK_BYTES = MEGABYTE // 4
"""How much is collected before a thread parses, hashes and writes it: four switches of threads for a megabyte."""
OVERHEAD_BYTES = MEGABYTE
"""What a form may hold besides the file."""
DRAIN_BYTES = 256 * MEGABYTE
"""How much of a body that is too large is still read, so that the client gets to see the answer."""
MAX_BOUNDARY_BYTES = 70
"""RFC 2046 allows no more."""
MAX_PARTS = 16
"""Our own page sends one; a form around it may have some fields. Unlimited, 8 MB of boundaries are a million parts."""
MAX_PART_HEADER_BYTES = 16 * 1024
"""The parser's default would refuse a form because of a long file name, which we only shorten."""

_HOW = "Send the PDF as multipart form data in the field `file`, e.g. curl -F file=@report.pdf."
_ONE = "Send one file per request: each is a document of its own."


def read_largest_size(headers: Mapping[str, str], max_bytes: int) -> int:
    """Return how many bytes a form will have at most: those that it announces, or else what is allowed.

    Raises TooLarge for more than that, before any of it is read: curl asks before it sends much.
    """
    allowed = max_bytes + OVERHEAD_BYTES
    announced = int(headers.get("content-length", allowed))
    if announced > allowed:
        raise _make_too_large(max_bytes)
    return announced


async def receive_file(
    body: AsyncIterator[bytes], headers: Mapping[str, str], path: Path, max_bytes: int
) -> ReceivedFile:
    """Write the form's file to `path`.

    Raises UnprocessableRequest (no such field, several files, or no form at all), InvalidRequest (a broken form) and
    TooLarge.
    """
    boundary = _read_boundary(headers.get("content-type", ""))
    received = 0
    pending = bytearray()
    with await asyncio.to_thread(path.open, "wb") as file:
        form = _Form(boundary, file, max_bytes)
        async for piece in body:
            received += len(piece)
            if form.is_too_large or received > max_bytes + OVERHEAD_BYTES:
                form.is_too_large = True
                if received > DRAIN_BYTES:
                    break
                continue
            pending += piece
            # Blocks of one size, so that it is of no consequence how the network has cut the body.
            while len(pending) >= BLOCK_BYTES:
                block, pending = pending[:BLOCK_BYTES], pending[BLOCK_BYTES:]
                await asyncio.to_thread(form.feed, block)
        if not form.is_too_large:
            await asyncio.to_thread(form.finish, pending)
    if form.is_too_large:
        raise _make_too_large(max_bytes)
    return form.describe(path)


def _make_too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The file is larger than {max_bytes // MEGABYTE} MB. Split it, or save a smaller copy.")


def _read_boundary(content_type: str) -> str:
    media_type, options = parse_options_header(content_type)
    boundary: str = options.get("boundary", "")
    if media_type != "multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise UnprocessableRequest(_HOW, code="missing_file")
    return boundary


class _Form:
    """Takes blocks of a form and writes the file in it; runs in a thread."""

    def __init__(self, boundary: str, file: IO[bytes], max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._filename: str | None = None
        self._offered: str | None = None
        self._is_taken = False
        self._names_link = False
        self.is_too_large = False
        self._parser = PushMultipartParser(
            boundary.encode("latin-1"),
            max_header_size=MAX_PART_HEADER_BYTES,
            max_segment_count=MAX_PARTS,
            header_charset="latin-1",
            strict=True,  # no continued headers, each of which costs a copy, and no preamble of more than a block
        )

    def feed(self, block: bytes | bytearray) -> None:
        """Parse a block of the form."""
        try:
            for event in self._parser.parse(block):
                if isinstance(event, MultipartSegment):
                    self._begin_part(event)
                elif event is not None:
                    self._add_data(event)
        except ParserLimitReached as error:
            message = f"The form has more than {MAX_PARTS} parts, or a part with too many headers. {_HOW}"
            raise InvalidRequest(message, code="form_too_complex") from error
        except MultipartError as error:
            if not self._is_complete():  # what follows the end means nothing (RFC 2046), but a strict parser minds it
                raise InvalidRequest(f"The form cannot be read. {_HOW}", code="broken_form") from error

    def finish(self, rest: bytes | bytearray) -> None:
        """Parse what is left, and check that the form is complete."""
        if rest:
            self.feed(rest)
        if not self._is_complete():
            raise InvalidRequest("The upload broke off; send it again.", code="broken_form")
        self._file.flush()

    def describe(self, path: Path) -> ReceivedFile:
        """Return what has arrived. Raises UnprocessableRequest when the field was missing."""
        if self._filename is None:
            raise make_link_error() if self._names_link else UnprocessableRequest(_HOW, code="missing_file")
        return ReceivedFile(path, self._filename, self._digest.hexdigest(), self._size, self._head)

    def _is_complete(self) -> bool:
        """Close the parser, and return whether it has seen the form's end."""
        try:
            self._parser.close()
        except MultipartError:
            return False
        return True

    def _begin_part(self, part: MultipartSegment) -> None:
        self._is_taken = False
        self._names_link = self._names_link or part.name == LINK_FIELD
        self._offered = read_filename(part) if part.name == FIELD else None
        if self._offered:
            self._take(self._offered)

    def _take(self, filename: str) -> None:
        """From here on the bytes of this part are the file."""
        if self._filename is not None:
            raise UnprocessableRequest(_ONE, code="several_files")
        self._filename = clean_filename(filename)
        self._is_taken = True

    def _add_data(self, data: bytes) -> None:
        if self._offered is None or self.is_too_large:
            return
        if not self._is_taken:
            # Without a name it is a file only if it has bytes: browsers send such a part when nothing was chosen.
            self._take(self._offered)
        self._size += len(data)
        if self._size > self._max_bytes:
            self.is_too_large = True
            return
        if len(self._head) < 1024:
            self._head += data[: 1024 - len(self._head)]
        self._digest.update(data)
        self._file.write(data)
