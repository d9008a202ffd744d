"""Opens a conversation for a question, and keeps the turn when its answer has been written."""

import asyncio
from typing import Final

import structlog

from services.gateway.ports import ConversationStore, Message
from shared.contracts.conversations import ConversationTurn
from shared.errors import ServiceError
from shared.surrogates import join_halves

log = structlog.get_logger(__name__)

KEEP_S: Final = 2.0
"""Seconds for keeping a turn: the end of the answer waits for it. A local Redis needs less than a millisecond."""


class OpenTurn:
    """A question of a conversation whose answer is being written.

    Attributes:
        history: the turns before it, oldest first, as a language model reads them.
    """

    def __init__(
        self,
        store: ConversationStore,
        tenant: str,
        conversation_id: str,
        incarnation: str,
        history: tuple[Message, ...],
        question: str,
        max_characters: int,
    ) -> None:
        self.conversation_id = conversation_id
        self.history = history
        self._store = store
        self._tenant = tenant
        self._incarnation = incarnation
        self._question = question
        self._max_answer = max_characters - len(question)

    async def keep(self, run_id: str, answer: str, *, complete: bool) -> None:
        """Keep the question with what was written; nothing was: keep neither. Never raise: the answer is there."""
        if not answer.strip():
            return
        text, _ = join_halves(answer)
        cut = len(text) > self._max_answer
        turn = ConversationTurn(
            run_id=run_id,
            question=self._question,
            answer=text[: self._max_answer],
            complete=complete and not cut,
        )
        try:
            async with asyncio.timeout(KEEP_S):
                kept = await self._store.add_turn(self._tenant, self.conversation_id, self._incarnation, turn)
        except (ServiceError, TimeoutError) as error:
            log.warning("turn_not_kept", cause=type(error.__cause__ or error).__name__)
        else:
            if not kept:
                log.info("turn_of_deleted_conversation")


async def open_turn(
    tenant: str, conversation_id: str, question: str, store: ConversationStore, *, max_characters: int
) -> OpenTurn:
    """Return a new turn of a conversation, which begins with it where it is unknown.

    Parameters:
        max_characters: of question and answer together; what is longer is cut when it is kept.

    Raises:
        DependencyUnavailable: the store does not answer. Without its history a follow-up would be answered wrongly.
        DiskFull: it cannot write.
    """
    opened = await store.open(tenant, conversation_id)
    history: list[Message] = []
    for turn in opened.turns:
        history += (Message("user", turn.question), Message("assistant", turn.answer))
    return OpenTurn(
        store, tenant, conversation_id, opened.incarnation, tuple(history), question.strip(), max_characters
    )
