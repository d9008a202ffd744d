"""A wait past the deadline ends in TimeoutError; nothing else is touched, and one timer serves all waits."""

import asyncio
import time

import pytest

from services.gateway.providers.idle_watchdog import IdleWatchdog

SOON_S = 0.01
LATE_S = 600.0


async def wait_for_ever(watchdog: IdleWatchdog) -> None:
    with watchdog:
        await asyncio.Event().wait()


async def pass_deadline() -> None:
    """The passing of time is what is tested."""
    await asyncio.sleep(SOON_S * 3)


async def test_a_wait_past_the_deadline_is_a_timeout() -> None:
    """And the task goes on as if it had never been cancelled."""
    with pytest.raises(TimeoutError):
        await wait_for_ever(IdleWatchdog(SOON_S))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_renewed_deadline_counts() -> None:
    """Also for the wait whose timer was set for the earlier one."""
    watchdog = IdleWatchdog(SOON_S)
    with watchdog:
        watchdog.renew(LATE_S)
        await pass_deadline()
    watchdog.stop()


async def test_a_nearer_deadline_counts() -> None:
    """After the text a provider has less time than before."""
    watchdog = IdleWatchdog(LATE_S)
    with watchdog:
        await asyncio.sleep(0)
    watchdog.renew(SOON_S)
    with pytest.raises(TimeoutError):
        await wait_for_ever(watchdog)


async def test_whoever_is_busy_between_two_waits_is_left_alone() -> None:
    """What is late then is our caller and not the provider."""
    watchdog = IdleWatchdog(SOON_S)
    with watchdog:
        await asyncio.sleep(0)
    await pass_deadline()
    watchdog.renew(SOON_S)
    with pytest.raises(TimeoutError):
        await wait_for_ever(watchdog)


async def test_the_task_that_waits_is_the_one_that_is_told() -> None:
    """An answer may be begun by one task and read on by another."""
    watchdog = IdleWatchdog(SOON_S)
    with watchdog:
        await asyncio.sleep(0)
    reading = asyncio.create_task(wait_for_ever(watchdog))
    with pytest.raises(TimeoutError):
        await reading


def test_the_time_in_which_we_stood_still_is_not_the_providers() -> None:
    """What came meanwhile waits to be read, and then the deadline counts again, also where we always stand still."""

    async def stand_still() -> None:
        watchdog = IdleWatchdog(SOON_S)
        arrived = asyncio.Event()
        asyncio.get_running_loop().call_later(SOON_S * 2, arrived.set)
        with watchdog:
            asyncio.get_running_loop().call_soon(time.sleep, 0.7)  # the loop is held past the deadline
            await arrived.wait()
        with pytest.raises(TimeoutError):
            await wait_for_ever(watchdog)

    async def stand_still_again_and_again() -> None:
        loop, rounds = asyncio.get_running_loop(), 0

        def block() -> None:
            nonlocal rounds
            rounds += 1
            time.sleep(0.6)
            loop.call_later(0.001, block)

        block()
        with pytest.raises(TimeoutError):
            await wait_for_ever(IdleWatchdog(SOON_S))
        assert rounds < 10

    asyncio.run(stand_still_again_and_again())
    asyncio.run(stand_still())  # on a loop whose clock goes on, unlike that of other tests


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    """Also when it comes at the same time as the timeout."""
    for renewed_s in (LATE_S, SOON_S):
        watchdog = IdleWatchdog(renewed_s)
        reading = asyncio.create_task(wait_for_ever(watchdog))
        await asyncio.sleep(0)
        if renewed_s == SOON_S:
            watchdog._look = reading.cancel  # type: ignore[method-assign, assignment]
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        watchdog.stop()
