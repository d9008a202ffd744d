"""Answers through OpenAI or any server that speaks its chat-completions protocol (Ollama, vLLM, llama.cpp, …)."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

import httpx2
import openai

from services.gateway.ports import Completion, Generation, Prompt, TextDelta
from services.gateway.providers import answer_stream
from services.gateway.providers.chat_completion_stream import ChatCompletionDecoder, build_messages

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_OPENAI_HOST: Final = "api.openai.com"


class OpenAIModel:
    """The `openai` provider.

    Never tries again by itself: the SDK would wait as long as Retry-After says, while the gateway can ask another
    provider at once.

    Build it before the event loop runs or in a thread: that imports much and reads certificates.

    Parameters:
        api_key: any text for a local server that needs none.
        base_url: up to and with `/v1`; None is OpenAI itself. Environment variables of the SDK do not apply.
        idle_timeout_s: seconds until the first piece of the answer and between two pieces.
        max_output_tokens: includes the reasoning of models that reason.
        connect_timeout_s: seconds to connect.
    """

    provider: Final = "openai"

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None,
        idle_timeout_s: float,
        max_output_tokens: int,
        connect_timeout_s: float,
    ) -> None:
        self._model = model
        self._idle_timeout_s = idle_timeout_s
        timeout = httpx2.Timeout(
            connect=connect_timeout_s,
            read=idle_timeout_s,
            write=answer_stream.WRITE_TIMEOUT_S,
            pool=answer_stream.POOL_TIMEOUT_S,
        )
        limits = httpx2.Limits(
            max_connections=answer_stream.MAX_CONNECTIONS,
            max_keepalive_connections=answer_stream.KEPT_CONNECTIONS,
            keepalive_expiry=answer_stream.KEEPALIVE_S,
        )
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url or DEFAULT_BASE_URL,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, limits=limits),
        )
        # Looked up here, because the SDK imports this part of itself on first use, which blocks the event loop.
        self._create = self._client.chat.completions.with_streaming_response.create
        self._options = _choose_options(self._client.base_url.host, max_output_tokens=max_output_tokens)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model

    def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yields text as it arrives, then one Completion; raises the LanguageModelError family."""
        messages: Any = build_messages(prompt)
        open_response = partial(
            self._create,
            model=self._model,
            messages=messages,
            stream=True,
            extra_headers=answer_stream.EXTRA_HEADERS,
            **self._options,
        )
        return answer_stream.stream_answer(
            open_response,
            ChatCompletionDecoder(self.provider),
            provider=self.provider,
            idle_timeout_s=self._idle_timeout_s,
        )

    async def generate(self, prompt: Prompt) -> Generation:
        """The whole answer; streamed from the provider as well, so that a stall ends at the idle timeout."""
        return await answer_stream.collect_answer(self.stream(prompt))

    async def close(self) -> None:
        """Releases the connections."""
        await self._client.close()


def _choose_options(host: str, *, max_output_tokens: int) -> dict[str, Any]:
    """Only what OpenAI itself understands goes to OpenAI alone: other servers may reject an unknown field."""
    if host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}"):
        return {
            "max_completion_tokens": max_output_tokens,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
        }
    return {"max_tokens": max_output_tokens, "stream_options": {"include_usage": True}}
