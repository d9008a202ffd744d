"""What the gateway's use cases need from the outside world, and the values that cross these ports."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.contracts.questions import FinishReason
from shared.contracts.search import Passage, SearchRequest, SearchResponse


@dataclass(frozen=True)
class Message:
    """A turn of what a language model reads."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Prompt:
    """What a language model is asked.

    Attributes:
        messages: for real models; the first is the system's, the last the user's.
        question, passages: what the last message asks, unrendered, for the extractive provider. Passage number n, as
            cited in [n], is passages[n - 1].
    """

    messages: tuple[Message, ...]
    question: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer; never empty."""

    text: str


@dataclass(frozen=True)
class Completion:
    """The end of an answer, with the provider's token counts where it reports them."""

    finish_reason: FinishReason
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Generation:
    """A whole answer."""

    text: str
    completion: Completion


class LanguageModel(Protocol):
    """Answers a prompt. Implementations raise only the LanguageModelError family of `shared.errors`."""

    @property
    def provider(self) -> str:
        """Name of the provider, e.g. `openai`."""
        ...

    @property
    def model(self) -> str:
        """Name of the model, e.g. `gpt-5-mini`."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        """Yields text as it arrives, then exactly one Completion, last.

        An upstream that ends without its terminal marker raises LanguageModelError; closing the iterator
        closes the upstream connection.
        """
        ...

    async def generate(self, prompt: Prompt) -> Generation:
        """The whole answer in one call."""
        ...

    async def close(self) -> None:
        """Releases the connections."""
        ...


class PassageSearch(Protocol):
    """Finds passages. Raises DependencyUnavailable when the retrieval service does not answer."""

    async def search(self, request: SearchRequest) -> SearchResponse:
        """The best passages of the tenant's documents, best first."""
        ...

    async def check_ready(self) -> dict[str, str]:
        """State per part of the retrieval service (`ok`, or why not), for /health/ready."""
        ...

    async def close(self) -> None:
        """Releases the connections."""
        ...
