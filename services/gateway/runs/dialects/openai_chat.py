"""OpenAI's chat completions: chunks without names, then `[DONE]`; or the whole answer as one object.

Bytes follow from the run's events and the head alone, so a stream that is read again is the same.
"""

import json
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from services.gateway.runs.dialects.openai_sources import (
    AnswerHead,
    describe_run,
    list_citations,
    list_open_webui_sources,
    list_sources,
    make_error,
    make_footer,
    make_usage_notes,
)
from shared.contracts.questions import FinishReason, StreamError, Usage
from shared.contracts.runs import Delta, Failed, Finished, RunEvent, Started
from shared.event_log.port import EventBatch

_DONE: Final = b"data: [DONE]\n\n"
_FINISH_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "filtered": "content_filter",
    # There is no word for these, and nobody may take half an answer for a whole one.
    "stopped": "length",
    "other": "length",
}


class ChatEncoder:
    """Turns the events of one run into chunks.

    Parameters:
        include_usage: whether a chunk with the usage is sent, and `usage: null` in all others.
    """

    def __init__(self, head: AnswerHead, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage
        self._chunk = {
            "id": name_completion(head.run_id),
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        # A token is written between what never changes: a JSON object for each would cost ten times as much.
        self._before, self._after = self._encode_delta({"content": ""}).split(b'""')

    def encode_batch(self, batch: EventBatch[RunEvent]) -> bytes:
        """Return the events in the wire format."""
        return b"".join(map(self._encode_event, batch.events))

    def encode_break(self, error: StreamError) -> bytes:
        """Return an error that ends this connection and not the run."""
        return _encode_error(error, 503)

    def _encode_event(self, event: RunEvent) -> bytes:
        match event:
            case Delta(text=text):
                return self._encode_token(text)
            case Started():
                return self._encode_delta({"role": "assistant", "content": ""})
            case Finished():
                return self._encode_end(event)
            case Failed():
                return _encode_error(event.error, event.status)
        return b""

    def _encode_token(self, text: str) -> bytes:
        # ASCII only, as in the native dialect: half of a surrogate pair has no UTF-8.
        return b"%b%b%b" % (self._before, encode_basestring_ascii(text).encode(), self._after)

    def _encode_delta(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._include_usage else {}
        return _encode({**self._chunk, "choices": [choice], **usage, **extra})

    def _encode_end(self, finished: Finished) -> bytes:
        url, parts = self._head.base_url, []
        match self._head.sources_as:
            case "annotations":
                if annotations := _list_annotations(finished, url):
                    parts.append(self._encode_delta({"annotations": annotations}))
            case "markdown":
                if footer := make_footer(finished.sources, url):
                    parts.append(self._encode_token(footer))
            case "open_webui":
                for source in list_open_webui_sources(finished.sources, url):
                    event = {"type": "source", "data": source}
                    parts.append(_encode({**self._chunk, "choices": [], "event": event}))
        finish_reason = _FINISH_REASONS[finished.finish_reason]
        told = {**list_sources(finished.sources, url), **describe_run(finished)}
        parts.append(self._encode_delta({}, finish_reason, **told))
        if self._include_usage:
            parts.append(_encode({**self._chunk, "choices": [], "usage": _make_usage(finished.usage)}))
        return b"".join((*parts, _DONE))


def make_completion(text: str, finished: Finished, head: AnswerHead) -> dict[str, Any]:
    """Return the whole answer as one object."""
    annotations = _list_annotations(finished, head.base_url) if head.sources_as == "annotations" else []
    footer = make_footer(finished.sources, head.base_url) if head.sources_as == "markdown" else ""
    message = {"role": "assistant", "content": text + footer, "refusal": None, "annotations": annotations}
    finish_reason = _FINISH_REASONS[finished.finish_reason]
    return {
        "id": name_completion(head.run_id),
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": _make_usage(finished.usage),
        **list_sources(finished.sources, head.base_url),
        **describe_run(finished),
    }


def name_completion(run_id: str) -> str:
    """Return the id of an answer, which holds the run's."""
    return f"chatcmpl-{run_id}"


def _list_annotations(finished: Finished, base_url: str) -> list[dict[str, Any]]:
    return [{"type": "url_citation", "url_citation": citation} for citation in list_citations(finished, base_url)]


def _make_usage(usage: Usage) -> dict[str, Any]:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        **make_usage_notes(usage),
    }


def _encode_error(error: StreamError, status: int) -> bytes:
    return _encode({"error": make_error(error, status)})


def _encode(data: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % json.dumps(data, separators=(",", ":")).encode()
