"""Calls with one deadline and a bounded number of places."""

import asyncio

import pytest

from shared.bounded_calls import BoundedCalls


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
