"""Asks the language models of a chain, one after the other, until one begins to answer.

What comes after the first piece is that model's answer, whatever happens: from then on a failure is the answer's. The
rules, and why they are so, are in docs/decisions/0014-providers-form-a-chain.md.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from services.gateway.ports import Answering, AnswerPiece, LanguageModel, Prompt
from services.gateway.providers.chain_member import Attempt, ChainMember
from shared.errors import (
    LanguageModelBusy,
    LanguageModelError,
    LanguageModelRejected,
    LanguageModelTimeout,
    LanguageModelUnavailable,
)
from shared.tasks import run_to_end


class ProviderChain:
    """A language model made of several.

    Parameters:
        models: in the order in which they are asked; closed by whoever opened them.
        wait_s: seconds until the first piece of an answer, however many are asked.
        hedge_s: seconds of silence after which the next one is asked as well; None: it is not.
        clock: seconds that never go back, for the circuit breakers.
    """

    def __init__(
        self,
        models: Sequence[LanguageModel],
        *,
        wait_s: float,
        hedge_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = [ChainMember(model, clock) for model in models]
        self._wait_s = wait_s
        self._hedge_s = hedge_s

    @property
    def provider(self) -> str:
        """The provider that is asked first."""
        return self._members[0].model.provider

    @property
    def model(self) -> str:
        """Its model."""
        return self._members[0].model.model

    def describe_members(self) -> dict[str, str]:
        """Return the state of each provider, for /health/ready."""
        return {member.model.provider: member.state for member in self._members}

    async def stream(self, prompt: Prompt) -> AsyncGenerator[AnswerPiece, None]:
        """Yield who answers, then that model's text and Completion; raise the LanguageModelError family."""
        attempts: list[Attempt] = []
        try:
            speaker = await self._find_speaker(prompt, attempts)
            for attempt in attempts:
                if attempt is not speaker:
                    attempt.leave()
            yield Answering(speaker.member.model.provider, speaker.member.model.model)
            yield speaker.first.result()
            async for piece in speaker.pieces:
                yield piece
        finally:
            await run_to_end(_leave_all(attempts))

    async def close(self) -> None:
        """Close nothing: the models belong to whoever opened them."""

    async def _find_speaker(self, prompt: Prompt, attempts: list[Attempt]) -> Attempt:
        """Return the attempt that speaks first, and add all that were begun to `attempts`, which the caller ends."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._wait_s
        untried = deque(self._members)
        silent: list[Attempt] = []
        failures: dict[str, LanguageModelError] = {}
        while True:
            if not silent or self._is_hedge_due(silent, now()):
                attempt = _ask_next(untried, prompt, failures)
                if attempt is not None:
                    silent.append(attempt)
                    attempts.append(attempt)
                elif not silent:
                    raise combine_failures(failures)
            until = deadline
            if untried and self._hedge_s is not None and len(silent) == 1:
                until = min(deadline, silent[0].started + self._hedge_s)
            waiting = [attempt.first for attempt in silent]
            await asyncio.wait(waiting, timeout=max(0.0, until - now()), return_when=asyncio.FIRST_COMPLETED)
            speaker = None
            for attempt in [attempt for attempt in silent if attempt.first.done()]:
                if error := attempt.judge():
                    silent.remove(attempt)
                    failures[attempt.member.model.provider] = error
                else:
                    speaker = speaker or attempt
            if speaker is not None:
                return speaker
            if now() >= deadline:
                for attempt in silent:
                    failures[attempt.member.model.provider] = attempt.give_up()
                raise combine_failures(failures)

    def _is_hedge_due(self, silent: Sequence[Attempt], now: float) -> bool:
        """Return whether the one that is asked has been silent for so long that the next is asked beside it."""
        return self._hedge_s is not None and len(silent) == 1 and now >= silent[0].started + self._hedge_s


def _ask_next(untried: deque[ChainMember], prompt: Prompt, failures: dict[str, LanguageModelError]) -> Attempt | None:
    """Ask the next member that may be asked, and note why the others may not; None when there is none left."""
    while untried:
        member = untried.popleft()
        if attempt := member.ask(prompt):
            return attempt
        failures[member.model.provider] = member.explain_refusal()
    return None


async def _leave_all(attempts: Sequence[Attempt]) -> None:
    """Return when all connections are closed; what goes wrong with that is dropped."""
    await asyncio.gather(*(attempt.leave() for attempt in attempts), return_exceptions=True)


_TELLING = (LanguageModelBusy, LanguageModelUnavailable, LanguageModelTimeout, LanguageModelError)


def combine_failures(failures: Mapping[str, LanguageModelError]) -> LanguageModelError:
    """Return the one error for a question that no provider answered.

    The most telling first: one that passes before one that does not, and of those the one that says most about when.
    It names the others, and says the shortest wait that any of them asked for.

    Parameters:
        failures: of each provider that was asked or may not be, in the chain's order.
    """
    provider, told = min(failures.items(), key=lambda item: _rank(item[1]))
    if len(failures) == 1:
        return told
    others = ", ".join(f"{name} ({error.error_code})" for name, error in failures.items() if name != provider)
    waits = [error.retry_after for error in failures.values() if error.retryable and error.retry_after is not None]
    combined = type(told)(
        f"{told.message} The others in the chain failed, too: {others}.",
        code=told.error_code,
        details={**(told.details or {}), "chain": {name: error.error_code for name, error in failures.items()}},
        retry_after=min(waits, default=None),
    )
    combined.__cause__ = told.__cause__
    return combined


def _rank(error: LanguageModelError) -> int:
    if isinstance(error, LanguageModelRejected):
        return len(_TELLING)
    return next(rank for rank, kind in enumerate(_TELLING) if isinstance(error, kind))
