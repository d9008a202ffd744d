"""Calls with one deadline and a bounded number of places."""

import asyncio

import pytest

from shared.bounded_calls import BoundedCalls, CrowdedError


async def answer(value: int) -> int:
    return value


async def test_results_and_errors_pass() -> None:
    """Who is answered in time sees what the call returns or raises."""
    calls = BoundedCalls(deadline_s=60, at_once=1)

    async def fail() -> None:
        raise ZeroDivisionError

    assert await calls.run(answer(1)) == 1
    with pytest.raises(ZeroDivisionError):
        await calls.run(fail())
    assert await asyncio.gather(*(calls.run(answer(n)) for n in range(9))) == list(range(9))


async def test_a_call_that_misses_its_deadline_goes_on_and_keeps_its_place() -> None:
    """The next one waits for the place, and has a deadline of its own; what was never begun is never begun."""
    calls = BoundedCalls(deadline_s=0.3, at_once=1)
    gate = asyncio.Event()
    ended = asyncio.Event()

    async def stall() -> None:
        await gate.wait()
        ended.set()
        raise ZeroDivisionError  # that nobody waits for: no warning at its end

    with pytest.raises(TimeoutError):
        await calls.run(stall())
    with pytest.raises(TimeoutError):
        await calls.run(answer(1))

    gate.set()
    await ended.wait()
    assert await calls.run(answer(2)) == 2


async def test_a_cancelled_caller_leaves_its_call_alone() -> None:
    """A client that leaves must not cut a command in half; closing ends what is left."""
    calls = BoundedCalls(deadline_s=60, at_once=2)
    began = asyncio.Event()
    cut = asyncio.Event()

    async def stall() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    waiting = asyncio.create_task(calls.run(stall()))
    await began.wait()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert not cut.is_set()

    await calls.close()
    assert cut.is_set()


async def test_who_misses_the_deadline_learns_whether_others_were_answered_meanwhile() -> None:
    """Then there are too many calls; where nobody was, since this one came, the store is silent."""
    calls = BoundedCalls(deadline_s=0.3, at_once=2)
    gate = asyncio.Event()
    held = [asyncio.create_task(calls.run(hold(event))) for event in (gate, asyncio.Event(), asyncio.Event())]
    gate.set()

    await held[0]
    for task in held[1:]:  # one had its place from the beginning, the other one took the first one's
        with pytest.raises(CrowdedError):
            await task
    with pytest.raises(TimeoutError) as caught:  # the places are still taken, but nobody is answered any more
        await calls.run(answer(1))
    assert type(caught.value) is TimeoutError
    await calls.close()


async def hold(event: asyncio.Event) -> None:
    await event.wait()
