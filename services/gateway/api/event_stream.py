"""Turns a generator of events into a Server-Sent Events response.

A producer task fills a bounded queue and the response drains it: the provider is read while the client is written
to, a slow client slows the provider down instead of filling memory, and a client that leaves ends both at once.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import anyio
import structlog
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from services.gateway.answers.answer_question import AnswerEvent
from services.gateway.api.shutdown import SHUTDOWN_CODE, SHUTDOWN_MESSAGE, SHUTDOWN_RETRY_AFTER_S
from services.gateway.http_protocol import HANG_UP
from shared.contracts.questions import ErrorEvent, PassagesEvent, SourcesEvent, StreamError, TokenEvent
from shared.errors import PagewireError
from shared.tasks import end_tasks

log = structlog.get_logger(__name__)

QUEUE_EVENTS = 256
"""Events between producer and client: a second or two of a fast model."""
SHUTDOWN_GRACE_S = 3.0
"""How long a stream may take to send its last event when the server stops; it needs milliseconds."""
CLEANUP_S = 5.0
"""How long closing the connection to the provider may take; it needs a millisecond."""

_INTERNAL = "Something went wrong on our side; ask again, and report the run if it stays."


def make_event_response(
    events: AsyncGenerator[AnswerEvent, None], *, heartbeat_s: int, send_timeout_s: float
) -> EventSourceResponse:
    """The response that sends the events; it owns and closes the generator."""
    stopping = anyio.Event()
    return AnswerResponse(
        _encode_events(events, stopping),
        ping=heartbeat_s,
        ping_message_factory=lambda: ServerSentEvent(comment="ping", sep="\n"),
        sep="\n",
        send_timeout=send_timeout_s,
        shutdown_event=stopping,
        shutdown_grace_period=SHUTDOWN_GRACE_S,
    )


class AnswerResponse(EventSourceResponse):
    """Ends quietly, and for good, when its client takes nothing for too long: that is no fault of ours."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream."""
        try:
            await super().__call__(scope, receive, send)
        except* SendTimeoutError:
            log.info("client_too_slow", send_timeout_s=self.send_timeout)
            if hang_up := scope.get("extensions", {}).get(HANG_UP):
                hang_up["call"]()
                while (await receive())["type"] != "http.disconnect":
                    pass


@dataclass(frozen=True)
class _Piece:
    """Encoded events; after the last piece nothing is sent, whatever else is in the queue."""

    data: bytes
    last: bool = False


@dataclass
class _Progress:
    """Whether there were tokens; whoever ends the stream tells its client."""

    partial: bool = False


async def _encode_events(events: AsyncGenerator[AnswerEvent, None], stopping: anyio.Event) -> AsyncIterator[bytes]:
    """Encoded events, as many at once as are waiting; ends after exactly one terminal event."""
    queue: asyncio.Queue[_Piece] = asyncio.Queue(QUEUE_EVENTS)
    progress = _Progress()
    producer = asyncio.create_task(_produce(events, queue, progress))
    watcher = asyncio.create_task(_stop_at_shutdown(stopping, producer, queue, progress))
    try:
        ended = False
        while not ended:
            pieces = [await queue.get()]
            while not (pieces[-1].last or queue.empty()):
                pieces.append(queue.get_nowait())
            ended = pieces[-1].last
            yield b"".join(piece.data for piece in pieces)
    finally:
        # Shielded: the client's leaving cancels us again and again, and each time the producer with us, while it is
        # closing the connection to the provider.
        with anyio.move_on_after(CLEANUP_S, shield=True):
            await end_tasks(producer, watcher)


async def _produce(
    events: AsyncGenerator[AnswerEvent, None], queue: asyncio.Queue[_Piece], progress: _Progress
) -> None:
    """Puts every event; the last is SourcesEvent, or the error event that an exception becomes."""
    try:
        async with aclosing(events):
            number = 0
            async for event in events:
                number += 1
                await queue.put(_Piece(encode_answer_event(event, number), last=isinstance(event, SourcesEvent)))
                progress.partial = progress.partial or isinstance(event, TokenEvent)
    except PagewireError as error:
        log.warning("answer_failed", code=error.error_code, cause=type(error.__cause__).__name__)
        data = encode_error(
            error.error_code, error.message, error.retryable, partial=progress.partial, retry_after=error.retry_after
        )
        await queue.put(_Piece(data, last=True))
    except Exception as error:
        log.exception("answer_bug", error=type(error).__name__)
        data = encode_error("internal_error", _INTERNAL, retryable=True, partial=progress.partial)
        await queue.put(_Piece(data, last=True))


async def _stop_at_shutdown(
    stopping: anyio.Event, producer: asyncio.Task[None], queue: asyncio.Queue[_Piece], progress: _Progress
) -> None:
    """When the server stops, ends the stream with an error event, also when the provider is silent.

    If the producer was done already, its own last event is in the queue and this one is never sent.
    """
    await stopping.wait()
    await end_tasks(producer)
    data = encode_error(
        SHUTDOWN_CODE, SHUTDOWN_MESSAGE, retryable=True, partial=progress.partial, retry_after=SHUTDOWN_RETRY_AFTER_S
    )
    await queue.put(_Piece(data, last=True))


def encode_answer_event(event: AnswerEvent, number: int) -> bytes:
    """One event in the wire format; `number` is its id in the run, from 1."""
    match event:
        case TokenEvent(token=token):
            # ASCII only: half of a surrogate pair, which some servers split over two tokens, has no UTF-8.
            return b'event: token\nid: %d\ndata: {"token": %s}\n\n' % (number, json.dumps(token).encode())
        case PassagesEvent():
            name = b"passages"
        case SourcesEvent():
            name = b"sources"
    return b"event: %s\nid: %d\ndata: %s\n\n" % (name, number, event.model_dump_json().encode())


def encode_error(code: str, message: str, retryable: bool, *, partial: bool, retry_after: int | None = None) -> bytes:
    """The terminal event of a stream that went wrong."""
    error = StreamError(code=code, message=message, retryable=retryable, partial=partial, retry_after=retry_after)
    return b"event: error\ndata: %s\n\n" % ErrorEvent(error=error).model_dump_json(exclude_none=True).encode()
