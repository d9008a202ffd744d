"""Who embeds which range of a large document, on a real Redis: every script against a model of what must hold."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.documents import DocumentFailure, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_document_id
from shared.redis_client import connect_redis
from shared.registry.keys import RegistryKeys
from shared.registry.port import Lease, LeaseLostError, NewDocument
from shared.registry.range_scripts import MAX_LOST
from shared.registry.ranges_port import RangeClaim, RangePlan
from shared.registry.redis_ranges import RedisDocumentRanges
from tests.patience import PATIENT_S
from tests.redis_registry import ExpiringRegistry

KEYS = RegistryKeys()

PLAN = RangePlan("v1", "title", chunks=7, range_chunks=2, text_key="")
OTHER_PLAN = RangePlan("v2", "title", chunks=7, range_chunks=2, text_key="")
FAILURE = DocumentFailure(code="damaged", detail="Save a new copy.")
LONG_MS = 600_000
"""Longer than any test: a claim's time is over when the test says so."""


class RepeatingRanges(RedisDocumentRanges):
    """Runs each script twice and believes the second answer: what a client does whose Redis was slow to answer."""

    async def _run(self, script: str, job: DocumentJob, arguments: Sequence[Any]) -> Any:
        await super()._run(script, job, arguments)
        return await super()._run(script, job, arguments)


@pytest.fixture
def registry(redis: Any) -> ExpiringRegistry:
    return ExpiringRegistry(redis)


@pytest.fixture(params=["redis", "slow redis"])
def ranges(request: pytest.FixtureRequest, redis: Any) -> RedisDocumentRanges:
    return RedisDocumentRanges(redis, deadline_s=PATIENT_S) if request.param == "redis" else RepeatingRanges(redis)


async def make_leased(registry: ExpiringRegistry) -> Lease:
    """A document that a worker has."""
    document_id = make_document_id()
    new = NewDocument("t", document_id, "a.pdf", sha256=document_id, size_bytes=10)
    await registry.create(new)
    return await claim_document(registry, DocumentJob(tenant="t", document_id=new.document_id))


async def claim_document(registry: ExpiringRegistry, job: DocumentJob) -> Lease:
    lease = await registry.claim(job, make_document_id(), LONG_MS)
    assert isinstance(lease, Lease)
    return lease


async def expire_claim(redis: Any, claim: RangeClaim) -> None:
    """Let the time of a helper that has died run out."""
    await redis.hset(KEYS.ranges(claim.job), str(claim.number), f"helper 1 {claim.token}")
    await redis.zrem(KEYS.helpers(claim.job), claim.token)


async def help_with(ranges: RedisDocumentRanges, lease: Lease, token: str, plan: RangePlan = PLAN) -> RangeClaim:
    claim = await ranges.claim_as_helper(lease.job, plan, token, LONG_MS)
    assert claim is not None
    return claim


async def count_done(registry: ExpiringRegistry, job: DocumentJob) -> int:
    return (await registry.get(job.tenant, job.document_id)).chunks_done


async def finish_next(ranges: RedisDocumentRanges, lease: Lease) -> int:
    """The worker that has the document does its next range; its number."""
    claim = await ranges.claim(lease, PLAN)
    assert isinstance(claim, RangeClaim)
    assert await ranges.finish(claim)
    return claim.number


async def test_each_range_is_taken_once_and_the_last_is_shorter(
    registry: ExpiringRegistry, ranges: RedisDocumentRanges
) -> None:
    """Owner and helpers get different ranges; what all have done counts together, and as the last says it is all."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    found = await ranges.find_shared()
    assert found == (lease.job, PLAN)
    assert found[1].text_key == lease.text_key

    helpers = [await help_with(ranges, lease, token) for token in ("a", "b", "c")]
    own = await ranges.claim(lease, PLAN)
    assert isinstance(own, RangeClaim)
    taken = [*helpers, own]
    assert [claim.chunks for claim in taken] == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 7)]
    assert await ranges.claim_as_helper(lease.job, PLAN, "d", LONG_MS) is None

    done = []
    for claim in taken[::-1]:
        assert await ranges.finish(claim)
        done.append(await count_done(registry, lease.job))
    assert done == [1, 3, 5, 7]
    assert await ranges.claim(lease, PLAN) == "done"


async def test_the_owner_waits_for_helpers_and_takes_back_what_the_dead_have(
    registry: ExpiringRegistry, ranges: RedisDocumentRanges, redis: Any
) -> None:
    """It is told to wait as long as a helper has its time; the helper whose time was over has lost its range."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    helper = await help_with(ranges, lease, "a")
    for _ in range(3):
        await finish_next(ranges, lease)
    assert await ranges.claim(lease, PLAN) == "held"
    assert await ranges.keep(helper, LONG_MS)
    assert await ranges.has_helpers(lease.job)

    await expire_claim(redis, helper)
    taken = await ranges.claim(lease, PLAN)
    assert isinstance(taken, RangeClaim)
    assert taken.number == helper.number
    assert not await ranges.keep(helper, LONG_MS)
    assert not await ranges.finish(helper)
    assert await ranges.finish(taken)
    assert await ranges.claim(lease, PLAN) == "done"
    assert not await ranges.has_helpers(lease.job)


async def test_a_takeover_goes_on_with_what_is_done(registry: ExpiringRegistry, ranges: RedisDocumentRanges) -> None:
    """Ranges that are done stay so, helpers go on, and what the dead worker had is free; it itself is refused."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    assert await finish_next(ranges, lease) == 0
    helper = await help_with(ranges, lease, "a")
    dead = await ranges.claim(lease, PLAN)
    assert isinstance(dead, RangeClaim)
    await registry.expire_lease(lease.job)
    successor = await claim_document(registry, lease.job)

    with pytest.raises(LeaseLostError):
        await ranges.claim(lease, PLAN)
    assert not await ranges.finish(dead)
    await ranges.open(successor, PLAN)
    assert [await finish_next(ranges, successor) for _ in range(2)] == [dead.number, 3]
    assert await ranges.finish(helper)
    assert await ranges.claim(successor, PLAN) == "done"
    assert await count_done(registry, lease.job) == 7


async def test_helpers_are_kept_off_what_kills_workers(
    registry: ExpiringRegistry, ranges: RedisDocumentRanges, redis: Any
) -> None:
    """No helper while another's time has run out, none after so many; none where a worker died and none got further."""
    lease = await make_leased(registry)
    plan = RangePlan("v1", "title", chunks=20, range_chunks=2, text_key="")
    await ranges.open(lease, plan)
    for lost in range(MAX_LOST):
        await expire_claim(redis, await help_with(ranges, lease, f"dies{lost}", plan))
        assert await ranges.claim_as_helper(lease.job, plan, "careful", LONG_MS) is None
        taken = await ranges.claim(lease, plan)
        assert isinstance(taken, RangeClaim)
        assert await ranges.finish(taken)
    assert await ranges.claim_as_helper(lease.job, plan, "careful", LONG_MS) is None

    second = await make_leased(registry)
    await registry.expire_lease(second.job)
    second = await claim_document(registry, second.job)
    await ranges.open(second, PLAN)
    assert await ranges.claim_as_helper(second.job, PLAN, "careful", LONG_MS) is None
    await finish_next(ranges, second)
    assert await ranges.claim_as_helper(second.job, PLAN, "helps", LONG_MS) is not None


@pytest.mark.parametrize("end", ["publish", "fail", "delete"])
async def test_nobody_helps_with_a_document_that_is_final(
    registry: ExpiringRegistry, ranges: RedisDocumentRanges, redis: Any, end: str
) -> None:
    """A helper may not write from then on, is waited for until it lets go, and nothing is left of the plan."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    helper = await help_with(ranges, lease, "a")
    if end == "publish":
        await registry.publish(lease, "v1", [])
    elif end == "fail":
        await registry.fail(lease, FAILURE)
    else:
        await registry.delete("t", lease.job.document_id)
    await registry.release(lease)

    assert await ranges.claim_as_helper(lease.job, PLAN, "b", LONG_MS) is None
    assert not await ranges.keep(helper, LONG_MS)
    assert await registry.is_leased(lease.job)
    assert not await ranges.finish(helper)
    await ranges.give_back(helper)
    assert not await registry.is_leased(lease.job)
    assert await ranges.find_shared() is None
    assert await redis.scard(KEYS.shared) == 0
    if end == "delete":
        await registry.forget(lease.job)
    assert not await redis.exists(KEYS.ranges(lease.job), KEYS.helpers(lease.job))


async def test_the_next_try_of_a_failed_document_begins_anew(
    registry: ExpiringRegistry, ranges: RedisDocumentRanges
) -> None:
    """What the failed try had done was removed with its points."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    await finish_next(ranges, lease)
    await registry.fail(lease, FAILURE)
    await registry.release(lease)
    await registry.requeue(lease.job)

    lease = await claim_document(registry, lease.job)
    await ranges.open(lease, PLAN)
    assert await finish_next(ranges, lease) == 0
    assert await count_done(registry, lease.job) == 2


async def test_what_a_helper_gives_back_is_free(registry: ExpiringRegistry, ranges: RedisDocumentRanges) -> None:
    """At once, and the helper's time is over."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    helper = await help_with(ranges, lease, "a")
    await ranges.give_back(helper)
    assert not await ranges.finish(helper)
    assert (await help_with(ranges, lease, "b")).number == 0


async def test_a_helper_that_ends_after_the_owner_costs_the_document_no_attempt(
    registry: ExpiringRegistry, ranges: RedisDocumentRanges
) -> None:
    """An owner that hands the document back has not died, whoever goes on with a range of it."""
    lease = await make_leased(registry)
    await ranges.open(lease, PLAN)
    helper = await help_with(ranges, lease, "a")
    await registry.release(lease)

    assert await ranges.finish(helper)

    assert await registry.count_attempts(lease.job) == 0


# --- any sequence of events against a model --------------------------------------------------------------


@dataclass
class Model:
    """What must hold of one document, in the simplest words."""

    plan: RangePlan | None = None
    final: bool = False
    done: set[int] = field(default_factory=set)
    held: dict[int, str] = field(default_factory=dict)
    """By range: the helper's token, or `owner EPOCH`."""
    expired: set[str] = field(default_factory=set)
    """Tokens whose time has run out, and whose ranges nobody has taken yet."""
    most_done: int = 0

    def count_chunks(self) -> int:
        assert self.plan is not None
        per, chunks = self.plan.range_chunks, self.plan.chunks
        return sum(min(per, chunks - number * per) for number in self.done)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "other plan", "own", "own done", "help", "keep", "finish", "give back", "die", "take over", "end"]
        ),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.booleans())
def test_no_order_of_events_breaks_the_rules(redis_url: str, events: list[tuple[str, int]], slow: bool) -> None:
    """A range has one holder at a time, is done only by who has it, and stays done; progress only rises; who took a
    document over sees all that was done; and whatever has happened, the last owner can bring it to its end."""
    asyncio.run(play(redis_url, events, slow))


async def play(redis_url: str, events: list[tuple[str, int]], slow: bool) -> None:
    redis: Any = connect_redis(redis_url, timeout_s=PATIENT_S)
    registry = ExpiringRegistry(redis)
    ranges = RepeatingRanges(redis) if slow else RedisDocumentRanges(redis, deadline_s=PATIENT_S)
    lease = await make_leased(registry)
    model, claims, own = Model(), dict[str, RangeClaim](), None
    try:
        for number, (event, which) in enumerate(events):
            token = f"token{which}"
            claim = claims.get(token)
            if event in ("open", "other plan") and not model.final:
                plan = PLAN if event == "open" else OTHER_PLAN
                await ranges.open(lease, plan)
                if model.plan != plan:
                    model.plan, model.done, model.held, model.expired, own = plan, set(), {}, set(), None
            elif event == "own" and model.plan is not None and not model.final:
                own = await take_own(ranges, lease, model)
            elif event == "own done" and own is not None:
                assert await ranges.finish(own) == (not model.final and own.epoch == lease.epoch)
                if not model.final:
                    model.done.add(own.number)
                    model.held.pop(own.number)
                own = None
            elif event == "help" and claim is None and model.plan is not None:
                new = await ranges.claim_as_helper(lease.job, model.plan, f"{token}x{number}", LONG_MS)
                if new is not None:
                    assert not model.final
                    assert not model.expired
                    assert new.number not in model.done | model.held.keys()
                    model.held[new.number] = new.token
                    claims[token] = new
            elif event == "keep" and claim is not None:
                has = not model.final and claim.plan == model.plan and model.held.get(claim.number) == claim.token
                assert await ranges.keep(claim, LONG_MS) == has
                if has:
                    model.expired.discard(claim.token)
            elif event == "finish" and claim is not None:
                current = not model.final and claim.plan == model.plan
                has = current and model.held.get(claim.number) == claim.token
                assert await ranges.finish(claim) == (has or (current and claim.number in model.done))
                if has:
                    model.done.add(claim.number)
                    model.held.pop(claim.number)
                    model.expired.discard(claim.token)
                claims.pop(token)
            elif event == "give back" and claim is not None:
                await ranges.give_back(claim)
                if claim.plan == model.plan and model.held.get(claim.number) == claim.token:
                    model.held.pop(claim.number)
                    model.expired.discard(claim.token)
                claims.pop(token)
            elif event == "die" and claim is not None and model.held.get(claim.number) == claim.token:
                if claim.plan == model.plan and not model.final:
                    await expire_claim(redis, claim)
                    model.expired.add(claim.token)
            elif event == "take over" and not model.final:
                await registry.expire_lease(lease.job)
                lease, own = await claim_document(registry, lease.job), None
                model.held = {n: holder for n, holder in model.held.items() if not holder.startswith("owner")}
            elif event == "end" and which == 0 and not model.final:
                await registry.publish(lease, "v1", [])
                model.final = True
            await check(registry, lease.job, model)
        if not model.final:
            await bring_to_the_end(redis, registry, ranges, lease, claims.values())
    finally:
        await ranges.close()
        await registry.close()
        await redis.aclose()


async def take_own(ranges: RedisDocumentRanges, lease: Lease, model: Model) -> RangeClaim | None:
    assert model.plan is not None
    claim = await ranges.claim(lease, model.plan)
    live = {n for n, holder in model.held.items() if holder not in model.expired and not holder.startswith("owner")}
    if claim == "done":
        assert model.done == set(range(math.ceil(model.plan.chunks / model.plan.range_chunks)))
        return None
    if claim == "held":
        assert live
        return None
    assert claim.number not in model.done | live
    model.expired.discard(model.held.get(claim.number, ""))
    model.held[claim.number] = f"owner {lease.epoch}"
    return claim


async def check(registry: ExpiringRegistry, job: DocumentJob, model: Model) -> None:
    done = await count_done(registry, job)
    assert done >= model.most_done
    if model.plan is not None:
        assert done >= model.count_chunks()
    model.most_done = done


async def bring_to_the_end(
    redis: Any, registry: ExpiringRegistry, ranges: RedisDocumentRanges, lease: Lease, claims: Any
) -> None:
    """All helpers die; the owner does what is left and publishes."""
    await ranges.open(lease, PLAN)
    for claim in claims:
        with suppress(AssertionError):
            assert (await redis.hget(KEYS.ranges(claim.job), str(claim.number)) or "").endswith(claim.token)
            await expire_claim(redis, claim)
    for _ in range(math.ceil(PLAN.chunks / PLAN.range_chunks)):
        claim = await ranges.claim(lease, PLAN)
        if claim == "done":
            break
        assert isinstance(claim, RangeClaim)
        assert await ranges.finish(claim)
    assert await ranges.claim(lease, PLAN) == "done"
    await registry.publish(lease, "v1", [])
    record = await registry.get("t", lease.job.document_id)
    assert (record.status, record.chunks_done) == (DocumentStatus.READY, PLAN.chunks)
