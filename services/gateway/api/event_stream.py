"""Sends the events of a log as Server-Sent Events.

The log is written by others; here its events become bytes, as many at once as there are. A client that is slow is
waited for, one that takes nothing for too long is dropped, a silent stream gets comments.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Final

import anyio
import structlog
from fastapi import Header
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from services.gateway.http_protocol import ABORT_CONNECTION
from services.gateway.runs.dialects import native
from services.gateway.runs.supervisor import make_shutdown_error, make_stream_error
from services.gateway.settings import GatewaySettings
from shared.contracts.questions import StreamError
from shared.errors import PagewireError
from shared.event_log.port import E, EventBatch, LogClosedError

log = structlog.get_logger(__name__)

CLEANUP_S: Final = 5.0
"""How long the end of what a departed client was reading may take; it needs a millisecond."""


LastEventId = Annotated[
    int | None,
    Header(ge=0, le=2**53, description="the `id` of the last event that has arrived; left out: from the beginning"),
]


class LogResponse(EventSourceResponse):
    """Send encoded events. End quietly, and for good, when the client takes nothing for too long: no fault of ours.

    Parameters:
        content: the encoded events.
        on_end: called when the response has ended, however that was, also when it never began.
    """

    def __init__(
        self,
        content: AsyncIterator[bytes],
        settings: GatewaySettings,
        *,
        headers: dict[str, str] | None = None,
        on_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(
            content,
            headers=headers,
            ping=settings.heartbeat_s,
            ping_message_factory=lambda: ServerSentEvent(comment="ping", sep="\n"),
            sep="\n",
            send_timeout=settings.send_timeout_s,
            shutdown_event=anyio.Event(),  # runs and readers end by themselves when the server stops; this lets them
            shutdown_grace_period=settings.shutdown_grace_s,
        )
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        except* SendTimeoutError:
            log.info("client_too_slow", send_timeout_s=self.send_timeout)
            if abort := scope.get("extensions", {}).get(ABORT_CONNECTION):
                abort["call"]()
                while (await receive())["type"] != "http.disconnect":
                    pass
        finally:
            if self._on_end is not None:
                # Shielded: the client's leaving cancels us again and again.
                with anyio.move_on_after(CLEANUP_S, shield=True):
                    await self._on_end()


async def encode_log(
    batches: AsyncGenerator[EventBatch[E], None],
    encode: Callable[[EventBatch[E]], bytes],
    encode_break: Callable[[StreamError], bytes] = native.encode_break,
) -> AsyncIterator[bytes]:
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
