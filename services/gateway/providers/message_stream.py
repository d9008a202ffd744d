"""The events of a streamed message, as Anthropic sends them."""

from typing import Any, Final

from services.gateway.ports import Completion
from services.gateway.providers.event_values import read_counts, read_json
from services.gateway.providers.finish_reasons import read_finish_reason
from services.gateway.providers.llm_errors import translate_in_band

_INPUT_COUNTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class MessageDecoder:
    """Decodes one answer, which is whole at `message_stop`."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._stop_reason: str | None = None
        self._usage: dict[str, int] = {}
        self.ended = False

    @property
    def whole(self) -> bool:
        """Whether the text is complete."""
        return self.ended

    def decode(self, data: bytes) -> str | None:
        """The text of an event; empty for thinking and for the end; None for pings and all other events."""
        event = read_json(data)
        match event["type"]:
            case "content_block_delta":
                return _read_delta(event["delta"])
            case "message_start":
                self._note_usage(event["message"].get("usage"))
            case "message_delta":
                self._note_usage(event.get("usage"))
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
            case "message_stop":
                self.ended = True
                return ""
            case "error":
                raise translate_in_band(event.get("error"), provider=self._provider)
        return None

    def complete(self) -> Completion:
        """The end of the answer; tokens read from or written to a cache count as input."""
        counts = [self._usage[name] for name in _INPUT_COUNTS if name in self._usage]
        return Completion(
            finish_reason=read_finish_reason(self._stop_reason or "end_turn", provider=self._provider),
            input_tokens=sum(counts) if counts else None,
            output_tokens=self._usage.get("output_tokens"),
        )

    def _note_usage(self, usage: Any) -> None:
        # Counts are cumulative: a later one replaces an earlier one, and null says nothing.
        self._usage.update(read_counts(usage))


def _read_delta(delta: dict[str, Any]) -> str | None:
    match delta["type"]:
        case "text_delta":
            text = delta["text"]
            if not isinstance(text, str):
                raise TypeError("text is not text")
            return text or None
        case "thinking_delta":
            return "" if delta["thinking"] else None
    return None
