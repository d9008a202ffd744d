"""The events of a streamed chat completion, as OpenAI, Groq and OpenAI-compatible servers send them."""

from typing import Any

from services.gateway.ports import Completion, Prompt
from services.gateway.providers.event_values import read_counts, read_json
from services.gateway.providers.finish_reasons import read_finish_reason
from services.gateway.providers.llm_errors import translate_in_band


def build_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The messages of a chat completion."""
    return [{"role": message.role, "content": message.text} for message in prompt.messages]


class ChatCompletionDecoder:
    """Decodes one answer. The text is whole at `finish_reason`; the token counts and `[DONE]` come after it.

    Without `finish_reason` an answer is not complete, `[DONE]` or not: proxies also write `[DONE]` after a failure.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._finish_reason: str | None = None
        self._usage: dict[str, int] = {}
        self.ended = False

    @property
    def whole(self) -> bool:
        """Whether the text is complete."""
        return self._finish_reason is not None

    def decode(self, data: bytes) -> str | None:
        """The text of a chunk; empty for reasoning and for the end; None for role, usage and unknown chunks."""
        if data == b"[DONE]":
            self.ended = True
            return ""
        chunk = read_json(data)
        if error := chunk.get("error"):
            raise translate_in_band(error, provider=self._provider)
        self._note_usage(chunk)
        choices = chunk.get("choices")
        if not choices:
            return None
        choice = choices[0]
        text, alive = _read_delta(choice.get("delta") or {})
        if choice.get("finish_reason"):
            self._finish_reason = str(choice["finish_reason"])
            alive = True
        return text or ("" if alive else None)

    def complete(self) -> Completion:
        """The end of the answer, with the token counts when they came."""
        return Completion(
            finish_reason=read_finish_reason(self._finish_reason or "stop", provider=self._provider),
            input_tokens=self._usage.get("prompt_tokens"),
            output_tokens=self._usage.get("completion_tokens"),
        )

    def _note_usage(self, chunk: dict[str, Any]) -> None:
        groq = chunk.get("x_groq")
        if groq:
            if error := groq.get("error"):  # groq's way to say that it stopped early
                raise translate_in_band(error, provider=self._provider)
            self._usage = read_counts(groq.get("usage")) or self._usage
        self._usage = read_counts(chunk.get("usage")) or self._usage


def _read_delta(delta: dict[str, Any]) -> tuple[str, bool]:
    """Text of a delta, and whether it shows that the model is at work: reasoning does, an empty delta does not."""
    text = delta.get("content") or delta.get("refusal") or ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    return text, bool(text or delta.get("reasoning_content") or delta.get("reasoning"))
