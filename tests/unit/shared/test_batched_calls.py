"""What waits while a thread computes is computed together; what nobody wants any more, or fails, harms no other."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from shared.embedding.batched_calls import BatchedCalls

MOST = 3


@dataclass
class HeldDoubling:
    """Doubles numbers when it may; 13 cannot be doubled."""

    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    batches: list[list[int]] = field(default_factory=list)

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.begun.release()
        assert self.go_on.wait(60)
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


@pytest.fixture
def doubling() -> HeldDoubling:
    return HeldDoubling()


@pytest.fixture
def calls(doubling: HeldDoubling) -> Iterator[BatchedCalls[int, int]]:
    calls = BatchedCalls(doubling, most=MOST, name="doubling")
    yield calls
    doubling.go_on.set()
    calls.close()


async def begin(calls: BatchedCalls[int, int], doubling: HeldDoubling, *later: int) -> "list[asyncio.Task[int]]":
    """1, which is being computed, and more behind it, which wait."""
    tasks = [asyncio.create_task(calls.call(1))]
    await asyncio.to_thread(doubling.begun.acquire)
    tasks += [asyncio.create_task(calls.call(number)) for number in later]
    while calls.waiting < len(later):
        await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_the_next_batch(calls: BatchedCalls[int, int], doubling: HeldDoubling) -> None:
    """The first does not wait for others, no batch is larger than the most, and each gets its own result."""
    tasks = await begin(calls, doubling, 2, 3, 4, 5)
    doubling.go_on.set()

    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert doubling.batches == [[1], [2, 3, 4], [5]]


async def test_what_nobody_wants_any_more_is_not_computed(
    calls: BatchedCalls[int, int], doubling: HeldDoubling
) -> None:
    """Also of a batch of which nothing is left; what runs already goes on."""
    first, second, third, *others = await begin(calls, doubling, 2, 3, 4, 5)
    for task in (first, second, third):
        task.cancel()
    await asyncio.wait([first, second, third])
    doubling.go_on.set()

    assert await asyncio.gather(*others) == [8, 10]
    assert [number for batch in doubling.batches for number in batch] == [1, 4, 5]


async def test_an_error_is_for_those_of_its_batch(calls: BatchedCalls[int, int], doubling: HeldDoubling) -> None:
    """The thread goes on with the next one."""
    tasks = await begin(calls, doubling, 2, 13, 3, 4)
    doubling.go_on.set()

    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[4]] == [2, 8]
    assert [type(result) for result in results[1:4]] == [ValueError] * 3


async def test_closing_cancels_what_waits(calls: BatchedCalls[int, int], doubling: HeldDoubling) -> None:
    """What is being computed is waited for, nothing hangs, and a call that comes too late says so."""
    first, *later = await begin(calls, doubling, 2, 3, 4, 5)
    closing = asyncio.create_task(asyncio.to_thread(calls.close))
    await asyncio.wait(later)
    doubling.go_on.set()
    await closing

    assert await first == 2
    assert all(task.cancelled() for task in later)
    assert doubling.batches == [[1]]
    with pytest.raises(RuntimeError, match="doubling has ended"):
        await calls.call(6)
