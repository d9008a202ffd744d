"""Turns a provider's event stream into the pieces of an answer, in bounded time and memory.

What counts as alive: text and reasoning, nothing else. Comments, pings and empty or unknown events do not renew the
idle timeout, so a server that sends only those is cut off as if it sent nothing. The idle timeout runs only while we
wait for the provider, never while our caller is busy with a piece. A model that thinks longer than the idle timeout
without showing it needs a longer idle timeout.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Any, Final, Protocol

import aiohttp

from services.gateway.ports import Completion, TextDelta
from services.gateway.providers.event_reader import EventReader
from services.gateway.providers.idle_watchdog import IdleWatchdog
from services.gateway.providers.llm_errors import INCOMPLETE, NO_STREAM, UnreadableEvent, build_error, translate_error
from shared.errors import LanguageModelError
from shared.surrogates import join_halves

EVENT_STREAM: Final = "text/event-stream"

MAX_PIECE_CHARS: Final = 1024
"""Of a piece that is passed on; a longer one is parted, and others have their turn between the parts: to read a bracket
takes some microseconds, and an event may hold a million."""

_TRAILER_S: Final = 2.0  # from the end of the text to the token counts and the end marker
_DRAIN_S: Final = 0.1  # from the end marker to the end of the body, after which the connection can be used again


class HttpResponse(Protocol):
    """What we use of an `httpx` or `httpx2` response."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, whose names match in any case."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, decoded."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        ...

    async def aclose(self) -> None:
        """Close the connection, or give it back where the body has been read to its end."""
        ...


class AnswerDecoder(Protocol):
    """Understands the events of one provider; one instance per answer."""

    @property
    def is_complete(self) -> bool:
        """Whether the provider has said that the text is complete: from here on no failure takes it back."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the last event of the stream has been seen."""
        ...

    def decode(self, data: bytes) -> str | None:
        """Return the text of an event: empty when it is progress without text, None when it is no progress.

        Any exception other than LanguageModelError means that the event cannot be read.
        """
        ...

    def complete(self) -> Completion:
        """Return how the answer ended; raise LanguageModelError when the provider says that it failed."""
        ...


async def stream_answer(
    send_request: Callable[[], Awaitable[HttpResponse]],
    decoder: AnswerDecoder,
    *,
    provider: str,
    idle_timeout_s: float,
) -> AsyncGenerator[TextDelta | Completion, None]:
    """Send the request when first iterated, yield text as it arrives, then one Completion.

    Closing the generator, or cancelling the task that waits in it, closes the upstream connection.

    Parameters:
        send_request: returns the response once its headers are there.
        idle_timeout_s: seconds until the first text and between two pieces of it.

    Raises:
        LanguageModelError: or one of its subclasses, for every failure of the provider.
    """
    watchdog = IdleWatchdog(idle_timeout_s)
    reader = EventReader()
    begun = streamed = False
    half = ""
    try:
        with watchdog:
            response = await send_request()
        begun = True
        streamed = _is_stream(response)
        receive, connection = open_body(response)
        # They hold the question, the passages in it and headers; an answer takes long, and needs none of that.
        del send_request, response
        async with connection:
            while True:
                # Never around a yield: there the timeout would hit whatever our caller is doing.
                with watchdog:
                    chunk = await receive()
                if not chunk:
                    break
                for data in reader.feed(chunk):
                    streamed = True  # some servers send a stream under another type
                    text = None if decoder.has_ended else _decode(decoder, data)
                    if text is None:
                        continue
                    if half or not text.isascii():
                        text, half = join_halves(half + text)
                    if 0 < len(text) <= MAX_PIECE_CHARS:
                        yield TextDelta(text)
                    else:
                        for start in range(0, len(text), MAX_PIECE_CHARS):
                            yield TextDelta(text[start : start + MAX_PIECE_CHARS])
                            await asyncio.sleep(0)  # a turn for the others
                    watchdog.renew(
                        _choose_timeout_s(decoder, idle_timeout_s) if decoder.is_complete else idle_timeout_s
                    )
    except LanguageModelError:
        # Once the text is complete, a failure costs the token counts and the connection, not the answer.
        if not decoder.is_complete:
            raise
    except Exception as error:
        translated = translate_error(error, provider=provider, begun=begun)
        if translated is None:
            raise
        if not decoder.is_complete:
            # A status error quotes what the provider wrote, which can quote keys and prompts: not for the logs.
            raise translated from (None if hasattr(error, "response") else error)
    finally:
        watchdog.stop()
    if not decoder.is_complete:
        raise build_error(INCOMPLETE if streamed else NO_STREAM, provider=provider)
    if half:
        yield TextDelta("\ufffd")
    yield decoder.complete()


def _is_stream(response: HttpResponse) -> bool:
    """Return whether a response says that it is a stream, or says nothing."""
    return response.headers.get("content-type", EVENT_STREAM).lower().startswith(EVENT_STREAM)


def open_body(
    response: HttpResponse,
) -> tuple[Callable[[], Awaitable[bytes]], AbstractAsyncContextManager[object]]:
    """Return what waits for the next piece of a body (empty: there is no more), and what ends with the connection."""
    if "content-encoding" in response.headers:
        return partial(anext, response.aiter_bytes(), b""), aclosing(response)
    # aiohttp's response where it is found: httpx and the SDK's transport put three generators around its reader, which
    # cost a token 8 µs, and keep the request.
    inner: Any = response
    for name in ("stream", "_stream", "_aiohttp_response"):
        inner = getattr(inner, name, None)
    if isinstance(inner, aiohttp.ClientResponse):
        return inner.content.readany, inner
    return partial(anext, response.aiter_raw(), b""), aclosing(response)


def _decode(decoder: AnswerDecoder, data: bytes) -> str | None:
    try:
        return decoder.decode(data)
    except LanguageModelError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnreadableEvent("event of an unknown shape") from error


def _choose_timeout_s(decoder: AnswerDecoder, idle_timeout_s: float) -> float:
    """Return the seconds to wait for the next piece."""
    if not decoder.is_complete:
        return idle_timeout_s
    return _DRAIN_S if decoder.has_ended else min(_TRAILER_S, idle_timeout_s)
