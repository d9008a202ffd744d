"""The UI message stream of the Vercel AI SDK, version 1, which `useChat` reads.

Its client refuses a whole stream for one unknown key, and knows more keys with every release. So the parts here have
only keys that all releases since 5.0 know; what else there is to say is in metadata and `data-…` parts, which are free.
"""

import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from services.gateway.runs.dialects.page_links import make_page_url
from shared.contracts.questions import Citation, Source, StreamError
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.event_log.port import EventBatch

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
TEXT_ID: Final = "answer"
"""Of the one text part of a message."""
DONE: Final = b"data: [DONE]\n\n"

_TEXT_START: Final = b'data: {"type":"text-start","id":"%s"}\n\n' % TEXT_ID.encode()
_TEXT_DELTA: Final = b'data: {"type":"text-delta","id":"%s","delta":%%s}\n\n' % TEXT_ID.encode()


class UiMessageEncoder:
    """Encode the events of a run for one connection.

    It remembers only what this connection was sent: the client of one that begins in the middle of a run knows neither
    the message nor its text part, so both are opened again, and its message goes on where it was.

    An SSE id is on the last frame of an event, so that one which was cut off is sent again as a whole. It names the run
    as well as the event: a client knows the chat only, and may have seen the end of its run before.

    Parameters:
        base_url: where links to pages lead, without a slash at its end.
        passages: whether to send what was found, before the text.
    """

    def __init__(self, run_id: str, base_url: str, *, passages: bool) -> None:
        self._run_id = run_id
        self._base_url = base_url
        self._passages = passages
        self._message_open = False
        self._text_open = False
        self._text_delta = b"id: %b:%%d\n%b" % (run_id.encode(), _TEXT_DELTA)

    def encode_batch(self, batch: EventBatch[RunEvent]) -> bytes:
        """Return the events as Server-Sent Events."""
        return b"".join(self._encode_event(event, number) for number, event in enumerate(batch.events, batch.first))

    def encode_break(self, error: StreamError) -> bytes:
        """Return an error that ends this connection and not the run: without an id, so that the client can go on."""
        return self._close_text() + _encode_error(error, None) + DONE

    def _encode_event(self, event: RunEvent, number: int) -> bytes:
        match event:
            case Delta(text=text):
                # ASCII only: half of a surrogate pair, which some servers split over two tokens, has no UTF-8.
                return self._open_text() + self._text_delta % (number, encode_basestring_ascii(text).encode())
            case Started():
                return self._open_message({"resumable": event.resumable}, self._name_event(number))
            case PassagesFound():
                if not self._passages:
                    return b""
                data = {"passages": [passage.model_dump(mode="json") for passage in event.passages]}
                return self._open_message() + _encode(
                    "data-passages", self._name_event(number), data=data, transient=True
                )
            case Finished():
                return (
                    self._open_message()
                    + self._close_text()
                    + _encode_end(event, self._name_event(number), self._base_url)
                )
            case Failed(error=error):
                encoded = _encode_error(error, self._name_event(number))
                return self._open_message() + self._close_text() + encoded + DONE

    def _name_event(self, number: int) -> str:
        return f"{self._run_id}:{number}"

    def _open_message(self, metadata: dict[str, Any] | None = None, event_id: str | None = None) -> bytes:
        if self._message_open:
            return b""
        self._message_open = True
        told = {"run_id": self._run_id, **(metadata or {})}
        return _encode("start", messageId=self._run_id, messageMetadata=told) + _encode("start-step", event_id)

    def _open_text(self) -> bytes:
        if self._text_open:
            return b""
        self._text_open = True
        return self._open_message() + _TEXT_START

    def _close_text(self) -> bytes:
        if not self._text_open:
            return b""
        self._text_open = False
        return _encode("text-end", id=TEXT_ID)


def _encode_end(end: Finished, event_id: str, base_url: str) -> bytes:
    told = {"finish_reason", "usage", "timings_ms", "cached", "trace_id", "standalone_question"}
    metadata = end.model_dump(mode="json", include=told)
    frames = [_encode_source(source, end.citations, base_url) for source in end.sources if source.cited]
    frames += [_encode("message-metadata", messageMetadata=metadata), _encode("finish-step")]
    frames.append(_encode("abort" if end.finish_reason == "stopped" else "finish", event_id))
    return b"".join(frames) + DONE


def _encode_source(source: Source, citations: Sequence[Citation], base_url: str) -> bytes:
    cited_at = [citation.model_dump(mode="json") for citation in citations if citation.n == source.n]
    link = make_page_url(source, base_url)  # "source-document" has no place for it
    return _encode(
        "source-document",
        sourceId=f"{source.document_id}#{source.chunk_id}",
        mediaType="application/pdf",
        title=f"{source.title}, page {source.page}",
        providerMetadata={"pagewire": {**source.model_dump(mode="json"), "url": link, "citations": cited_at}},
    )


def _encode_error(error: StreamError, event_id: str | None) -> bytes:
    """Return the error for programs, then for people: the second ends the client's reading."""
    data = error.model_dump(mode="json", exclude_none=True)
    return _encode("data-error", data=data, transient=True) + _encode("error", event_id, errorText=error.message)


def _encode(kind: str, event_id: str | None = None, **keys: Any) -> bytes:
    identified = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    return b"%sdata: %s\n\n" % (identified, json.dumps({"type": kind, **keys}, separators=(",", ":")).encode())
