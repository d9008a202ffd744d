"""Sends the events of a log as Server-Sent Events.

The log is written by others; here its events become bytes, as many at once as there are. A client that is slow is
waited for, one that takes nothing for too long is dropped, a silent stream gets comments.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Annotated, Final

import structlog
from fastapi import Header
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.gateway.http_protocol import ABORT_UNREAD
from services.gateway.runs.dialects import native
from services.gateway.runs.supervisor import make_shutdown_error, make_stream_error
from services.gateway.settings import GatewaySettings
from shared.contracts.questions import StreamError
from shared.errors import PagewireError
from shared.event_log.port import E, EventBatch, LogClosedError
from shared.tasks import end_tasks, run_to_end

log = structlog.get_logger(__name__)

CLEANUP_S: Final = 5.0
"""How long the end of what a departed client was reading may take; it needs a millisecond."""
_PING: Final = b": ping\n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter for nginx


LastEventId = Annotated[
    int | None,
    Header(ge=0, le=2**53, description="the `id` of the last event that has arrived; left out: from the beginning"),
]


class LogResponse(StreamingResponse):
    """Send encoded events, and a comment now and then; end quietly when the client leaves.

    Parameters:
        content: the encoded events.
        on_end: called when the response has ended, however that was, also when it never began.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        content: AsyncGenerator[bytes, None],
        settings: GatewaySettings,
        *,
        headers: Mapping[str, str] | None = None,
        on_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(content, headers={**_HEADERS, **(headers or {})})
        self._content = content
        self._on_end = on_end
        self._heartbeat_s = settings.heartbeat_s
        self._send_timeout_s = settings.send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        # Not a timeout around each send: that would cost as much as half a token.
        scope["extensions"][ABORT_UNREAD]["call"](self._send_timeout_s)
        connected = asyncio.timeout(None)  # "expires" when the client leaves
        try:
            async with connected:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                watcher = asyncio.create_task(self._watch(receive, send, connected))
                try:
                    await self._send_events(send)
                finally:
                    await run_to_end(end_tasks(watcher))
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            if not connected.expired():
                raise
        finally:
            if self._on_end is not None:
                await run_to_end(_run_briefly(self._on_end()))

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._content):
            async for data in self._content:
                await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _watch(self, receive: Receive, send: Send, connected: asyncio.Timeout) -> None:
        """Keep the stream open, because proxies cut connections that say nothing, until the client leaves."""
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    while (await receive())["type"] != "http.disconnect":
                        pass
            except TimeoutError:
                await send({"type": "http.response.body", "body": _PING, "more_body": True})
            else:
                connected.reschedule(0)
                return


async def _run_briefly(ending: Awaitable[None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLEANUP_S):
            await ending


async def encode_log(
    batches: AsyncGenerator[EventBatch[E], None],
    encode: Callable[[EventBatch[E]], bytes],
    encode_break: Callable[[StreamError], bytes] = native.encode_break,
) -> AsyncGenerator[bytes, None]:
    """Yield the encoded events; the last is terminal, or an error that ends this connection only.

    Parameters:
        encode_break: makes the bytes of such an error.
    """
    async with aclosing(batches):
        try:
            async for batch in batches:
                if data := encode(batch):
                    yield data
        except LogClosedError:
            yield encode_break(make_stream_error(make_shutdown_error(), partial=True))
        except PagewireError as error:
            log.warning("stream_broken", code=error.error_code)
            yield encode_break(make_stream_error(error, partial=True))
