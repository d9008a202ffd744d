"""One suite on every conversation store: what is kept, bounds, deletion, expiry, and calls that are sent twice."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.gateway.ports import ConversationLimits
from services.gateway.redis_conversations import RedisConversations
from shared.contracts.conversations import ConversationTurn
from shared.errors import NotFound
from tests.fakes.memory_conversations import MemoryConversations
from tests.patience import PATIENT_S

LIMITS = ConversationLimits(ttl_s=600, max_turns=3, max_characters=100, max_conversations=3)


class ExpiringConversations(RedisConversations):
    """A test can let a conversation expire."""

    async def expire(self, tenant: str, conversation_id: str) -> None:
        """Let it expire as Redis does: the conversation goes, its place in the index stays."""
        assert await self._redis.pexpire(self._make_key(tenant, conversation_id), 0)


class RepeatingConversations(ExpiringConversations):
    """Runs each script twice and believes the second answer: what a client does whose Redis was slow to answer."""

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        await super()._run(script, keys, arguments)
        return await super()._run(script, keys, arguments)


AnyStore = ExpiringConversations | MemoryConversations
MakeStore = Callable[..., AnyStore]


@pytest.fixture(params=["memory", "redis", "slow redis", "redis cluster"])
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Makes an empty one of each kind."""

    def make(limits: ConversationLimits = LIMITS) -> AnyStore:
        if request.param == "memory":
            return MemoryConversations(limits)
        kind = RepeatingConversations if request.param == "slow redis" else ExpiringConversations
        return kind(request.getfixturevalue(client), limits, begun_s=60, deadline_s=PATIENT_S)

    client = "clustered_redis" if request.param == "redis cluster" else "redis"
    if request.param != "memory":
        request.getfixturevalue(client)
    return make


@pytest.fixture
def store(make_store: MakeStore) -> AnyStore:
    return make_store()


def make_turn(n: int | str, *, answer: str = "a") -> ConversationTurn:
    return ConversationTurn(run_id=f"run_{n}", question=f"q{n}", answer=answer, complete=True)


async def add(store: AnyStore, conversation_id: str, *turns: ConversationTurn, tenant: str = "t") -> None:
    """Ask and answer, one turn after the other."""
    for turn in turns:
        opened = await store.open(tenant, conversation_id)
        assert await store.add_turn(tenant, conversation_id, opened.incarnation, turn)


async def list_ids(store: AnyStore, tenant: str = "t") -> list[str]:
    return [summary.conversation_id for summary in (await store.list(tenant, 0, 10))[0]]


async def test_an_unknown_conversation_begins_without_turns(store: AnyStore) -> None:
    """Until its first turn it is nowhere to be seen, and it is the same one for all who ask in it."""
    first, second = await store.open("t", "c"), await store.open("t", "c")

    assert first.turns == ()
    assert first == second
    assert await store.list("t", 0, 10) == ([], 0)
    with pytest.raises(NotFound):
        await store.get("t", "c")


async def test_turns_are_kept_in_their_order(store: AnyStore) -> None:
    """With all that they hold: half an answer, quotes, characters beyond ASCII and line ends."""
    odd = ConversationTurn(run_id="run_2", question='"\\ 🙂?', answer="é\n\u2028 [1] 1 2 {}", complete=False)
    await add(store, "c", make_turn(1), odd)

    opened, conversation = await store.open("t", "c"), await store.get("t", "c")
    assert opened.turns == (make_turn(1), odd)
    assert conversation.turns == [make_turn(1), odd]
    assert (conversation.conversation_id, conversation.title) == ("c", "q1")


async def test_a_list_begins_with_the_last_used(store: AnyStore) -> None:
    """Paged, with how many there are in all; asking in one puts it in front."""
    for name in ("a", "b", "c"):
        await add(store, name, make_turn(name), make_turn(f"{name}2"))
    await store.open("t", "a")

    summaries, total = await store.list("t", 0, 2)
    rest, _ = await store.list("t", 2, 2)
    assert [summary.conversation_id for summary in (*summaries, *rest)] == ["a", "c", "b"]
    assert total == 3
    assert [(summary.title, summary.turns) for summary in summaries] == [("qa", 2), ("qc", 2)]
    assert summaries[0].updated_at >= summaries[1].updated_at
    assert (await store.get("t", "a")).updated_at == summaries[0].updated_at


async def test_a_turn_that_is_added_again_is_there_once(store: AnyStore) -> None:
    """What is sent a second time, because no answer came, changes nothing."""
    opened = await store.open("t", "c")
    for turn in (make_turn(1), make_turn(2), make_turn(1)):
        assert await store.add_turn("t", "c", opened.incarnation, turn)

    assert [turn.run_id for turn in (await store.get("t", "c")).turns] == ["run_1", "run_2"]


async def test_the_oldest_turns_go_first(store: AnyStore) -> None:
    """Three are kept; the title stays that of the first question."""
    await add(store, "c", *(make_turn(n) for n in range(6)))

    conversation = await store.get("t", "c")
    assert [turn.question for turn in conversation.turns] == ["q3", "q4", "q5"]
    assert conversation.title == "q0"


async def test_characters_are_bounded(store: AnyStore) -> None:
    """As many of the newest turns are kept as have room together, and the newest in any case."""
    await add(store, "c", make_turn(1, answer="é" * 30), make_turn(2, answer="é" * 30), make_turn(3, answer="é" * 40))
    assert [turn.run_id for turn in (await store.get("t", "c")).turns] == ["run_2", "run_3"]

    await add(store, "c", make_turn(4, answer="é" * 500))
    assert [turn.run_id for turn in (await store.get("t", "c")).turns] == ["run_4"]
    await add(store, "c", make_turn(5))
    assert [turn.run_id for turn in (await store.get("t", "c")).turns] == ["run_5"]


async def test_the_least_recently_used_conversation_goes_first(store: AnyStore) -> None:
    """To ask in one is to use it. One that went begins anew."""
    for name in ("a", "b", "c"):
        await add(store, name, make_turn(name))
    await store.open("t", "a")
    await add(store, "d", make_turn("d"))

    assert await list_ids(store) == ["d", "a", "c"]
    with pytest.raises(NotFound):
        await store.get("t", "b")
    assert (await store.open("t", "b")).turns == ()


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_gateway_whose_clock_is_wrong_ends_no_conversation_of_another(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Not by its age, of which the limit is ten minutes, nor because its own seem used later or earlier."""
    now = time.time_ns
    await add(store, "a", make_turn("a"))
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: now() + 3600 * 10**9 * hours)
        await add(store, "b", make_turn("b"))
        assert await list_ids(store) == ["b", "a"]
    await add(store, "c", make_turn("c"))
    assert await list_ids(store) == ["c", "b", "a"]
    await add(store, "d", make_turn("d"))
    assert await list_ids(store) == ["d", "c", "b"]


async def test_what_is_deleted_is_gone(store: AnyStore) -> None:
    """From the list as well; a second time there is nothing to delete."""
    await add(store, "c", make_turn(1))
    await store.delete("t", "c")

    assert await store.list("t", 0, 10) == ([], 0)
    for call in (store.get, store.delete):
        with pytest.raises(NotFound):
            await call("t", "c")


@pytest.mark.parametrize("begun_again", [False, True])
@pytest.mark.parametrize("kept", [0, 1])
async def test_an_answer_that_outlives_its_conversation_is_not_kept(
    store: AnyStore, begun_again: bool, kept: int
) -> None:
    """Neither does it bring the deleted one back, nor does it come into another of the same name."""
    await add(store, "c", *(make_turn(n) for n in range(kept)))
    opened = await store.open("t", "c")
    await store.delete("t", "c")
    if begun_again:
        await add(store, "c", make_turn("new"))

    assert not await store.add_turn("t", "c", opened.incarnation, make_turn("late"))
    expected = ["run_new"] if begun_again else []
    assert [turn.run_id for turn in (await store.open("t", "c")).turns] == expected
    assert await list_ids(store) == ["c"] * begun_again


async def test_tenants_do_not_see_each_others_conversations(store: AnyStore) -> None:
    """The same id is another conversation; an incarnation of the one opens nothing of the other."""
    await add(store, "c", make_turn(1))
    opened = await store.open("t", "c")

    assert (await store.open("u", "c")).turns == ()
    assert not await store.add_turn("u", "c", opened.incarnation, make_turn(2))
    assert await list_ids(store, "u") == []
    with pytest.raises(NotFound):
        await store.get("u", "c")
    await store.delete("u", "c")  # which had begun
    assert await list_ids(store) == ["c"]


async def test_an_expired_conversation_begins_anew(store: AnyStore) -> None:
    """And is in no list."""
    await add(store, "c", make_turn(1))
    await store.expire("t", "c")

    assert (await store.list("t", 0, 10))[0] == []
    with pytest.raises(NotFound):
        await store.get("t", "c")
    assert (await store.open("t", "c")).turns == ()


async def test_turns_that_come_at_once_are_all_kept(make_store: MakeStore) -> None:
    """Each once, and the bounds hold: every step is one."""
    store = make_store(ConversationLimits(ttl_s=600, max_turns=20, max_characters=10_000, max_conversations=3))
    opened = await store.open("t", "c")
    turns = [make_turn(n) for n in range(40)]
    await asyncio.gather(*(store.add_turn("t", "c", opened.incarnation, turn) for turn in turns))

    kept = (await store.get("t", "c")).turns
    assert len(kept) == len({turn.run_id for turn in kept}) == 20
    assert (await store.list("t", 0, 10))[0][0].turns == 20
