"""A language model as part of a chain: whether it may be asked, what came of it, and how it is doing."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable

import structlog

from services.gateway.ports import AnswerPiece, LanguageModel, Prompt
from services.gateway.providers.breaker import CircuitBreaker, Permit
from services.gateway.providers.llm_errors import TIMED_OUT, build_error
from shared.errors import LanguageModelError, LanguageModelRejected, QuestionRejected
from shared.tasks import end_tasks

log = structlog.get_logger(__name__)


class ChainMember:
    """A model with its circuit breaker.

    Parameters:
        clock: seconds that never go back.
    """

    def __init__(self, model: LanguageModel, clock: Callable[[], float]) -> None:
        self.model = model
        self._breaker = CircuitBreaker(clock)
        self._last_error: LanguageModelError | None = None

    @property
    def state(self) -> str:
        """Return `ok`, or the code of the last failure: `failing` while it is asked all the same, `open` while not."""
        if self._last_error is None:
            return "ok"
        return f"{'failing' if self._breaker.is_closed else 'open'}: {self._last_error.error_code}"

    def ask(self, prompt: Prompt) -> "Attempt | None":
        """Send it a question; None when it has failed too often, or has asked to be left alone."""
        permit = self._breaker.acquire()
        return None if permit is None else Attempt(self, permit, self.model.stream(prompt))

    def explain_refusal(self) -> LanguageModelError:
        """Return why it is not asked now: its last failure, and how long that still counts."""
        last = self._last_error
        if last is None:
            raise AssertionError("a circuit opens with a failure")
        wait_s = max(1, math.ceil(self._breaker.wait_s)) if last.retryable else None
        return type(last)(last.message, code=last.error_code, details=last.details, retry_after=wait_s)

    def note_success(self, permit: Permit) -> None:
        """Note that it has begun to answer."""
        self._breaker.succeed(permit)
        # A question from before the circuit opened may be answered after that, and does not close it.
        if self._last_error is not None and self._breaker.is_closed:
            log.info("provider_recovered", provider=self.model.provider)
            self._last_error = None

    def note_failure(self, permit: Permit, error: LanguageModelError) -> None:
        """Note that it has failed before it said anything."""
        status = (error.details or {}).get("upstream_status")
        what = {"provider": self.model.provider, "code": error.error_code, "status": status}
        if isinstance(error, QuestionRejected):
            log.warning("provider_refused_question", **what)
            self.note_success(permit)  # it is there, and its key is right
            return
        self._last_error = error
        self._breaker.fail(permit, retry_after_s=error.retry_after)
        open_s = math.ceil(self._breaker.wait_s)
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        if isinstance(error, LanguageModelRejected):
            log.error("provider_rejected", **what, cause=cause, open_s=open_s)  # somebody has to mend its settings
        else:
            log.warning("provider_failed", **what, cause=cause, open_s=open_s)

    def release(self, permit: Permit) -> None:
        """Note that it was left before it said or failed anything."""
        self._breaker.release(permit)


class Attempt:
    """One question at one member, up to the first piece of its answer; then the rest is in `pieces`.

    Attributes:
        first: waits for the first piece.
        started: when it was asked, by the loop's clock.
    """

    def __init__(self, member: ChainMember, permit: Permit, pieces: AsyncGenerator[AnswerPiece, None]) -> None:
        self.member = member
        self.pieces = pieces
        self.first = asyncio.create_task(_take_first(pieces), name=f"ask-{member.model.provider}")
        self.started = asyncio.get_running_loop().time()
        self._permit = permit
        self._ending: asyncio.Task[None] | None = None

    def judge(self) -> LanguageModelError | None:
        """Return with what it failed, or None when it answers, and tell its member. Only when `first` is done."""
        try:
            self.first.result()
        except LanguageModelError as error:
            self.member.note_failure(self._permit, error)
            return error
        self.member.note_success(self._permit)
        return None

    def give_up(self) -> LanguageModelError:
        """Note that it has said nothing in all the time that there was, and return that. Leave it afterwards."""
        error = build_error(TIMED_OUT, provider=self.member.model.provider)
        self.member.note_failure(self._permit, error)
        return error

    def leave(self) -> "asyncio.Task[None]":
        """Begin to close its connection, and return the task that does; again: the same."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"leave-{self.member.model.provider}")
        return self._ending

    async def _end(self) -> None:
        try:
            await end_tasks(self.first)
            await self.pieces.aclose()
        finally:
            self.member.release(self._permit)


async def _take_first(pieces: AsyncGenerator[AnswerPiece, None]) -> AnswerPiece:
    return await anext(pieces)
