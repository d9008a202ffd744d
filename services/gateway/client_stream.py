"""The body of a response that is written as it comes, past ASGI: whoever has a piece writes it and goes on.

`await send(…)` for each piece would take a task that is woken for it, and a coroutine of every middleware on the way.
Middlewares see the response's head; what stands behind it is nobody's business but the client's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Final, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

CLIENT_STREAM: Final = "pagewire.client_stream"
"""Name of the extension of the ASGI scope whose `open` returns the ClientStream of a response."""
_BEHIND: Final = "behind"


class Connection(Protocol):
    """What a stream needs of the connection that its response is written to."""

    @property
    def flow(self) -> Any:
        """Uvicorn's flow control."""
        ...

    @property
    def transport(self) -> Any:
        """The transport."""
        ...

    def abort_unread(self, send_timeout_s: float) -> None:
        """Close the connection when its client lets the response wait for so many seconds."""
        ...


class ClientStream:
    """Writes pieces of the body of a response that has begun.

    Parameters:
        cycle: uvicorn's state of the response.

    Attributes:
        on_left: called when the client has left.
    """

    __slots__ = ("_connection", "_cycle", "_flow", "_transport", "on_left")

    def __init__(self, connection: Connection, cycle: Any) -> None:
        self._connection = connection
        self._cycle = cycle
        self._flow = connection.flow
        self._transport = connection.transport
        self.on_left: Callable[[], None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether so much is unsent that the response should wait."""
        full: bool = self._flow.write_paused
        return full

    @property
    def has_left(self) -> bool:
        """Whether nothing is to come any more: the client has left, or has asked for the head alone."""
        left: bool = self._cycle.disconnected or self._cycle.response_complete or self._transport.is_closing()
        return left

    def write(self, data: bytes) -> None:
        """Send a piece, which is not empty; drop it when the client has left."""
        if not (self._cycle.disconnected or self._transport.is_closing()):
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # a chunk, as uvicorn writes it

    async def wait_for_room(self) -> None:
        """Return when it is not full any more, or the client has left."""
        await self._flow.drain()

    def abort_unread(self, send_timeout_s: float) -> None:
        """Close the connection when its client lets the response wait for so many seconds."""
        self._connection.abort_unread(send_timeout_s)

    def abort(self) -> None:
        """Close the connection now, so that the client takes what it has for a part."""
        self._transport.abort()


async def answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application, and then what it has left to be run behind it."""
    await app({**scope}, receive, send)  # a copy, as routing adds to it what nobody needs any more afterwards
    work = scope["extensions"][CLIENT_STREAM].pop(_BEHIND, None)
    if work is not None:
        try:
            await work(send)
        except asyncio.CancelledError:
            return  # its client reads nothing, or the end may not wait for it: there is nothing to tell, or to log


def run_behind(scope: Scope, work: Callable[[Send], Awaitable[None]]) -> None:
    """Have the rest of a response that has begun sent when the application has returned.

    Within it the request, all that was made of it and some thirty coroutines of the framework would be kept for as long
    as the stream takes. What was bound to the request's context still is.
    """
    context = copy_context()

    async def work_in_context(send: Send) -> None:
        for variable, value in context.items():
            variable.set(value)
        await work(send)

    scope["extensions"][CLIENT_STREAM][_BEHIND] = work_in_context


def open_client_stream(scope: Scope) -> ClientStream:
    """Return the stream of the response to a request; once for each."""
    stream: ClientStream = scope["extensions"][CLIENT_STREAM]["open"]()
    return stream
