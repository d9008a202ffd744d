"""The HTTP protocol of uvicorn with a limit for what precedes a body, and a way to hang up on a client."""

import uuid
from typing import Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.contracts.errors import ErrorBody, ErrorDetail

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers. Browsers and proxies send some kB; unlimited, one endless line blocks the event loop."""

HANG_UP: Final = "pagewire.hang_up"
"""Name of the extension of the ASGI scope that closes the connection at once, unsent bytes and all."""


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parses a piece; too much of anything that is no body ends the connection."""
        self._head_bytes += len(data)
        super().data_received(data)
        # Checked after parsing, because the piece may hold the end of the headers and much of the body.
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"call": self.transport.abort}}

    def on_headers_complete(self) -> None:
        """The body begins."""
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body; between two of them and behind the last one there may be headers again."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._head_bytes = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        log.info("headers_too_large", limit=MAX_HEAD_BYTES)
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # an answer is on its way, into which another one must not be written
            return
        message = f"The headers are larger than {MAX_HEAD_BYTES // 1024} kB. Send fewer or shorter ones."
        detail = ErrorDetail(code="headers_too_large", message=message, request_id=uuid.uuid4().hex)
        body = ErrorBody(error=detail).model_dump_json(exclude_none=True).encode()
        head = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
