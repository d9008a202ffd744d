"""The provider that needs no key and no model: it quotes the best sentences of the passages."""

import asyncio
import re
from collections.abc import AsyncGenerator

from services.gateway.ports import EXTRACTIVE, Completion, Prompt, TextDelta

_WORD = re.compile(r"\s*\S+")


class ExtractiveModel:
    """Answers with verbatim, cited pieces of the passages, or says that they do not hold the answer."""

    @property
    def provider(self) -> str:
        """`extractive`."""
        return EXTRACTIVE

    @property
    def model(self) -> str:
        """`extractive`."""
        return "extractive"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yield the answer word by word, each with the white space before it, then the Completion."""
        # Milliseconds of pure computing: other requests must not wait for them on the event loop.
        text = await asyncio.to_thread(_answer, prompt)
        for word in _WORD.findall(text):
            yield TextDelta(word)
        yield Completion("stop", provider=self.provider, model=self.model)

    async def close(self) -> None:
        """Nothing is held open."""


def _answer(prompt: Prompt) -> str:
    # Imported with the first question: numpy and the rest take 0.4 s, which a start need not wait for.
    from services.gateway.extractive.answer import answer_extractively

    return answer_extractively(prompt.question, prompt.passages, prompt.terms)
