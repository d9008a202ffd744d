"""The provider that needs no key and no model: it quotes the best sentences of the passages."""

import asyncio
import re
from collections.abc import AsyncGenerator

from services.gateway.extractive.answer import answer_extractively
from services.gateway.ports import Completion, Generation, Prompt, TextDelta

_WORD = re.compile(r"\s*\S+")


class ExtractiveModel:
    """Answers with verbatim, cited pieces of the passages, or says that they do not hold the answer."""

    @property
    def provider(self) -> str:
        """`extractive`."""
        return "extractive"

    @property
    def model(self) -> str:
        """`extractive`."""
        return "extractive"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yields the answer word by word, each with the white space before it, then the Completion."""
        generation = await self.generate(prompt)
        for word in _WORD.findall(generation.text):
            yield TextDelta(word)
        yield generation.completion

    async def generate(self, prompt: Prompt) -> Generation:
        """The whole answer in one call."""
        # Milliseconds of pure computing: other requests must not wait for them on the event loop.
        text = await asyncio.to_thread(answer_extractively, prompt.question, prompt.passages)
        return Generation(text, Completion(finish_reason="stop"))

    async def close(self) -> None:
        """Nothing is held open."""
