"""The native stream: `token…`, then `sources` or `error`, as the tutorial's clients read it."""

from collections.abc import Collection
from json.encoder import encode_basestring_ascii

from pydantic import BaseModel

from shared.contracts.document_events import DocumentEvent
from shared.contracts.questions import ErrorEvent, PassagesEvent, RunStartedEvent, SourcesEvent, StreamError
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.event_log.port import EventBatch


def encode_batch(batch: EventBatch[RunEvent], run_id: str, include: Collection[str]) -> bytes:
    """Return the events as Server-Sent Events whose ids are their numbers; those not asked for are left out.

    Parameters:
        include: `run` and `passages`, where the client has asked for these events.
    """
    first, events = batch
    if len(events) == 1:
        return encode_event(events[0], first, run_id, include)
    return b"".join(encode_event(event, number, run_id, include) for number, event in enumerate(events, first))


def encode_event(event: RunEvent, number: int, run_id: str, include: Collection[str]) -> bytes:
    """Return one event in the wire format; empty when it was not asked for."""
    if isinstance(event, Delta):
        # ASCII only: half of a surrogate pair, which some servers split over two tokens, has no UTF-8.
        return b'event: token\nid: %d\ndata: {"token": %s}\n\n' % (number, encode_basestring_ascii(event.text).encode())
    match event:
        case Started():
            if "run" not in include:
                return b""
            return _encode("run", RunStartedEvent(**dict(event)), number)
        case PassagesFound():
            if "passages" not in include:
                return b""
            return _encode("passages", PassagesEvent(passages=event.passages), number)
        case Finished():
            return _encode("sources", SourcesEvent(run_id=run_id, **dict(event)), number)
        case Failed():
            return _encode("error", ErrorEvent(error=event.error), number)


def encode_progress(batch: EventBatch[DocumentEvent]) -> bytes:
    """Return the events of a document's ingest."""
    return b"".join(
        b"event: %s\nid: %d\ndata: %s\n\n"
        % (event.name.encode(), number, event.data.model_dump_json(exclude_none=True).encode())
        for number, event in enumerate(batch.events, batch.first)
    )


def encode_break(error: StreamError) -> bytes:
    """Return an error that ends this connection and not the run: without an id, so that the client can go on."""
    return _encode("error", ErrorEvent(error=error), None)


def _encode(name: str, data: BaseModel, number: int | None) -> bytes:
    identified = b"" if number is None else b"id: %d\n" % number
    # an error leaves out what it does not know; all else says null
    body = data.model_dump_json(exclude_none=isinstance(data, ErrorEvent)).encode()
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), identified, body)
