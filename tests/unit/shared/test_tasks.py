"""Background tasks end, and clean-ups run to their end."""

import asyncio

import pytest

from shared.tasks import end_tasks, run_to_end


async def test_a_task_that_swallows_a_cancellation_is_asked_again() -> None:
    """One cancellation can get lost in a library; a task that goes on all the same is not waited for without end."""
    asked = 0

    async def stubborn() -> None:
        nonlocal asked
        while asked < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asked += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await end_tasks(task)

    assert asked == 3
    assert task.done()


async def test_a_clean_up_survives_any_number_of_cancellations() -> None:
    """It runs to its end, and the cancellation is raised after it."""
    release, cleaned = asyncio.Event(), False

    async def clean_up() -> None:
        nonlocal cleaned
        await release.wait()
        cleaned = True

    task = asyncio.create_task(run_to_end(clean_up()))
    for _ in range(5):
        await asyncio.sleep(0)
        task.cancel()
    release.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned


async def test_the_result_and_the_error_of_a_clean_up_come_through() -> None:
    """Without a cancellation it is an await."""

    async def answer() -> int:
        return 7

    async def fail() -> None:
        raise ValueError("no")

    assert await run_to_end(answer()) == 7
    with pytest.raises(ValueError, match="no"):
        await run_to_end(fail())
