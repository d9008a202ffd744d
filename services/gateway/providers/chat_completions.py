"""Asks servers that speak chat completions: OpenAI, Groq and OpenAI-compatible ones (Ollama, vLLM, llama.cpp, …)."""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from services.gateway.ports import Completion, Prompt, TextDelta
from services.gateway.providers.answer_stream import stream_answer
from services.gateway.providers.event_values import read_counts, read_json, read_name
from services.gateway.providers.finish_reasons import read_finish_reason
from services.gateway.providers.llm_errors import translate_in_band
from services.gateway.providers.sdk_clients import make_sender

if TYPE_CHECKING:
    from groq import AsyncGroq
    from openai import AsyncOpenAI

_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
"""By the names that servers have for the most that a model may write."""


class ChatCompletionsModel:
    """A model behind chat completions.

    Parameters:
        client: closed by `close`.
        options: what this server takes besides the model, the messages and `stream`.
        short_options: what it takes besides these where a short answer is wanted soon.
        idle_timeout_s: seconds until the first piece of the answer and between two pieces.
    """

    def __init__(
        self,
        client: "AsyncOpenAI | AsyncGroq",
        *,
        provider: str,
        model: str,
        options: Mapping[str, Any],
        idle_timeout_s: float,
        short_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self._options = options
        self._short_options = short_options or {}
        self._idle_timeout_s = idle_timeout_s
        self._client = client
        self._send = make_sender(client, provider)

    def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yield text as it arrives, then one Completion; raise the LanguageModelError family."""
        options = dict(self._options)
        if prompt.max_output_tokens is not None:
            options |= self._short_options
            for name in _LIMITS.intersection(options):
                options[name] = min(options[name], prompt.max_output_tokens)
        messages = [{"role": message.role, "content": message.text} for message in prompt.messages]
        body = {"model": self.model, "messages": messages, "stream": True, **options}
        decoder = ChatCompletionDecoder(self.provider, self.model)
        send_request = partial(self._send, body)
        return stream_answer(send_request, decoder, provider=self.provider, idle_timeout_s=self._idle_timeout_s)

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()


class ChatCompletionDecoder:
    """Decodes one answer. Its text is complete at `finish_reason`; the token counts and `[DONE]` come after it.

    Without `finish_reason` an answer is not complete, `[DONE]` or not: proxies also write `[DONE]` after a failure.
    """

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._configured_model = model
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._usage: dict[str, int] = {}
        self.has_ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the text is complete."""
        return self._finish_reason is not None

    def decode(self, data: bytes) -> str | None:
        """Return the text of a chunk: empty for reasoning and the end, None for role, usage and unknown chunks."""
        if data == b"[DONE]":
            self.has_ended = True
            return ""
        chunk = read_json(data)
        if error := chunk.get("error"):
            raise translate_in_band(error, provider=self._provider)
        if self._model is None:
            self._model = read_name(chunk.get("model"))
        if chunk.get("usage") or chunk.get("x_groq"):
            self._note_usage(chunk)
        choices = chunk.get("choices")
        if not choices:
            return None
        choice = choices[0]
        text, is_alive = _read_delta(choice.get("delta") or {})
        if choice.get("finish_reason"):
            self._finish_reason = str(choice["finish_reason"])
            is_alive = True
        return text or ("" if is_alive else None)

    def complete(self) -> Completion:
        """Return the end of the answer, with the token counts when they came."""
        return Completion(
            finish_reason=read_finish_reason(self._finish_reason or "stop", provider=self._provider),
            provider=self._provider,
            model=self._model or self._configured_model,
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
    """Return a delta's text, and whether it shows that the model is at work: reasoning does, an empty one does not."""
    text = delta.get("content") or delta.get("refusal") or ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    return text, bool(text or delta.get("reasoning_content") or delta.get("reasoning"))
