"""Receives one file of a multipart form: straight to disk, hashed on the way, never more than the limit.

Starlette's own form parser has no limit for files and only calls back when everything has arrived.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.gateway.api.disposition import clean_filename, read_disposition
from services.gateway.documents.received_file import ReceivedFile
from shared.errors import InvalidRequest, TooLarge, UnprocessableRequest
from shared.settings import MEGABYTE

FIELD = "file"
WRITE_BYTES = MEGABYTE
"""How much is collected before a thread hashes and writes it."""
OVERHEAD_BYTES = MEGABYTE
"""What a form may hold besides the file."""
DRAIN_BYTES = 256 * MEGABYTE
"""How much of a body that is too large is still read, so that the client gets to see the answer."""
MAX_BOUNDARY_BYTES = 70
"""RFC 2046 allows no more."""
MAX_PART_HEADER_BYTES = 16 * 1024
"""The parser's own limit would refuse a form because of a long file name, which we only shorten."""

_HOW = "Send the PDF as multipart form data in the field `file`, e.g. curl -F file=@report.pdf."
_ONE = "Send one file per request: each is a document of its own."


async def receive_file(
    body: AsyncIterator[bytes], headers: Mapping[str, str], path: Path, max_bytes: int
) -> ReceivedFile:
    """Writes the form's file to `path`.

    Raises UnprocessableRequest (no such field, several files, or no form at all), InvalidRequest (a broken form) and
    TooLarge.
    """
    boundary = _read_boundary(headers.get("content-type", ""))
    # Said at once where it can be: curl asks before it sends much.
    if int(headers.get("content-length", 0)) > max_bytes + OVERHEAD_BYTES:
        raise _make_too_large(max_bytes)
    received = 0
    pending = bytearray()
    with await asyncio.to_thread(path.open, "wb") as file:
        sink = _Sink(boundary, file, max_bytes)
        async for piece in body:
            received += len(piece)
            if received > max_bytes + OVERHEAD_BYTES:
                sink.too_large = True
            if sink.too_large:
                pending.clear()
                if received > DRAIN_BYTES:
                    break
                continue
            pending += piece
            if len(pending) >= WRITE_BYTES:
                await asyncio.to_thread(sink.feed, bytes(pending))
                pending.clear()
        if not sink.too_large:
            await asyncio.to_thread(sink.finish, bytes(pending))
    if sink.too_large:
        raise _make_too_large(max_bytes)
    return sink.describe(path)


def _make_too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The file is larger than {max_bytes // MEGABYTE} MB. Split it, or save a smaller copy.")


def _read_boundary(content_type: str) -> bytes:
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary or len(boundary) > MAX_BOUNDARY_BYTES:
        raise UnprocessableRequest(_HOW, code="missing_file")
    return boundary


class _Sink:
    """Takes the parser's callbacks; runs in a thread."""

    def __init__(self, boundary: bytes, file: IO[bytes], max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._filename: str | None = None
        self._boundary = boundary
        self._begun = False
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._offered: str | None = None
        self._wanted = False
        self._ended = False
        self.too_large = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
            max_header_size=MAX_PART_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> None:
        """Parses a piece of the body; the first holds a megabyte, or all."""
        if not self._begun:
            self._begun = True
            data = _skip_preamble(data, self._boundary)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest(f"The form cannot be read. {_HOW}", code="broken_form") from error

    def finish(self, data: bytes) -> None:
        """Parses the last piece and checks that the form is whole."""
        self.feed(data)
        if not self._ended:
            raise InvalidRequest("The upload broke off; send it again.", code="broken_form")
        self._file.flush()

    def describe(self, path: Path) -> ReceivedFile:
        """What has arrived. Raises UnprocessableRequest when the field was missing."""
        if self._filename is None:
            raise UnprocessableRequest(_HOW, code="missing_file")
        return ReceivedFile(path, self._filename, self._digest.hexdigest(), self._size, self._head)

    def _begin_part(self) -> None:
        self._disposition = b""
        self._offered = None
        self._wanted = False

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        field, filename = read_disposition(self._disposition)
        self._offered = filename if field == FIELD else None
        if self._offered:
            self._take()

    def _take(self) -> None:
        """From here on the bytes of this part are the file."""
        if self._filename is not None:
            raise UnprocessableRequest(_ONE, code="several_files")
        self._filename = clean_filename(self._offered or "")
        self._wanted = True

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._offered is None or self.too_large:
            return
        if not self._wanted:
            # Without a name it is a file only if it has bytes: browsers send such a part when nothing was chosen.
            self._take()
        piece = data[start:end]
        self._size += len(piece)
        if self._size > self._max_bytes:
            self.too_large = True
            return
        if len(self._head) < 1024:
            self._head += piece[: 1024 - len(self._head)]
        self._digest.update(piece)
        self._file.write(piece)

    def _end(self) -> None:
        self._ended = True


def _skip_preamble(data: bytes, boundary: bytes) -> bytes:
    """The form from its first boundary: what stands before it means nothing (RFC 2046), but our parser minds it."""
    if data.startswith(b"--" + boundary):
        return data
    start = data.find(b"\r\n--" + boundary)
    return data[start + 2 :] if start >= 0 else data
