"""Conversations on Redis.

Keys, `T` a tenant and `C` a conversation's id:

    pagewire:T:conversation:C   hash    all of it, see conversation_scripts.py
    pagewire:T:conversations    zset    ids of those with a turn, by their last use

Both expire `ttl_s` after their last use.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from redis.asyncio import Redis

from services.gateway import conversation_scripts as scripts
from services.gateway.ports import ConversationLimits, OpenedConversation
from shared.bounded_calls import BoundedCalls
from shared.contracts.conversations import Conversation, ConversationSummary, ConversationTurn
from shared.errors import NotFound
from shared.redis_client import name_prefix, run_command

MAX_TITLE_CHARS: Final = 200
DELETED_MS: Final = 60_000
"""How long a call that deletes may still be on its way a second time; its tries end within seconds."""
AT_ONCE: Final = 16
"""Connections that these calls take of the client's pool of 100."""


class RedisConversations:
    """A ConversationStore.

    Parameters:
        redis: a client whose replies are `str`.
        begun_s: seconds for which one without a turn is known: longer than a run can take.
        deadline_s: seconds for a call.
    """

    def __init__(self, redis: Redis, limits: ConversationLimits, *, begun_s: float, deadline_s: float) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._limits = limits
        self._ttl_ms = int(limits.ttl_s * 1000)
        self._begun_ms = int(begun_s * 1000)
        self._calls = BoundedCalls(deadline_s=deadline_s, at_once=AT_ONCE)

    async def close(self) -> None:
        """End the calls that nobody waits for any more; the client stays open."""
        await self._calls.close()

    async def open(self, tenant: str, conversation_id: str) -> OpenedConversation:
        """Return what is kept of a conversation, and count that as a use; begin one that is unknown."""
        keys = [self._make_key(tenant, conversation_id), self._make_index(tenant)]
        arguments = [uuid.uuid4().hex, self._ttl_ms, self._begun_ms, conversation_id]
        flat = await self._run(scripts.OPEN, keys, arguments)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return OpenedConversation(fields["incarnation"], tuple(_parse_turns(fields)))

    async def add_turn(self, tenant: str, conversation_id: str, incarnation: str, turn: ConversationTurn) -> bool:
        """Add a turn, once however often it is called; return False where that incarnation is gone."""
        limits = self._limits
        arguments = [
            incarnation,
            self._ttl_ms,
            conversation_id,
            turn.run_id,
            turn.model_dump_json(),
            len(turn.question) + len(turn.answer),
            turn.question[:MAX_TITLE_CHARS],
            limits.max_turns,
            limits.max_characters,
            limits.max_conversations,
            self._make_key(tenant, ""),
        ]
        keys = [self._make_key(tenant, conversation_id), self._make_index(tenant)]
        return bool(await self._run(scripts.ADD, keys, arguments))

    async def list(self, tenant: str, offset: int, limit: int) -> tuple[list[ConversationSummary], int]:
        """Return conversations with a turn, last used first, and how many there are in all."""
        arguments = [self._ttl_ms, offset, limit, self._make_key(tenant, "")]
        total, rows = await self._run(scripts.LIST, [self._make_index(tenant)], arguments)
        summaries = [
            ConversationSummary(
                conversation_id=conversation_id,
                title=title,
                turns=int(last) - int(first) + 1,
                updated_at=_parse_time(updated_at),
            )
            for conversation_id, title, first, last, updated_at in rows
        ]
        return summaries, int(total)

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation with a turn. Raise NotFound for any other."""
        reading: Any = self._redis.hgetall(self._make_key(tenant, conversation_id))
        fields = await self._call(reading)
        if "title" not in fields:
            raise make_missing(conversation_id)
        return Conversation(
            conversation_id=conversation_id,
            title=fields["title"],
            turns=_parse_turns(fields),
            updated_at=_parse_time(fields["updated_at"]),
        )

    async def delete(self, tenant: str, conversation_id: str) -> None:
        """Delete a conversation, also one that has no turn yet. Raise NotFound for an unknown one."""
        keys = [self._make_key(tenant, conversation_id), self._make_index(tenant)]
        if not await self._run(scripts.DELETE, keys, [conversation_id, uuid.uuid4().hex, DELETED_MS]):
            raise make_missing(conversation_id)

    def _make_key(self, tenant: str, conversation_id: str) -> str:
        return f"{self._prefix}{tenant}:conversation:{conversation_id}"

    def _make_index(self, tenant: str) -> str:
        return f"{self._prefix}{tenant}:conversations"

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        evaluating: Any = self._redis.eval(script, len(keys), *keys, *arguments)
        return await self._call(evaluating)

    async def _call(self, command: Any) -> Any:
        return await run_command(
            self._calls, command, "Conversations cannot be read or written now; try again in a few seconds."
        )


def make_missing(conversation_id: str) -> NotFound:
    """Return the error for a conversation that is not there."""
    return NotFound(f"There is no conversation {conversation_id!r}; GET /conversations lists what there is.")


def _parse_turns(fields: Mapping[str, str]) -> list[ConversationTurn]:
    numbers = range(int(fields.get("first", 1)), int(fields.get("last", 0)) + 1)
    return [ConversationTurn.model_validate_json(fields[f"turn:{n}"].split(" ", 2)[2]) for n in numbers]


def _parse_time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
