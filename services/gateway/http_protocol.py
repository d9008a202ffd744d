"""The HTTP protocol of uvicorn with limits for what precedes a body, and a way to write to a client at once."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.client_stream import CLIENT_STREAM, ClientStream, answer
from services.gateway.connection_gate import ConnectionGate
from shared.contracts.errors import ErrorBody, ErrorDetail

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers. Browsers and proxies send some kB; unlimited, one endless line blocks the event loop."""
HEAD_TIMEOUT_S: Final = 10.0
"""For the request line and the headers, which fit into a packet or two; also for a connection that says nothing."""
REST_TIMEOUT_S: Final = 30.0
"""For the rest of a request that has its answer already, as an upload that is refused; nginx waits as long."""
LAST_REST_TIMEOUT_S: Final = 2.0
"""The same while the server stops: less than the last answers have, which are sent 3 s before the grace is over."""
MAX_EARLY_BYTES: Final = 1024 * 1024
"""What may arrive behind a request that is being answered, as the next one of a client that has all it wanted."""
RETRY_AFTER_S: Final = 5


def make_http_protocol(
    max_connections: int, *, head_timeout_s: float = HEAD_TIMEOUT_S, rest_timeout_s: float = REST_TIMEOUT_S
) -> Any:
    """Return what uvicorn takes as `http`, for one server; all of its connections share the limit.

    Parameters:
        max_connections: connections at once.
        head_timeout_s: seconds that a request line with its headers may take.
        rest_timeout_s: seconds that the rest of a request may take that was answered before it was whole.
    """
    gate = ConnectionGate(max_connections)
    return partial(HttpProtocol, gate=gate, head_timeout_s=head_timeout_s, rest_timeout_s=rest_timeout_s)


@dataclass(frozen=True)
class ResponseTransport:
    """What a response of uvicorn does with its connection."""

    write: Callable[[bytes], None]
    is_closing: Callable[[], bool]
    close: Callable[[], None]


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self, *args: Any, gate: ConnectionGate, head_timeout_s: float, rest_timeout_s: float, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.app = partial(answer, self.app)
        self._gate = gate
        self._head_timeout_s = head_timeout_s
        self._rest_timeout_s = rest_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False
        self._in_request = False
        """Whether a request line with its headers has arrived, and not yet the whole body."""
        self._head_bytes = 0
        self._early = bytearray()
        """What has arrived behind a request that is being answered: read, or its client's leaving is missed."""
        self._drops_early = False
        self._lingers = False
        """Whether the answer and the end have been sent, and what still comes is thrown away."""
        self._send_timeout_s: float | None = None
        self._unread: asyncio.TimerHandle | None = None
        """Runs while so much is unsent that the response waits."""
        self._stream: ClientStream | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, if there is a place for one more connection."""
        super().connection_made(transport)
        if self._gate.enter(self):
            self._gate.wait(self, self._make_room)
        elif self._gate.refuse(self):
            self._refused = True
        else:
            transport.abort()
            return
        self._set_deadline(self._head_timeout_s, self._give_up_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self._gate.leave(self)
        self._clear_deadline()
        self._stop_unread()
        super().connection_lost(exc)
        if self._stream is not None and self._stream.on_left is not None:
            self._stream.on_left()

    def open_stream(self) -> ClientStream:
        """Return what writes the body of the response that is being written."""
        # uvicorn stops reading at 64 kB of a request's body until the app asks for more, and a stream asks for nothing:
        # its client's leaving would go unseen.
        self.flow.resume_reading()
        self._stream = ClientStream(self, self.cycle)
        return self._stream

    def abort_unread(self, send_timeout_s: float) -> None:
        """Close the connection, unsent bytes and all, when its client lets the response wait for so many seconds.

        It waits while more is unsent than uvicorn lets pile up. The timer runs then only: one per send would cost as
        much as a token.
        """
        self._send_timeout_s = send_timeout_s
        if self.flow.write_paused:
            self.pause_writing()

    def pause_writing(self) -> None:
        """Note that the response waits for its client."""
        super().pause_writing()
        if self._send_timeout_s is not None and self._unread is None:
            self._unread = self.loop.call_later(self._send_timeout_s, self._give_up_reader)

    def resume_writing(self) -> None:
        """Note that the client has read."""
        super().resume_writing()
        self._stop_unread()

    def data_received(self, data: bytes) -> None:
        """Parse a piece; too much of anything that is no body ends the connection."""
        if self._lingers:
            return
        if self._is_answering() and not self._in_request:
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES:
                self.transport.abort()
            return
        if self._deadline is None and not self._in_request:
            self._set_deadline(self._head_timeout_s, self._give_up_head)
        self._head_bytes += len(data)
        super().data_received(data)
        # Checked after parsing, because the piece may hold the end of the headers and much of the body.
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            log.info("headers_too_large", limit=MAX_HEAD_BYTES)
            message = f"The headers are larger than {MAX_HEAD_BYTES // 1024} kB. Send fewer or shorter ones."
            self._in_request = False  # those behind a body too: nobody waits for their end
            self._refuse("431 Request Header Fields Too Large", "headers_too_large", message)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless it follows a request that is being answered."""
        if self._is_answering() and not self._in_request:
            self._drop_early()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Begin a request, unless it came in one piece with one that is not answered yet.

        Such a pipelined one is not read, and its connection closes behind the answer; its client sends it again, as
        HTTP asks. uvicorn would keep it and stop reading, and so not see the client leave.
        """
        if self._is_answering():
            self._drop_early()
            self.url, self.headers = b"", []  # the parser goes on to the end of its piece, and these are the other's
            return
        super().on_message_begin()
        self._send_timeout_s = None
        self._stream = None
        self.scope["extensions"] = {CLIENT_STREAM: {"open": self.open_stream}}

    def on_headers_complete(self) -> None:
        """Begin the body, and with it the work."""
        if self._drops_early:
            return
        self._head_bytes = 0
        self._in_request = True
        self._clear_deadline()
        self._gate.work(self)
        if self._refused:
            message = f"The server has no place for another connection now; try again in {RETRY_AFTER_S} seconds."
            self._refuse("503 Service Unavailable", "too_many_connections", message, retry_after_s=RETRY_AFTER_S)
            return
        super().on_headers_complete()
        transport = ResponseTransport(self.transport.write, self.transport.is_closing, self._close)
        self.cycle.transport = cast("asyncio.Transport", transport)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; between two of them and behind the last one there may be headers again."""
        if not (self._drops_early or self._refused):
            self._head_bytes = 0
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; the answer may come before or after this."""
        if self._drops_early:
            return
        self._head_bytes = 0
        self._in_request = False
        if self._refused:
            self.transport.close()
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait_for_next()

    def on_response_complete(self) -> None:
        """End the answer; what is still to come of its request may not take for ever."""
        super().on_response_complete()
        if self.transport.is_closing() or self._lingers:
            return
        if self._in_request:
            self._wait_for_rest()
            return
        self._wait_for_next()
        if early := bytes(self._early):
            self._early.clear()
            self.data_received(early)

    def shutdown(self) -> None:
        """End behind the answer that is on its way; what is still to come of a request has less time now."""
        self._rest_timeout_s = min(self._rest_timeout_s, LAST_REST_TIMEOUT_S)
        if self._is_answering():
            self.cycle.keep_alive = False
        else:
            self._close()

    def _close(self) -> None:
        """End the answer's side, and the connection once its client has ended too, or has had its time.

        A client that is still sending would get a reset for what arrives at a closed socket, and most clients then
        drop the answer that they have not read yet.
        """
        if not self._in_request or self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        if not self._lingers:
            self._lingers = True
            self.transport.write_eof()
            self.flow.resume_reading()
        self._wait_for_rest()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_rest(self) -> None:
        """Wait for what is still to come of a request that has its answer: not for ever, nor in the way of others."""
        self._set_deadline(self._rest_timeout_s, self.transport.abort)
        self._gate.wait(self, self._make_room)

    def _wait_for_next(self) -> None:
        self._clear_deadline()
        self._gate.wait(self, self._make_room)

    def _drop_early(self) -> None:
        self._drops_early = True
        self._head_bytes = 0
        self.cycle.keep_alive = False

    def _make_room(self) -> None:
        """Close for a newcomer, without a word where no request has begun, or the last one has its answer."""
        if self._head_bytes and not self._in_request:
            message = f"Others needed the place before the request was whole; try again in {RETRY_AFTER_S} seconds."
            self._refuse("503 Service Unavailable", "too_many_connections", message, retry_after_s=RETRY_AFTER_S)
        else:
            self.transport.close()

    def _give_up_head(self) -> None:
        self._deadline = None
        self._gate.note("too_slow")
        if self._head_bytes:
            message = f"The request line and the headers did not arrive within {self._head_timeout_s:g} seconds."
            self._refuse("408 Request Timeout", "headers_stalled", message)
        else:  # a browser that has connected ahead would take an answer for that to its next request
            self.transport.close()

    def _give_up_reader(self) -> None:
        self._unread = None
        log.info("client_too_slow", send_timeout_s=self._send_timeout_s)
        self.transport.abort()

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _refuse(self, status: str, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        if self.transport.is_closing():
            return
        if self._is_answering():
            self.transport.abort()  # an answer is on its way, into which another one must not be written
            return
        detail = ErrorDetail(code=code, message=message, request_id=uuid.uuid4().hex)
        body = ErrorBody(error=detail).model_dump_json(exclude_none=True).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        if retry_after_s is not None:
            head += f"Retry-After: {retry_after_s}\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self._close()

    def _set_deadline(self, seconds: float, then: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, then)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
