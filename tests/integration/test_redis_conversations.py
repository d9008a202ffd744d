"""What of conversations only Redis has: keys that expire, bounds that are lowered, and a server that is away."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from services.gateway.ports import ConversationLimits
from services.gateway.redis_conversations import MAX_TITLE_CHARS, RedisConversations
from shared.contracts.conversations import ConversationTurn
from shared.errors import DependencyUnavailable
from shared.redis_client import connect_redis
from tests.patience import PATIENT_S

KEY, INDEX = "pagewire:t:conversation:c", "pagewire:t:conversations"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as client:
        yield client


def make_store(redis: Redis, *, max_conversations: int = 200) -> RedisConversations:
    limits = ConversationLimits(ttl_s=600, max_turns=10, max_characters=10_000, max_conversations=max_conversations)
    return RedisConversations(redis, limits, begun_s=60, deadline_s=PATIENT_S)


async def add(store: RedisConversations, conversation_id: str, run_id: str = "run_1", question: str = "?") -> None:
    opened = await store.open("t", conversation_id)
    turn = ConversationTurn(run_id=run_id, question=question, answer="a", complete=True)
    assert await store.add_turn("t", conversation_id, opened.incarnation, turn)


async def test_nothing_stays_for_good(redis: Redis) -> None:
    """One without a turn goes with its run, any other a while after its last use, one that was deleted in a minute."""
    store = make_store(redis)
    await store.open("t", "c")
    assert 0 < await redis.pttl(KEY) <= 60_000
    assert await redis.keys() == [KEY]

    await add(store, "c")
    for key in (KEY, INDEX):
        assert 60_000 < await redis.pttl(key) <= 600_000
        await redis.pexpire(key, 1000)
    await store.open("t", "c")
    for key in (KEY, INDEX):
        assert 60_000 < await redis.pttl(key) <= 600_000

    await store.delete("t", "c")
    assert await redis.keys() == [KEY]
    assert 0 < await redis.pttl(KEY) <= 60_000


async def test_the_index_forgets_what_has_expired(redis: Redis) -> None:
    """With the next turn of any conversation; a list leaves it out, and writes nothing."""
    store = make_store(redis)
    for name in ("c", "d"):
        await add(store, name)
        await redis.zadd(INDEX, {f"old-{name}": 1})
    assert await redis.zcard(INDEX) == 3

    summaries, total = await store.list("t", 0, 10)
    assert ([summary.conversation_id for summary in summaries], total) == (["d", "c"], 2)
    assert await redis.zcard(INDEX) == 3


async def test_a_bound_that_was_lowered_holds_step_by_step(redis: Redis) -> None:
    """No step is long: a hundred go at once."""
    store = make_store(redis)
    for n in range(150):
        await add(store, f"c{n}")
    lowered = make_store(redis, max_conversations=2)
    await add(lowered, "c")
    assert await redis.zcard(INDEX) == 51
    await add(lowered, "c", "run_2")

    assert [summary.conversation_id for summary in (await lowered.list("t", 0, 10))[0]] == ["c", "c149"]
    assert len(await redis.keys("pagewire:t:conversation:*")) == 2


async def test_what_is_let_go_leaves_nothing_behind(redis: Redis) -> None:
    """Two fields for each turn that is kept, and six for all."""
    store = make_store(redis)
    for n in range(30):
        await add(store, "c", f"run_{n}")

    counting: Any = redis.hlen(KEY)
    assert await counting == 2 * 10 + 6


async def test_a_long_question_is_a_short_title(redis: Redis) -> None:
    """Also where a character has several bytes."""
    store = make_store(redis)
    await add(store, "c", question="é" * 4000)

    conversation = await store.get("t", "c")
    assert conversation.title == "é" * MAX_TITLE_CHARS
    assert conversation.turns[0].question == "é" * 4000


async def test_a_redis_that_is_away_is_said() -> None:
    """By every call, in our own error."""
    async with connect_redis("redis://127.0.0.1:9", timeout_s=1) as redis:
        store = make_store(redis)
        turn = ConversationTurn(run_id="r", question="?", answer="a", complete=True)
        for call in (
            store.open("t", "c"),
            store.add_turn("t", "c", "i", turn),
            store.list("t", 0, 1),
            store.get("t", "c"),
            store.delete("t", "c"),
        ):
            with pytest.raises(DependencyUnavailable):
                await call
        await store.close()
