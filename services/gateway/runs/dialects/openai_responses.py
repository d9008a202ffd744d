"""OpenAI's responses: named events with numbers of their own; or the whole answer as one object.

Bytes follow from the run's events and the head alone, read from the first event on.
"""

import json
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from services.gateway.runs.dialects.openai_sources import (
    AnswerHead,
    describe_run,
    list_citations,
    list_sources,
    make_error,
    make_footer,
    make_usage_notes,
)
from shared.contracts.questions import StreamError, Usage
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.event_log.port import EventBatch

_INCOMPLETE: Final = {"length": "max_output_tokens", "filtered": "content_filter"}
"""OpenAI's words for why an answer was cut off; for other reasons it has none."""
_PLACE: Final = {"output_index": 0, "content_index": 0}


class ResponseEncoder:
    """Turns the events of one run, from the first on, into events of a response."""

    def __init__(self, head: AnswerHead) -> None:
        self._head = head
        self._item_id = _name_message(head.run_id)
        self._sequence = 0
        self._texts: list[str] = []
        self._opened = False
        # A token is written between what never changes: a JSON object for each would cost ten times as much.
        name = "response.output_text.delta"
        place = f'"item_id":"{self._item_id}","output_index":0,"content_index":0'
        self._token = f'event: {name}\ndata: {{"type":"{name}",{place},"logprobs":[],"sequence_number":'.encode()

    def encode_batch(self, batch: EventBatch[RunEvent]) -> bytes:
        """Return the events in the wire format."""
        return b"".join(map(self._encode_event, batch.events))

    def encode_break(self, error: StreamError) -> bytes:
        """Return an error that ends this connection and not the run."""
        return self._encode("error", code=error.code, message=error.message, param=None)

    def _encode_event(self, event: RunEvent) -> bytes:
        match event:
            case Delta(text=text):
                return self._encode_token(text)
            case Started():
                response = _make_response(self._head, "in_progress", [])
                created = self._encode("response.created", response=response)
                return created + self._encode("response.in_progress", response=response)
            case PassagesFound():
                return self._open_item()
            case Finished():
                return self._encode_end(event)
            case Failed():
                return self._encode_failure(event)

    def _encode_token(self, text: str) -> bytes:
        self._texts.append(text)
        # ASCII only, as in the native dialect: half of a surrogate pair has no UTF-8.
        delta = encode_basestring_ascii(text).encode()
        return b'%b%d,"delta":%b}\n\n' % (self._token, self._count(), delta)

    def _open_item(self) -> bytes:
        self._opened = True
        item, part = _make_item(self._head, "in_progress", []), _make_part("", [])
        added = self._encode("response.output_item.added", output_index=0, item=item)
        return added + self._encode_in_place("response.content_part.added", part=part)

    def _encode_end(self, finished: Finished) -> bytes:
        parts = [] if self._opened else [self._open_item()]
        if self._head.sources_as == "markdown" and (footer := make_footer(finished.sources, self._head.base_url)):
            parts.append(self._encode_token(footer))
        text, annotations = "".join(self._texts), _list_annotations(finished, self._head)
        for index, annotation in enumerate(annotations):
            name = "response.output_text.annotation.added"
            parts.append(self._encode_in_place(name, annotation_index=index, annotation=annotation))
        response = _finish_response(text, annotations, finished, self._head)
        (item,) = response["output"]
        parts.append(self._encode_in_place("response.output_text.done", text=text, logprobs=[]))
        parts.append(self._encode_in_place("response.content_part.done", part=item["content"][0]))
        parts.append(self._encode("response.output_item.done", output_index=0, item=item))
        parts.append(self._encode(f"response.{response['status']}", response=response))
        return b"".join(parts)

    def _encode_failure(self, failed: Failed) -> bytes:
        text = "".join(self._texts)
        output = [_make_item(self._head, "incomplete", [_make_part(text, [])])] if text else []
        told = make_error(failed.error, failed.status)
        # What kind of error it is has a closed list of names here; ours stands where they have room for another.
        error = told | {"code": "server_error", "type": failed.error.code}
        return self._encode("response.failed", response=_make_response(self._head, "failed", output, error=error))

    def _encode_in_place(self, name: str, **fields: Any) -> bytes:
        return self._encode(name, item_id=self._item_id, **_PLACE, **fields)

    def _encode(self, name: str, **fields: Any) -> bytes:
        data = json.dumps({"type": name, "sequence_number": self._count(), **fields}, separators=(",", ":"))
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data.encode())

    def _count(self) -> int:
        self._sequence += 1
        return self._sequence - 1


def make_response(text: str, finished: Finished, head: AnswerHead) -> dict[str, Any]:
    """Return the whole answer as one object."""
    footer = make_footer(finished.sources, head.base_url) if head.sources_as == "markdown" else ""
    return _finish_response(text + footer, _list_annotations(finished, head), finished, head)


def _finish_response(
    text: str, annotations: list[dict[str, Any]], finished: Finished, head: AnswerHead
) -> dict[str, Any]:
    status = "completed" if finished.finish_reason == "stop" else "incomplete"
    incomplete = None if status == "completed" else {"reason": _INCOMPLETE.get(finished.finish_reason)}
    return _make_response(
        head,
        status,
        [_make_item(head, status, [_make_part(text, annotations)])],
        usage=_make_usage(finished.usage),
        incomplete_details=incomplete,
        **list_sources(finished.sources, head.base_url),
        **describe_run(finished),
    )


def _make_response(head: AnswerHead, status: str, output: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "id": f"resp_{head.run_id}",
        "object": "response",
        "created_at": head.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": head.model,
        "output": output,
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        **fields,
    }


def _make_item(head: AnswerHead, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    name = _name_message(head.run_id)
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def _make_part(text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def _list_annotations(finished: Finished, head: AnswerHead) -> list[dict[str, Any]]:
    if head.sources_as == "markdown":
        return []
    return [{"type": "url_citation", **citation} for citation in list_citations(finished, head.base_url)]


def _make_usage(usage: Usage) -> dict[str, Any]:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
        **make_usage_notes(usage),
    }


def _name_message(run_id: str) -> str:
    return f"msg_{run_id}"
