"""Runs what many ask for in one thread, together: whatever waits while the thread computes is its next batch."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchedCalls(Generic[Item, Result]):
    """A thread that is handed items from any event loop. Nobody waits for a batch to become full.

    A caller that is cancelled while its item waits takes it back: it is never computed.

    Parameters:
        compute: blocking; returns one result per item, in their order. What it raises is raised for each of the batch.
        most: items per batch, so that nobody waits long for the results of many others.
        name: of the thread.
    """

    def __init__(self, compute: Callable[[Sequence[Item]], Sequence[Result]], *, most: int, name: str) -> None:
        self._compute = compute
        self._most = most
        self._waiting: SimpleQueue[tuple[Item, Future[Result]] | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items no batch has taken yet; those taken back count until their turn."""
        return self._waiting.qsize()

    async def call(self, item: Item) -> Result:
        """Return the result for an item."""
        answer: Future[Result] = Future()
        with self._closing:
            if self._is_closed:
                raise RuntimeError(f"{self._thread.name} has ended")
            self._waiting.put((item, answer))
        return await asyncio.wrap_future(answer)

    def close(self) -> None:
        """Wait for what is being computed and end the thread; what waits is cancelled."""
        with self._closing:
            self._is_closed = True
            for _, answer in self._take(self._waiting.qsize()):
                answer.cancel()
            self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            calls = [first, *self._take(self._most - 1)]
            if wanted := [call for call in calls if call[1].set_running_or_notify_cancel()]:
                self._answer(wanted)

    def _take(self, most: int) -> list[tuple[Item, Future[Result]]]:
        """What waits now, up to so many, and up to the mark that nothing comes any more."""
        calls = []
        for _ in range(most):
            try:
                call = self._waiting.get_nowait()
            except Empty:
                break
            if call is None:
                self._waiting.put(None)
                break
            calls.append(call)
        return calls

    def _answer(self, calls: Sequence[tuple[Item, Future[Result]]]) -> None:
        try:
            results = list(zip(calls, self._compute([item for item, _ in calls]), strict=True))
        except Exception as error:  # noqa: BLE001 - it is for those who asked
            for _, answer in calls:
                answer.set_exception(error)
        else:
            for (_, answer), result in results:
                answer.set_result(result)
