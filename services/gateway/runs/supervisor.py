"""Owns the task of every run: starts it, writes its events to a log, ends it, however it ends.

A run belongs to the supervisor and not to the response that shows it. Whatever happens, its log gets exactly one
terminal event: no exception of an answer reaches HTTP.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

import structlog

from services.gateway.growing_text import GrowingText
from shared.contracts.questions import FinishReason, StreamError
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.errors import (
    DependencyUnavailable,
    LanguageModelError,
    LanguageModelTimeout,
    PagewireError,
    ServiceError,
    find_status,
)
from shared.event_log.memory_log import MemoryEventLog
from shared.event_log.port import EventLog, SharedEventLog, StreamId
from shared.identifiers import make_run_id
from shared.tasks import end_tasks, run_to_end
from shared.trace_context import read_trace_id

log = structlog.get_logger(__name__)

SHUTDOWN_CODE: Final = "server_shutdown"
SHUTDOWN_RETRY_AFTER_S: Final = 5
SHUTDOWN_MESSAGE: Final = "The server is restarting; ask again."
CROWDED_RETRY_AFTER_S: Final = 10
"""Some of the answers that are being written have come to their end by then."""
_INTERNAL: Final = "Something went wrong on our side; ask again, and report the run if it stays."
_TOO_LONG: Final = "The answer does not come to an end and was cut off; ask for less at once."
_TOO_LATE: Final = "The answer took too long and was cut off; ask for less at once."


class AnswerInProgress(Protocol):
    """What a run consists of."""

    def produce(self) -> AsyncGenerator[PassagesFound | Delta | Finished, None]:
        """Yield the events of the run, the last of which is Finished. Raise PagewireError when it cannot come."""
        ...

    def finish(self, finish_reason: FinishReason | None = None) -> Finished:
        """Return the end of the run as it is now."""
        ...


class StopRequests(Protocol):
    """Asks the other processes to stop a run that this one does not know.

    Attributes:
        on_request: called with a run that another process asks for; says whether it is here, and has begun to end.
    """

    on_request: Callable[[StreamId], bool]

    async def ask(self, stream: StreamId) -> bool:
        """Return whether some process has stopped it. Raise ServiceError when not all have answered."""
        ...


class TurnInProgress(Protocol):
    """The turn of a conversation that a run is the answer of."""

    @property
    def conversation_id(self) -> str:
        """What the client calls the conversation."""
        ...

    async def keep(self, run_id: str, answer: str, *, complete: bool) -> None:
        """Keep the question with what was written. Never raise."""
        ...


class Ending(Enum):
    """Why a run is ended from outside."""

    STOPPED = "stopped"
    """Somebody has asked for it: what there is counts as the answer."""
    LEFT = "left"
    """Its client has left, and nobody will read it."""
    SHUTDOWN = "shutdown"
    LOST = "lost"
    """Readers elsewhere took this process for dead, and have ended the run for theirs."""


@dataclass
class Run:
    """An answer on its way."""

    run_id: str
    stream: StreamId
    log: EventLog[RunEvent]
    ends_with_client: bool
    answer: AnswerInProgress
    turn: TurnInProgress | None = None
    task: "asyncio.Task[Finished | Failed] | None" = None
    ending: Ending | None = None
    characters: int = 0
    text: GrowingText = field(default_factory=GrowingText)
    """Only of a turn, which is kept."""


def name_run(tenant: str, run_id: str) -> StreamId:
    """Return the name of a run's stream."""
    return StreamId(tenant, "run", run_id)


def make_stream_error(error: PagewireError, *, partial: bool) -> StreamError:
    """Return an error as a stream tells it."""
    return StreamError(
        code=error.error_code,
        message=error.message,
        retryable=error.retryable,
        partial=partial,
        retry_after=error.retry_after,
        trace_id=read_trace_id(),
    )


def make_shutdown_error() -> PagewireError:
    """Return what those are told whom the end of the server interrupts."""
    return DependencyUnavailable(SHUTDOWN_MESSAGE, code=SHUTDOWN_CODE, retry_after=SHUTDOWN_RETRY_AFTER_S)


def make_shutdown_failure(*, partial: bool) -> Failed:
    """Return the terminal event for those whom the end of the server interrupts."""
    return _make_failed(make_shutdown_error(), partial=partial)


def make_lost_failure() -> Failed:
    """Return the terminal event of a run whose process has died."""
    error = DependencyUnavailable("The server that wrote this answer has stopped; ask again.", code="run_lost")
    return _make_failed(error, partial=True)


OnEnd = Callable[[Finished | Failed, bool], None]


class RunSupervisor:
    """Start and end runs.

    Parameters:
        memory: the log of runs that end with their client.
        durable: the log of runs that outlive it.
        deadline_s: seconds that a run may take.
        max_characters: the most that an answer may have; an endless one ends there.
        max_lasting: how many runs that outlive their client there may be at once; nobody who leaves ends one.
        stop_requests: reaches runs that end with their client, in other processes.
        on_end: called with the end of each run, and whether it ended because its client has left.
    """

    def __init__(
        self,
        memory: MemoryEventLog[RunEvent],
        durable: SharedEventLog[RunEvent],
        *,
        deadline_s: float,
        max_characters: int,
        max_lasting: int,
        stop_requests: StopRequests,
        on_end: OnEnd,
    ) -> None:
        self._memory = memory
        self._durable = durable
        self._deadline_s = deadline_s
        self._max_characters = max_characters
        self._max_lasting = max_lasting
        self._stop_requests = stop_requests
        self._on_end = on_end
        self._runs: dict[StreamId, Run] = {}
        self._lasting: set[StreamId] = set()
        self._drain: asyncio.Task[None] | None = None
        durable.on_stop = lambda stream: self._begin_to_end(stream, Ending.STOPPED)
        durable.on_lost = lambda stream: self._begin_to_end(stream, Ending.LOST)
        stop_requests.on_request = self._stop_here

    @property
    def count(self) -> int:
        """Return how many runs there are."""
        return len(self._runs)

    async def start(
        self, tenant: str, answer: AnswerInProgress, *, ends_with_client: bool, turn: TurnInProgress | None = None
    ) -> Run:
        """Begin to write an answer into a log, and keep it as a turn of its conversation, if it is of one.

        Whoever starts a run with `ends_with_client` calls `leave` in the end, whatever happens. Raise
        DependencyUnavailable once runs have been ended because the server stops, and ServiceError (`too_many_runs`)
        where there is no place for one more that outlives its client; nothing has begun then.
        """
        if self._drain is not None and self._drain.done():
            raise make_shutdown_error()
        run_id = make_run_id()
        stream, chosen = name_run(tenant, run_id), self._memory if ends_with_client else self._durable
        run = Run(run_id, stream, chosen, ends_with_client, answer, turn)
        if not ends_with_client:
            self._take_place(stream)
        conversation_id = turn.conversation_id if turn else None
        try:
            resumable = await chosen.begin(stream)
            await chosen.append(stream, Started(run_id=run_id, resumable=resumable, conversation_id=conversation_id))
        except BaseException:
            self._lasting.discard(stream)
            chosen.end(stream, make_shutdown_failure(partial=False))
            raise
        self._runs[stream] = run
        run.task = asyncio.create_task(self._write_events(run), name=run_id)
        run.task.add_done_callback(lambda task: self._close(run, task))
        if self._drain is not None and self._drain.done():  # while the log was waited for
            await self._end(run, Ending.SHUTDOWN)
        return run

    async def leave(self, run: Run) -> None:
        """Note that the client of a run has left; return when all that ends with it has ended."""
        if run.ends_with_client:
            await self._end(run, Ending.LEFT)
            self._memory.discard(run.stream)

    async def stop(self, tenant: str, run_id: str) -> bool:
        """End a run early, in whatever process it is; return False when there is none of that name."""
        stream = name_run(tenant, run_id)
        if (run := self._runs.get(stream)) is not None:
            await self._end(run, Ending.STOPPED)
            return True
        state = await self._durable.find(stream)
        if state is None:
            return await self._stop_requests.ask(stream)
        if not state.ended:
            await self._durable.request_stop(stream)
        return True

    async def shut_down(self, drain_s: float | None = None) -> None:
        """Give runs `drain_s` seconds to come to their end; end those left with an error that says the server stops.

        None: as many as an earlier call has given, or no time. 0 takes back what an earlier call has given.
        """
        if self._drain is None:
            self._drain = asyncio.create_task(self._wait_for_runs(drain_s or 0), name="drain_runs")
        elif drain_s == 0:
            self._drain.cancel()
        await asyncio.wait({self._drain})
        await asyncio.gather(*(self._end(run, Ending.SHUTDOWN) for run in list(self._runs.values())))

    async def _wait_for_runs(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while tasks := [run.task for run in self._runs.values() if run.task is not None]:
                    await asyncio.wait(tasks)

    def _take_place(self, stream: StreamId) -> None:
        if len(self._lasting) >= self._max_lasting:
            message = "Too many answers that go on without their client are being written; ask again in some seconds."
            raise ServiceError(message, code="too_many_runs", retry_after=CROWDED_RETRY_AFTER_S)
        self._lasting.add(stream)

    def _stop_here(self, stream: StreamId) -> bool:
        """Begin to stop a run if it is here; return whether it is."""
        self._begin_to_end(stream, Ending.STOPPED)
        return stream in self._runs

    def _begin_to_end(self, stream: StreamId, ending: Ending) -> None:
        run = self._runs.get(stream)
        if run is not None and run.task is not None and run.ending is None:
            run.ending = ending
            run.task.cancel()

    async def _end(self, run: Run, ending: Ending) -> None:
        run.ending = run.ending or ending
        if run.task is not None:
            await end_tasks(run.task)

    def _close(self, run: Run, task: "asyncio.Task[Finished | Failed]") -> None:
        """Write the terminal event; a task that was cancelled before its first step has none of its own."""
        end = _conclude(run) if task.cancelled() else task.result()
        if run.turn is not None and isinstance(end, Finished):
            end = end.model_copy(update={"conversation_id": run.turn.conversation_id})
        run.log.end(run.stream, end)
        del self._runs[run.stream]
        self._lasting.discard(run.stream)
        self._on_end(end, run.ending is Ending.LEFT)

    async def _write_events(self, run: Run) -> Finished | Failed:
        """Write all events of a run but the terminal one, and return that. Never raise, but for bugs in here."""
        structlog.contextvars.bind_contextvars(run_id=run.run_id)  # the task has a context of its own
        end = await self._write_until_end(run)
        if run.turn is not None and (isinstance(end, Finished) or run.ending is Ending.LEFT):
            # Before the end is told: who asks at once goes on with this turn. Leaving is stopping.
            complete = isinstance(end, Finished) and end.finish_reason == "stop"
            with suppress(asyncio.CancelledError):  # it is over already
                await run_to_end(run.turn.keep(run.run_id, run.text.read(), complete=complete))
        return end

    async def _write_until_end(self, run: Run) -> Finished | Failed:
        deadline = asyncio.timeout(self._deadline_s)
        try:
            async with deadline:  # one for all of it: a timeout per token would cost as much as the token
                return await self._write_until_finished(run)
        except asyncio.CancelledError:
            return _conclude(run)
        except PagewireError as error:
            failed = error
        except Exception as error:
            if not deadline.expired():
                log.exception("run_bug", error=type(error).__name__)
                return _make_bug(partial=run.characters > 0)
            failed = LanguageModelTimeout(_TOO_LATE, code="run_timeout")
        log.warning("run_failed", code=failed.error_code, cause=type(failed.__cause__).__name__)
        return _make_failed(failed, partial=run.characters > 0)

    async def _write_until_finished(self, run: Run) -> Finished:
        async with aclosing(run.answer.produce()) as events:
            async for event in events:
                if isinstance(event, Delta):  # first, as nearly all are
                    run.characters += len(event.text)
                    if run.turn is not None:
                        run.text.write(event.text)
                    if run.characters > self._max_characters:
                        raise LanguageModelError(_TOO_LONG, code="answer_too_long")
                elif isinstance(event, Finished):
                    return event
                await run.log.append(run.stream, event)
        raise AssertionError("an answer ends with Finished or raises")


def _conclude(run: Run) -> Finished | Failed:
    """Return the terminal event of a run that was ended from outside."""
    log.info("run_ended", why=(run.ending or Ending.SHUTDOWN).value)
    match run.ending:
        case Ending.STOPPED:
            return run.answer.finish("stopped")
        case Ending.LOST:
            return make_lost_failure()
        case _:
            return make_shutdown_failure(partial=run.characters > 0)


def _make_bug(*, partial: bool) -> Failed:
    error = StreamError(
        code="internal_error", message=_INTERNAL, retryable=True, partial=partial, trace_id=read_trace_id()
    )
    return Failed(error=error, status=500)


def _make_failed(error: PagewireError, *, partial: bool) -> Failed:
    return Failed(error=make_stream_error(error, partial=partial), status=find_status(error), details=error.details)
