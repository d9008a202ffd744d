"""Wire contract of `POST /api/chat`: what the Vercel AI SDK's `DefaultChatTransport` sends."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

from shared.contracts.questions import AnswerOptions, QueryRequest
from shared.contracts.search import MAX_QUESTION_CHARS


class UIMessagePart(BaseModel):
    """A part of a message. Only `text` counts; the AI SDK sends sources and steps of earlier answers back, too."""

    type: str
    text: str | None = Field(default=None, description="of a part of the type `text`")


class UIMessage(BaseModel):
    """A turn of the chat."""

    id: str | None = None
    role: Literal["system", "user", "assistant"]
    # Only the first fault is told, here and below: a body of 1 MB has room for 300,000, whose error would have 40 MB.
    parts: Annotated[list[UIMessagePart], FailFast()]

    @property
    def text(self) -> str:
        """Return the text parts, one below the other."""
        return "\n".join(part.text for part in self.parts if part.type == "text" and part.text).strip()


class ChatRequest(AnswerOptions):
    """A chat, whose last user message is the question; other keys of the AI SDK are ignored."""

    id: str = Field(min_length=1, max_length=200, description="the chat's id, as in GET /api/chat/{id}/stream")
    messages: Annotated[list[UIMessage], FailFast()] = Field(
        description="the whole chat or its last messages; what comes before the question says what it refers to"
    )
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: str | None = Field(  # noqa: N815 the AI SDK's name
        default=None, description="with `regenerate-message`: the answer that is to be written anew"
    )

    include: list[Literal["passages"]] = Field(
        default_factory=list,
        max_length=16,
        description="`passages`: send the passages before the text, in a `data-passages` part",
    )
    provider: str | None = Field(
        default=None, max_length=64, description="one of the configured providers; null: the default"
    )

    @model_validator(mode="after")
    def check_question(self) -> Self:
        """Refuse what could only be answered wrongly."""
        messages = self._list_messages()
        text = messages[-1].text if messages else ""
        if messages and any(part.type == "file" for part in messages[-1].parts):
            raise PydanticCustomError("attached_file", "Attached files are not read; add PDFs with POST /documents")
        if not text:
            raise PydanticCustomError("no_question", "There is no user message with text in it")
        if len(text) > MAX_QUESTION_CHARS:
            message = "The last user message has more than {limit} characters"
            raise PydanticCustomError("question_too_long", message, {"limit": MAX_QUESTION_CHARS})
        return self

    def make_query(self, question: str) -> QueryRequest:
        """Return the question, the last user message, as any other."""
        options = {name: getattr(self, name) for name in AnswerOptions.model_fields}
        if self.trigger == "regenerate-message":
            options["cache"] = False  # whoever wants another answer must not get the same one
        return QueryRequest(question=question, provider=self.provider, **options)

    def list_turns(self) -> list[tuple[str, str]]:
        """Return role and text of the messages up to the question, which is the last."""
        return [(message.role, message.text) for message in self._list_messages()]

    def _list_messages(self) -> list[UIMessage]:
        """Return the messages up to the last of the user; to the last before an answer that is to be written anew."""
        messages = self.messages
        if self.trigger == "regenerate-message":
            ids = [message.id for message in messages]
            # The AI SDK itself leaves out that answer and what follows.
            if self.messageId is not None and self.messageId in ids:
                messages = messages[: ids.index(self.messageId) + 1]
        asked = [number for number, message in enumerate(messages, start=1) if message.role == "user"]
        return messages[: asked[-1]] if asked else []
