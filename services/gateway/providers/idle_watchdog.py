"""Ends the wait for a provider that is silent for too long, with one timer for all waits of an answer."""

import asyncio
from types import TracebackType
from typing import Any

_STOOD_STILL_S = 0.5
"""A timer that fires later than this says that the loop, or the whole machine, stood still."""


class IdleWatchdog:
    """Bound each wait that is a `with` block of this: past the deadline it raises TimeoutError.

    What `asyncio.timeout` does, which sets a timer per wait: for an answer that is one per token, and costs a tenth of
    all that the token costs. Here the timer looks at the deadline when it fires, and is set again when that has moved.
    Call `stop` in the end. While this process stands still (a suspended machine, a starved container), what the
    provider sends waits unread: a timer that fires late says nothing about the provider, which has its time anew.

    Parameters:
        timeout_s: seconds until the first deadline.
    """

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._pardoned = False
        self._deadline = self._loop.time() + timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        self._waiting: asyncio.Task[Any] | None = None
        self._cancelling: int | None = None

    def renew(self, timeout_s: float) -> None:
        """Move the deadline to so many seconds from now, further away or nearer."""
        self._pardoned = False
        self._timeout_s = timeout_s
        self._deadline = self._loop.time() + timeout_s
        if self._deadline < self._fires_at:
            self.stop()

    def stop(self) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        # Of this wait and not of the answer: the next one may be another task's.
        self._waiting = asyncio.current_task(self._loop)
        if self._timer is None:
            self._set_timer()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        waiting, self._waiting = self._waiting, None
        if self._cancelling is not None and waiting is not None:
            before, self._cancelling = self._cancelling, None
            # As asyncio.timeout does: a cancellation that came from elsewhere, too, goes on.
            if waiting.uncancel() <= before and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc

    def _set_timer(self) -> None:
        self._fires_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        timer, self._timer = self._timer, None
        if timer is None or self._waiting is None:
            return  # whoever takes the pieces is busy; the next wait sets the timer
        if self._loop.time() - timer.when() > _STOOD_STILL_S and not self._pardoned:
            self.renew(self._timeout_s)
            self._pardoned = True  # once for each deadline: a loop that is always late must not wait for ever
        if self._loop.time() < self._deadline:
            self._set_timer()
        else:
            self._cancelling = self._waiting.cancelling()
            self._waiting.cancel()
