"""What the gateway's use cases need from the outside world, and the values that cross these ports."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pydantic import BaseModel

from shared.contracts.conversations import Conversation, ConversationSummary, ConversationTurn
from shared.contracts.questions import Citation, FinishReason, Source
from shared.contracts.search import GlossaryTerm, Passage, SearchRequest, SearchResponse

EXTRACTIVE: Final = "extractive"
"""The provider that quotes passages and can write nothing else."""


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
        terms: those of the question that passages may put in other words, for the extractive provider, too.
        max_output_tokens: for a short answer, fewer than a model may write otherwise; thinking counts.
    """

    messages: tuple[Message, ...]
    question: str
    passages: tuple[Passage, ...]
    terms: tuple[GlossaryTerm, ...] = ()
    max_output_tokens: int | None = None


@dataclass(slots=True)
class TextDelta:
    """A piece of the answer; never empty. Not frozen: there is one for each token, and that takes twice as long."""

    text: str


@dataclass(frozen=True)
class Completion:
    """The end of an answer.

    Attributes:
        provider: who answered, e.g. `openai`.
        model: the model as the provider names it in its answer, else as it is configured.
        input_tokens, output_tokens: as the provider counted them; None where it does not say.
    """

    finish_reason: FinishReason
    provider: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Answering:
    """Who answers, where that is decided only when it begins: comes before the text, and may be left out.

    Attributes:
        provider, model: as in Completion; the model as it is configured.
    """

    provider: str
    model: str


AnswerPiece = Answering | TextDelta | Completion


class LanguageModel(Protocol):
    """Answers a prompt. Implementations raise only the LanguageModelError family of `shared.errors`."""

    @property
    def provider(self) -> str:
        """Name of the provider, e.g. `openai`."""
        ...

    @property
    def model(self) -> str:
        """Name of the model as it is configured, e.g. `gpt-5-mini`."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[AnswerPiece, None]:
        """Yield text as it arrives, then exactly one Completion, last.

        An upstream that ends without its terminal marker raises LanguageModelError; closing the generator
        closes the upstream connection.
        """
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...


class PassageSearch(Protocol):
    """Finds passages. Raises DependencyUnavailable when the retrieval service does not answer."""

    async def search(self, request: SearchRequest) -> SearchResponse:
        """The best passages of the tenant's documents, best first."""
        ...

    async def read_fingerprint(self) -> str | None:
        """Return the `fingerprint` that a search would have now; None when that cannot be told. Never raise."""
        ...

    async def check_ready(self) -> dict[str, str]:
        """State per part of the retrieval service (`ok`, or why not), for /health/ready."""
        ...

    async def close(self) -> None:
        """Releases the connections."""
        ...


@dataclass(frozen=True)
class ActiveRun:
    """The run that a chat can come back to; `read` says whether somebody has taken it to its end."""

    run_id: str
    read: bool


class ActiveRuns(Protocol):
    """Knows which run a chat can come back to; the same at all replicas."""

    async def note(self, tenant: str, chat_id: str, run_id: str) -> None:
        """Make this the run of a chat in place of any other. Do nothing while the store is away."""
        ...

    async def find(self, tenant: str, chat_id: str) -> ActiveRun | None:
        """Return the run of a chat. Raise DependencyUnavailable when the store does not answer."""
        ...

    async def mark_read(self, tenant: str, chat_id: str, run_id: str) -> None:
        """Note that a chat's run was read, unless it has another by now. Do nothing while the store is away."""
        ...


class KeptAnswer(BaseModel):
    """An answer that was given, as far as it can be given again.

    Attributes:
        text: all tokens, joined.
        sources, citations: as its end told them.
        provider, model: who wrote it.
        search: the fingerprint of the search that found its passages.
    """

    text: str
    sources: list[Source]
    citations: list[Citation]
    provider: str
    model: str
    search: str


@dataclass(frozen=True)
class CacheLookup:
    """What was kept under a key.

    Attributes:
        revision: of what the tenant's searches see, as of the moment of the look; None when nothing can be kept now.
        answer: one that was made of just that revision.
    """

    revision: str | None = None
    answer: KeptAnswer | None = None


class AnswerCache(Protocol):
    """Keeps answers for one revision of what a tenant's searches see; the same at all replicas.

    It only ever saves work: while its store is away or slow, nothing is found and nothing kept, and nobody waits.
    """

    async def find(self, tenant: str, key: str) -> CacheLookup:
        """Return the revision, and what was kept under the key for it, as of one moment. Never raise."""
        ...

    async def keep(self, tenant: str, key: str, revision: str, answer: KeptAnswer) -> None:
        """Keep an answer, if the revision is still this one in that moment. Never raise."""
        ...


@dataclass(frozen=True)
class ConversationLimits:
    """How much is kept.

    Attributes:
        ttl_s: seconds after its last use for which a conversation is kept.
        max_turns, max_characters: of one conversation; its oldest turns go first, its newest never.
        max_conversations: of one tenant; the one that was used least recently goes first.
    """

    ttl_s: float
    max_turns: int
    max_characters: int
    max_conversations: int


@dataclass(frozen=True)
class OpenedConversation:
    """A conversation in which something is being asked.

    Attributes:
        incarnation: which of all conversations that have had this id. What was asked in one that was deleted meanwhile
            is not kept in its successor.
    """

    incarnation: str
    turns: tuple[ConversationTurn, ...]


class ConversationStore(Protocol):
    """Keeps conversations, the same at all replicas.

    Raises DependencyUnavailable when the store does not answer, and DiskFull when it cannot write.
    """

    async def open(self, tenant: str, conversation_id: str) -> OpenedConversation:
        """Return what is kept of a conversation, and count that as a use; begin one that is unknown."""
        ...

    async def add_turn(self, tenant: str, conversation_id: str, incarnation: str, turn: ConversationTurn) -> bool:
        """Add a turn, once however often it is called; return False where that incarnation is gone."""
        ...

    async def list(self, tenant: str, offset: int, limit: int) -> tuple[list[ConversationSummary], int]:
        """Return conversations with a turn, last used first, and how many there are in all."""
        ...

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation with a turn. Raise NotFound for any other."""
        ...

    async def delete(self, tenant: str, conversation_id: str) -> None:
        """Delete a conversation, also one that has no turn yet. Raise NotFound for an unknown one."""
        ...


@dataclass(frozen=True)
class UploadKeyUse:
    """What a client's key for an upload was used for first.

    Attributes:
        identity: stands for bytes and name of that upload, and tells nothing of them.
        document_id: the document that it has become; None where that has not been noted.
    """

    identity: str
    document_id: str | None


class UploadKeys(Protocol):
    """Knows for a day what keys clients have sent uploads under; the same at all replicas.

    Raises DependencyUnavailable when the store does not answer, and DiskFull when it cannot write.
    """

    async def take(self, tenant: str, key: str, identity: str) -> UploadKeyUse:
        """Take a key for an upload, or return what it was taken for before."""
        ...

    async def note_accepted(self, tenant: str, key: str, document_id: str) -> None:
        """Note which document the upload has become; what was noted first stays."""
        ...
