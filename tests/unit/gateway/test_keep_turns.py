"""A turn is kept as far as it was written; that it cannot be kept fails no answer."""

import asyncio

import pytest
from pydantic import ValidationError

from services.gateway.conversations.keep_turns import open_turn
from services.gateway.ports import ConversationLimits, Message
from services.gateway.settings import GatewaySettings
from shared.contracts.conversations import ConversationTurn
from shared.errors import DependencyUnavailable, NotFound
from tests.fakes.memory_conversations import MemoryConversations

LIMITS = ConversationLimits(ttl_s=600, max_turns=10, max_characters=1000, max_conversations=10)


class AwayConversations(MemoryConversations):
    """Can be read and not written."""

    async def add_turn(self, tenant: str, conversation_id: str, incarnation: str, turn: ConversationTurn) -> bool:
        raise DependencyUnavailable("away")


class SilentConversations(MemoryConversations):
    """Never answers who writes."""

    async def add_turn(self, tenant: str, conversation_id: str, incarnation: str, turn: ConversationTurn) -> bool:
        await asyncio.Event().wait()
        return True


@pytest.fixture
def store() -> MemoryConversations:
    return MemoryConversations(LIMITS)


async def ask(store: MemoryConversations, run_id: str, question: str, answer: str, *, complete: bool = True) -> None:
    turn = await open_turn("t", "c", question, store, max_characters=LIMITS.max_characters)
    await turn.keep(run_id, answer, complete=complete)


async def test_what_was_said_goes_with_the_next_question(store: MemoryConversations) -> None:
    """In the order in which it was said."""
    await ask(store, "run_1", "Who?", "Ada [1].")
    await ask(store, "run_2", "When?", "In 18", complete=False)
    turn = await open_turn("t", "c", "Why?", store, max_characters=LIMITS.max_characters)

    said = [("user", "Who?"), ("assistant", "Ada [1]."), ("user", "When?"), ("assistant", "In 18")]
    assert turn.history == tuple(Message(role, text) for role, text in said)  # type: ignore[arg-type]
    assert [turn.complete for turn in (await store.get("t", "c")).turns] == [True, False]


@pytest.mark.parametrize("answer", ["", " \n"])
async def test_a_question_without_an_answer_is_not_kept(store: MemoryConversations, answer: str) -> None:
    """It was stopped before anything came."""
    await ask(store, "run_1", "Who?", answer)

    with pytest.raises(NotFound):
        await store.get("t", "c")


async def test_an_answer_that_is_too_long_is_cut_and_says_so(store: MemoryConversations) -> None:
    """Question and answer together have room."""
    await ask(store, "run_1", "Who?", "x" * 5000)

    (turn,) = (await store.get("t", "c")).turns
    assert len(turn.question) + len(turn.answer) == LIMITS.max_characters
    assert not turn.complete


async def test_half_a_character_is_kept_as_none(store: MemoryConversations) -> None:
    """It has no UTF-8; one that came in two halves is whole."""
    await ask(store, "run_1", "Who?", "a\ud83d\ude42b\ud83ec\ud83e")

    assert (await store.get("t", "c")).turns[0].answer == "a🙂b\ufffdc"


@pytest.mark.parametrize("kind", [AwayConversations, SilentConversations])
async def test_a_turn_that_cannot_be_kept_is_logged(
    kind: type[MemoryConversations], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And neither raised nor waited for, without what was said."""
    monkeypatch.setattr("services.gateway.conversations.keep_turns.KEEP_S", 0.01)
    await ask(kind(LIMITS), "run_1", "Who is it?", "Ada is it.")

    logged = [str(record.msg) for record in caplog.records if "turn_not_kept" in str(record.msg)]
    assert len(logged) == 1
    assert "Ada" not in caplog.text
    assert "Who" not in caplog.text


def test_a_conversation_lives_as_long_as_its_answer_may_take() -> None:
    """Else it would be gone when its turn is kept, and that be lost."""
    with pytest.raises(ValidationError, match="PAGEWIRE_CONVERSATION_TTL_S is over before"):
        GatewaySettings(conversation_ttl_s=60, run_deadline_s=61)
    assert GatewaySettings(conversation_ttl_s=60, run_deadline_s=60, llm_chain=None).conversation_ttl_s == 60
