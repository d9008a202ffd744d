"""Wire contract of conversations: what was asked and answered under one `conversation_id`."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

_UpdatedAt = Annotated[datetime, Field(description="when something was asked or answered in it for the last time")]
_Title = Annotated[str, Field(description="its first question, or the beginning of it")]


class ConversationTurn(BaseModel, frozen=True):
    """A question and what was written as its answer."""

    run_id: str
    question: str = Field(description="as it was asked")
    answer: str = Field(description="as far as it was written, with its citation markers")
    complete: bool = Field(description="false: it was stopped, left or cut off")


class ConversationSummary(BaseModel):
    """A conversation in a list."""

    conversation_id: str
    title: _Title
    turns: int = Field(description="how many are kept")
    updated_at: _UpdatedAt


class ConversationList(BaseModel):
    """A part of all conversations, newest first."""

    conversations: list[ConversationSummary]
    total: int
    next_offset: int | None = Field(description="where the next part begins; null at the end")


class Conversation(BaseModel):
    """A conversation."""

    conversation_id: str
    title: _Title
    turns: list[ConversationTurn] = Field(description="those that are kept, oldest first")
    updated_at: _UpdatedAt
