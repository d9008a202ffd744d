"""Sends the events of a log as Server-Sent Events.

The log is written by others; here its events become bytes, in the call of whoever writes them. A client that is slow
is waited for, one that takes nothing for too long is dropped, a silent stream gets comments.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, Final, Generic, Protocol

import structlog
from fastapi import Header, Response
from starlette.types import Receive, Scope, Send

from services.gateway.client_stream import ClientStream, open_client_stream, run_behind
from services.gateway.runs.dialects import native
from services.gateway.runs.supervisor import make_shutdown_error, make_stream_error
from services.gateway.settings import GatewaySettings
from shared.contracts.questions import StreamError
from shared.errors import PagewireError
from shared.event_log.port import E, EventBatch, EventSink, LogClosedError
from shared.tasks import run_to_end

log = structlog.get_logger(__name__)

CLEANUP_S: Final = 5.0
"""How long the end of what a departed client was reading may take; it needs a millisecond."""
_PING: Final = b": ping\n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter for nginx


class Client(Protocol):
    """Who reads a stream (`client_stream.py`)."""

    @property
    def is_full(self) -> bool:
        """Whether it is to be waited for."""
        ...

    def write(self, data: bytes) -> None:
        """Send a piece."""
        ...

    async def wait_for_room(self) -> None:
        """Return when it is not full any more."""
        ...


LastEventId = Annotated[
    int | None,
    Header(ge=0, le=2**53, description="the `id` of the last event that has arrived; left out: from the beginning"),
]


Follow = Callable[[EventSink[E]], Awaitable[None]]
"""Gives a sink the events of a log, and returns after the terminal one."""


class LogResponse(Response, Generic[E]):
    """Send the events of a log, and a comment now and then; end quietly when the client leaves.

    Parameters:
        encode_break: makes the bytes of an error that ends this connection only.
        on_end: called when the response has ended, however that was, also when it never began.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        follow: Follow[E],
        encode: Callable[[EventBatch[E]], bytes],
        settings: GatewaySettings,
        *,
        encode_break: Callable[[StreamError], bytes] = native.encode_break,
        headers: Mapping[str, str] | None = None,
        on_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({**_HEADERS, **(headers or {})})
        self._follow = follow
        self._encode = encode
        self._encode_break = encode_break
        self._on_end = on_end
        self._heartbeat_s = settings.heartbeat_s
        self._send_timeout_s = settings.send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head; the stream follows when the application has returned."""
        client = open_client_stream(scope)
        client.abort_unread(self._send_timeout_s)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        except BaseException:
            await self._end()
            raise
        run_behind(scope, partial(self._send_stream, client))

    async def _send_stream(self, client: ClientStream, send: Send) -> None:
        connected = asyncio.timeout(None)  # "expires" when the client leaves
        try:
            async with connected:
                client.on_left = lambda: connected.reschedule(0)
                if client.has_left:
                    return
                with _keep_open(client, self._heartbeat_s):
                    await send_log(client, self._follow, self._encode, self._encode_break)
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            if not connected.expired():
                raise
        finally:
            client.on_left = None
            await self._end()

    async def _end(self) -> None:
        if self._on_end is not None:
            await run_to_end(_run_briefly(self._on_end()))


class _LogSink(Generic[E]):
    """Sends events to a client in the call that gives them."""

    __slots__ = ("_client", "_encode")

    def __init__(self, client: Client, encode: Callable[[EventBatch[E]], bytes]) -> None:
        self._client = client
        self._encode = encode

    @property
    def is_full(self) -> bool:
        return self._client.is_full

    def take(self, batch: EventBatch[E]) -> None:
        if data := self._encode(batch):
            self._client.write(data)

    async def wait_for_room(self) -> None:
        await self._client.wait_for_room()


async def send_log(
    client: Client,
    follow: Follow[E],
    encode: Callable[[EventBatch[E]], bytes],
    encode_break: Callable[[StreamError], bytes] = native.encode_break,
) -> None:
    """Send the encoded events; the last is terminal, or an error that ends this connection only."""
    try:
        await follow(_LogSink(client, encode))
    except LogClosedError:
        client.write(encode_break(make_stream_error(make_shutdown_error(), partial=True)))
    except PagewireError as error:
        log.warning("stream_broken", code=error.error_code)
        client.write(encode_break(make_stream_error(error, partial=True)))


@contextmanager
def _keep_open(client: Client, heartbeat_s: float) -> Iterator[None]:
    """Write comments, because proxies cut connections that say nothing."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def beat() -> None:
        nonlocal timer
        if not client.is_full:
            client.write(_PING)
        timer = loop.call_later(heartbeat_s, beat)

    timer = loop.call_later(heartbeat_s, beat)
    try:
        yield
    finally:
        timer.cancel()


async def _run_briefly(ending: Awaitable[None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLEANUP_S):
            await ending
