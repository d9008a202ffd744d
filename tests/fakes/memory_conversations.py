"""A ConversationStore in memory. A conversation expires when a test says so, not by time."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.gateway.ports import ConversationLimits, OpenedConversation
from shared.contracts.conversations import Conversation, ConversationSummary, ConversationTurn
from shared.errors import NotFound


@dataclass
class _Kept:
    incarnation: str = field(default_factory=lambda: uuid.uuid4().hex)
    title: str = ""
    turns: list[ConversationTurn] = field(default_factory=list)
    used: int = 0
    updated_at: datetime = field(default_factory=lambda: datetime.fromtimestamp(time.time(), UTC))


class MemoryConversations:
    """Keeps what the one on Redis keeps."""

    def __init__(self, limits: ConversationLimits) -> None:
        self._limits = limits
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._uses = 0

    async def open(self, tenant: str, conversation_id: str) -> OpenedConversation:
        """Return what is kept of a conversation, or begin it."""
        kept = self._kept.setdefault((tenant, conversation_id), _Kept())
        self._use(kept)
        return OpenedConversation(kept.incarnation, tuple(kept.turns))

    async def add_turn(self, tenant: str, conversation_id: str, incarnation: str, turn: ConversationTurn) -> bool:
        """Add a turn once, and let go of what is over the limits."""
        kept = self._kept.get((tenant, conversation_id))
        if kept is None or kept.incarnation != incarnation:
            return False
        if all(known.run_id != turn.run_id for known in kept.turns):
            kept.turns.append(turn)
            kept.title = kept.title or turn.question[:200]
            self._use(kept)
        while len(kept.turns) > 1 and (
            len(kept.turns) > self._limits.max_turns or _measure(kept.turns) > self._limits.max_characters
        ):
            del kept.turns[0]
        listed = self._list_keys(tenant)
        for key in listed[self._limits.max_conversations :]:
            del self._kept[key]
        return True

    async def list(self, tenant: str, offset: int, limit: int) -> tuple[list[ConversationSummary], int]:
        """Return conversations with a turn, last used first."""
        keys = self._list_keys(tenant)
        return [self._summarise(key) for key in keys[offset : offset + limit]], len(keys)

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation with a turn."""
        kept = self._kept.get((tenant, conversation_id))
        if kept is None or not kept.turns:
            raise NotFound("no such conversation")
        return Conversation(
            conversation_id=conversation_id, title=kept.title, turns=kept.turns, updated_at=kept.updated_at
        )

    async def delete(self, tenant: str, conversation_id: str) -> None:
        """Delete a conversation."""
        if self._kept.pop((tenant, conversation_id), None) is None:
            raise NotFound("no such conversation")

    async def expire(self, tenant: str, conversation_id: str) -> None:
        """Let a conversation expire, as it does a while after its last use."""
        del self._kept[tenant, conversation_id]

    def _use(self, kept: _Kept) -> None:
        self._uses += 1
        kept.used = self._uses
        kept.updated_at = datetime.fromtimestamp(time.time(), UTC)

    def _list_keys(self, tenant: str) -> Sequence[tuple[str, str]]:
        keys = [key for key, kept in self._kept.items() if key[0] == tenant and kept.turns]
        return sorted(keys, key=lambda key: -self._kept[key].used)

    def _summarise(self, key: tuple[str, str]) -> ConversationSummary:
        kept = self._kept[key]
        return ConversationSummary(
            conversation_id=key[1], title=kept.title, turns=len(kept.turns), updated_at=kept.updated_at
        )


def _measure(turns: list[ConversationTurn]) -> int:
    return sum(len(turn.question) + len(turn.answer) for turn in turns)
