"""Asks servers that speak Anthropic's messages."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from services.gateway.ports import Completion, Prompt, TextDelta
from services.gateway.providers.answer_stream import stream_answer
from services.gateway.providers.event_values import read_counts, read_json, read_name
from services.gateway.providers.finish_reasons import read_finish_reason
from services.gateway.providers.llm_errors import translate_in_band
from services.gateway.providers.sdk_clients import make_sender

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_INPUT_COUNTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class MessagesModel:
    """A model behind messages.

    Parameters:
        client: closed by `close`.
        max_output_tokens: includes the thinking of models that think.
        idle_timeout_s: seconds until the first piece of the answer and between two pieces; pings do not count.
    """

    def __init__(
        self, client: "AsyncAnthropic", *, provider: str, model: str, max_output_tokens: int, idle_timeout_s: float
    ) -> None:
        self.provider = provider
        self.model = model
        self._max_output_tokens = max_output_tokens
        self._idle_timeout_s = idle_timeout_s
        self._client = client
        self._send = make_sender(client, provider)

    def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yield text as it arrives, then one Completion; raise the LanguageModelError family."""
        max_tokens = min(self._max_output_tokens, prompt.max_output_tokens or self._max_output_tokens)
        body = {
            "model": self.model,
            "max_tokens": max_tokens,
            "system": "\n\n".join(message.text for message in prompt.messages if message.role == "system"),
            "messages": [{"role": m.role, "content": m.text} for m in prompt.messages if m.role != "system"],
            "stream": True,
        }
        send_request = partial(self._send, body)
        decoder = MessageDecoder(self.provider, self.model)
        return stream_answer(send_request, decoder, provider=self.provider, idle_timeout_s=self._idle_timeout_s)

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()


class MessageDecoder:
    """Decodes one answer, which is complete at `message_stop`."""

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self._stop_reason: str | None = None
        self._usage: dict[str, int] = {}
        self.has_ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the text is complete."""
        return self.has_ended

    def decode(self, data: bytes) -> str | None:
        """Return the text of an event: empty for thinking and the end, None for pings and all other events."""
        event = read_json(data)
        match event["type"]:
            case "content_block_delta":
                return _read_delta(event["delta"])
            case "message_start":
                message = event["message"]
                self._model = read_name(message.get("model")) or self._model
                self._note_usage(message.get("usage"))
            case "message_delta":
                self._note_usage(event.get("usage"))
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
            case "message_stop":
                self.has_ended = True
                return ""
            case "error":
                raise translate_in_band(event.get("error"), provider=self._provider)
        return None

    def complete(self) -> Completion:
        """Return the end of the answer; tokens read from or written to a cache count as input."""
        counts = [self._usage[name] for name in _INPUT_COUNTS if name in self._usage]
        return Completion(
            finish_reason=read_finish_reason(self._stop_reason or "end_turn", provider=self._provider),
            provider=self._provider,
            model=self._model,
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
