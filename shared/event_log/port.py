"""The port of the event log, and the values that cross it.

A stream is a run or a document's ingest. Its writer numbers the events from 1; the number is what a client names in
`Last-Event-ID`. Exactly one terminal event ends a stream, and nothing comes after it.
Where a reader has set it, because the writer died, its number is far behind the others.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

E = TypeVar("E")


class LogClosedError(Exception):
    """The log was closed before a stream's terminal event: the server stops, what is left can be read elsewhere."""


class StreamId(NamedTuple):
    """Name a stream: `kind` is `run` or `document`. Another tenant's stream has another name, so it is not there."""

    tenant: str
    kind: str
    name: str


def name_document(tenant: str, document_id: str) -> StreamId:
    """Return the name of the stream of a document's ingest."""
    return StreamId(tenant, "document", document_id)


class EventBatch(NamedTuple, Generic[E]):
    """Events with consecutive numbers, the first of which is `first`; never empty.

    A batch is what can be sent in one piece. A tuple, because there may be one for each token.
    """

    first: int
    events: Sequence[E]

    @property
    def last(self) -> int:
        """Return the number of the last event."""
        return self.first + len(self.events) - 1


@dataclass(frozen=True)
class StreamState:
    """How far a stream is: the number of its last event (0: none yet), and whether that is the terminal one."""

    last: int
    ended: bool


@dataclass(frozen=True)
class EventCodec(Generic[E]):
    """How a log that leaves the process writes events: as a name and a JSON value."""

    encode: Callable[[E], tuple[str, Any]]
    decode: Callable[[str, Any], E]


class EventSink(Protocol[E]):
    """Takes the events of a stream as they come, without waiting."""

    @property
    def is_full(self) -> bool:
        """Whether it has taken more than it could pass on, and is to be given nothing until it has."""
        ...

    def take(self, batch: EventBatch[E]) -> None:
        """Take events; called while it is not full."""
        ...

    async def wait_for_room(self) -> None:
        """Return when it is not full any more."""
        ...


class EventReader(Protocol[E]):
    """Read streams."""

    async def find(self, stream: StreamId) -> StreamState | None:
        """Return how far a stream is; None for one that is unknown or was forgotten."""
        ...

    def read(self, stream: StreamId, *, after: int = 0) -> AsyncGenerator[EventBatch[E], None]:
        """Yield the events with numbers above `after` as they come; return after the terminal one.

        Raise LogClosedError when the log is closed before that.
        """
        ...

    async def follow(self, stream: StreamId, sink: EventSink[E], *, after: int = 0) -> None:
        """Give a sink what `read` yields.

        What is written in this process is in the sink when the call that has written it returns, unless that is full.
        """
        ...


class EventLog(EventReader[E], Protocol[E]):
    """Keep streams of events, each with one writer and any number of readers."""

    async def begin(self, stream: StreamId) -> bool:
        """Open a stream for writing; return whether it can be read elsewhere and later."""
        ...

    async def append(self, stream: StreamId, event: E) -> None:
        """Add an event that is not the last. Wait while a reader that must not be overtaken is behind."""
        ...

    def end(self, stream: StreamId, event: E) -> None:
        """Add the terminal event. Do nothing when the stream has ended or is unknown."""
        ...


class SharedEventLog(EventLog[E], Protocol[E]):
    """A log that all replicas share.

    Attributes:
        on_stop: called with a stream written here whose end somebody has asked for, perhaps in another process.
        on_lost: called with a stream written here that others have ended, because this process was silent too long.
    """

    on_stop: Callable[[StreamId], None]
    on_lost: Callable[[StreamId], None]

    async def request_stop(self, stream: StreamId) -> None:
        """Ask the process that writes a stream to end it."""
        ...


async def pour(batches: AsyncGenerator[EventBatch[E], None], sink: EventSink[E]) -> None:
    """Give a sink what a reader yields."""
    async with aclosing(batches):
        async for batch in batches:
            while sink.is_full:
                await sink.wait_for_room()
            sink.take(batch)
