"""Answers through Anthropic."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

import anthropic
import httpx2

from services.gateway.ports import Completion, Generation, Prompt, TextDelta
from services.gateway.providers import answer_stream
from services.gateway.providers.message_stream import MessageDecoder

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"


class AnthropicModel:
    """The `anthropic` provider. Never tries again by itself, for the reason given at `OpenAIModel`.

    Build it before the event loop runs or in a thread: that imports much and reads certificates.

    Parameters:
        base_url: the bare host: the SDK appends `/v1/messages`. None is Anthropic itself.
        idle_timeout_s: seconds until the first piece of the answer and between two pieces; pings do not count.
        max_output_tokens: includes the thinking of models that think.
        connect_timeout_s: seconds to connect.
    """

    provider: Final = "anthropic"

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
        self._max_output_tokens = max_output_tokens
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
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url or DEFAULT_BASE_URL,
            max_retries=0,
            timeout=timeout,
            http_client=anthropic.DefaultAsyncHttpxClient(timeout=timeout, limits=limits),
        )
        # Looked up here, because the SDK imports this part of itself on first use, which blocks the event loop.
        self._create = self._client.messages.with_streaming_response.create

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model

    def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yields text as it arrives, then one Completion; raises the LanguageModelError family."""
        open_response = partial(
            self._create,
            model=self._model,
            max_tokens=self._max_output_tokens,
            system="\n\n".join(message.text for message in prompt.messages if message.role == "system"),
            messages=[{"role": m.role, "content": m.text} for m in prompt.messages if m.role != "system"],
            stream=True,
            extra_headers=answer_stream.EXTRA_HEADERS,
        )
        return answer_stream.stream_answer(
            open_response,
            MessageDecoder(self.provider),
            provider=self.provider,
            idle_timeout_s=self._idle_timeout_s,
        )

    async def generate(self, prompt: Prompt) -> Generation:
        """The whole answer; streamed from the provider as well, so that a stall ends at the idle timeout."""
        return await answer_stream.collect_answer(self.stream(prompt))

    async def close(self) -> None:
        """Releases the connections."""
        await self._client.close()
