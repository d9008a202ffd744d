"""A run has exactly one terminal event, whatever happens and whenever; its task ends with what it belongs to."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import pytest

from services.gateway.runs.collect import collect_run
from services.gateway.runs.supervisor import Run, RunSupervisor, name_run
from shared.contracts.questions import FinishReason, QueryTimings, Usage
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound, RunEvent, Started
from shared.errors import DependencyUnavailable, LanguageModelBusy, LanguageModelTimeout, ServiceError, find_status
from shared.event_log.memory_log import MemoryEventLog
from shared.event_log.port import StreamId
from tests.patience import PATIENT_S

Produced = PassagesFound | Delta | Finished


class PlayedAnswer:
    """Yields these texts, then ends well, raises, or stalls until `go_on`."""

    def __init__(self, texts: Sequence[str] = (), *, error: Exception | None = None, stalls: bool = False) -> None:
        self._texts = texts
        self._error = error
        self._stalls = stalls
        self.stalled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()

    async def produce(self) -> AsyncGenerator[Produced, None]:
        try:
            for text in self._texts:
                yield Delta(text)
            if self._error is not None:
                raise self._error
            if self._stalls:
                self.stalled.set()
                await self.go_on.wait()
            yield self.finish()
        finally:
            self.closed.set()

    def finish(self, finish_reason: FinishReason | None = None) -> Finished:
        timings = QueryTimings(retrieval=1, rerank=None, first_token=1, total=1)
        usage = Usage(provider="p", model="m")
        return Finished(sources=[], finish_reason=finish_reason or "stop", usage=usage, timings_ms=timings)


class SharedMemoryLog(MemoryEventLog[RunEvent]):
    """A log that keeps runs whose client has left, as the one on Redis does."""

    def __init__(self) -> None:
        super().__init__()
        self.on_stop: Callable[[StreamId], None] = print
        self.on_lost: Callable[[StreamId], None] = print
        self.asked_to_stop: list[StreamId] = []

    async def request_stop(self, stream: StreamId) -> None:
        self.asked_to_stop.append(stream)


class PlayedStopRequests:
    """Other processes that know these runs."""

    def __init__(self, *known: StreamId) -> None:
        self.on_request: Callable[[StreamId], bool] = bool
        self.known = set(known)

    async def ask(self, stream: StreamId) -> bool:
        return stream in self.known


def make_supervisor(
    durable: SharedMemoryLog,
    *,
    deadline_s: float = 60,
    max_characters: int = 1000,
    max_lasting: int = 100,
    stop_requests: PlayedStopRequests | None = None,
    on_end: Callable[[Finished | Failed, bool], None] = lambda _end, _left: None,
) -> RunSupervisor:
    """A supervisor with a memory of its own."""
    return RunSupervisor(
        MemoryEventLog(),
        durable,
        deadline_s=deadline_s,
        max_characters=max_characters,
        max_lasting=max_lasting,
        stop_requests=stop_requests or PlayedStopRequests(),
        on_end=on_end,
    )


@pytest.fixture
def durable() -> SharedMemoryLog:
    return SharedMemoryLog()


@pytest.fixture
def supervisor(durable: SharedMemoryLog) -> RunSupervisor:
    return make_supervisor(durable)


async def start(supervisor: RunSupervisor, answer: PlayedAnswer, *, ends_with_client: bool = True) -> Run:
    return await supervisor.start("default", answer, ends_with_client=ends_with_client)


async def read(run: Run) -> list[RunEvent]:
    """All events of a run."""
    async with aclosing(run.log.read(run.stream)) as batches:
        return [event async for batch in batches for event in batch.events]


async def test_each_end_is_told_once(durable: SharedMemoryLog) -> None:
    """With the end that readers get, and whether the client's leaving has made it."""
    told: list[tuple[str, bool]] = []

    def note(end: Finished | Failed, left: bool) -> None:
        told.append((end.finish_reason if isinstance(end, Finished) else end.error.code, left))

    supervisor = make_supervisor(durable, on_end=note)
    whole = await start(supervisor, PlayedAnswer(["a"]))
    await read(whole)
    await supervisor.leave(whole)
    await read(await start(supervisor, PlayedAnswer(error=LanguageModelBusy("busy"))))
    for end in (supervisor.leave, lambda run: supervisor.stop("default", run.run_id), lambda _: supervisor.shut_down()):
        answer = PlayedAnswer(stalls=True)
        run = await start(supervisor, answer)
        await answer.stalled.wait()
        await end(run)

    assert told == [
        ("stop", False),
        ("llm_busy", False),
        ("server_shutdown", True),
        ("stopped", False),
        ("server_shutdown", False),
    ]


def get_error(events: list[RunEvent]) -> tuple[str, bool]:
    """Code and `partial` of the last event, which must be the only terminal one."""
    assert [event for event in events[:-1] if isinstance(event, Finished | Failed)] == []
    assert isinstance(events[-1], Failed)
    return events[-1].error.code, events[-1].error.partial


async def test_a_run_is_started_deltas_finished(supervisor: RunSupervisor) -> None:
    """And nothing of it is left when its client has everything."""
    run = await start(supervisor, PlayedAnswer(["a", "b"]))
    events = await read(run)
    await supervisor.leave(run)

    started = Started(run_id=run.run_id, resumable=False)
    assert events == [started, Delta("a"), Delta("b"), PlayedAnswer().finish()]
    assert supervisor.count == 0
    assert await run.log.find(run.stream) is None


@pytest.mark.parametrize("texts", [[], ["a", "b"]])
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [(LanguageModelTimeout("slow"), "llm_timeout", 504), (ZeroDivisionError("secret"), "internal_error", 500)],
)
async def test_an_exception_is_the_one_terminal_event(
    supervisor: RunSupervisor, texts: list[str], error: Exception, code: str, status: int
) -> None:
    """After what came before it, with `partial`, and without what the exception says."""
    events = await read(await start(supervisor, PlayedAnswer(texts, error=error)))

    assert get_error(events) == (code, bool(texts))
    assert isinstance(events[-1], Failed)
    assert events[-1].status == status
    assert "secret" not in events[-1].model_dump_json()


async def test_a_busy_provider_says_when_to_come_back(supervisor: RunSupervisor) -> None:
    """A stream has no Retry-After header any more when its provider refuses."""
    *_, end = await read(await start(supervisor, PlayedAnswer(error=LanguageModelBusy("busy", retry_after=7))))

    assert isinstance(end, Failed)
    assert end.error.retry_after == 7


async def test_a_client_that_leaves_ends_its_run(supervisor: RunSupervisor) -> None:
    """Also while it is silent: its generator is closed, and with it the connection to the provider."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer)
    await answer.stalled.wait()
    await supervisor.leave(run)

    assert answer.closed.is_set()
    assert supervisor.count == 0


async def test_a_client_that_leaves_before_it_read_anything_ends_its_run(supervisor: RunSupervisor) -> None:
    """Though the run waits for room that nobody makes."""
    answer = PlayedAnswer(["a"] * 1000)
    run = await start(supervisor, answer)
    await supervisor.leave(run)

    assert supervisor.count == 0


async def test_a_run_that_continues_outlives_its_client(supervisor: RunSupervisor) -> None:
    """It goes on to its end, and can be read."""
    run = await start(supervisor, PlayedAnswer(["a"] * 100), ends_with_client=False)
    await supervisor.leave(run)

    assert len(await read(run)) == 102


async def test_a_stopped_run_ends_with_what_there_is(supervisor: RunSupervisor) -> None:
    """A stop is no error: text and sources up to now are the answer."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer)
    await answer.stalled.wait()

    assert await supervisor.stop("default", run.run_id)
    assert (await read(run))[1:] == [Delta("a"), answer.finish("stopped")]


async def test_a_run_elsewhere_is_asked_to_stop(supervisor: RunSupervisor, durable: SharedMemoryLog) -> None:
    """By the log that both share; another tenant's is not there, nor one that nobody knows."""
    stream = StreamId("default", "run", "run_elsewhere")
    await durable.begin(stream)

    assert await supervisor.stop("default", "run_elsewhere")
    assert durable.asked_to_stop == [stream]
    assert not await supervisor.stop("other", "run_elsewhere")
    assert not await supervisor.stop("default", "run_unknown")


async def test_a_stop_from_elsewhere_ends_the_run(supervisor: RunSupervisor, durable: SharedMemoryLog) -> None:
    """The log tells the supervisor."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer, ends_with_client=False)
    await answer.stalled.wait()
    durable.on_stop(run.stream)
    durable.on_stop(run.stream)

    assert (await read(run))[-1] == answer.finish("stopped")


async def test_a_run_that_was_taken_for_dead_stops(supervisor: RunSupervisor, durable: SharedMemoryLog) -> None:
    """Readers elsewhere have been told that it is lost; so are the ones here."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer, ends_with_client=False)
    await answer.stalled.wait()
    durable.on_lost(run.stream)

    assert get_error(await read(run)) == ("run_lost", True)


@pytest.mark.parametrize("texts", [[], ["a"]])
async def test_a_shutdown_ends_all_runs(supervisor: RunSupervisor, texts: list[str]) -> None:
    """A retryable error says so, and whether there were tokens: without any, a client may simply ask again."""
    answers = [PlayedAnswer(texts, stalls=True) for _ in range(3)]
    runs = [await start(supervisor, answer, ends_with_client=n > 0) for n, answer in enumerate(answers)]
    for answer in answers:
        await answer.stalled.wait()
    await supervisor.shut_down()

    for run in runs:
        assert get_error(await read(run)) == ("server_shutdown", bool(texts))


async def test_a_shutdown_that_drains_lets_answers_come_to_their_end(supervisor: RunSupervisor) -> None:
    """One that ends in time is whole, also without a client; one that does not is told at the end of the time."""
    held = PlayedAnswer(["a"], stalls=True)
    runs = [await start(supervisor, PlayedAnswer(["a"] * 5), ends_with_client=False), await start(supervisor, held)]
    await supervisor.shut_down(drain_s=0.2)

    assert isinstance((await read(runs[0]))[-1], Finished)
    assert get_error(await read(runs[1])) == ("server_shutdown", True)


async def test_a_second_shutdown_waits_for_the_drain_of_the_first(supervisor: RunSupervisor) -> None:
    """The process closes what runs work with only when they have ended."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer)
    await answer.stalled.wait()
    first, second = (asyncio.create_task(supervisor.shut_down(seconds)) for seconds in (60, None))
    await asyncio.sleep(0)
    answer.go_on.set()
    await asyncio.gather(first, second)

    assert isinstance((await read(run))[-1], Finished)


async def test_a_shutdown_that_gives_no_time_ends_the_drain_of_an_earlier_one(supervisor: RunSupervisor) -> None:
    """Whoever presses Ctrl-C does not wait for what SIGTERM had left."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer)
    await answer.stalled.wait()
    first = asyncio.create_task(supervisor.shut_down(600))
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENT_S):
        await supervisor.shut_down(0)
        await first

    assert get_error(await read(run)) == ("server_shutdown", True)


async def test_no_run_begins_after_the_shutdown(supervisor: RunSupervisor) -> None:
    """Nobody would end it: the caller is told to ask again."""
    await supervisor.shut_down()

    with pytest.raises(DependencyUnavailable) as caught:
        await start(supervisor, PlayedAnswer(["a"]))
    assert (caught.value.error_code, caught.value.retryable) == ("server_shutdown", True)


async def test_a_run_whose_log_opens_during_the_shutdown_is_ended_too() -> None:
    """Opening the log takes up to a second where Redis is slow, and its client must not be cut off instead."""
    opening, go_on = asyncio.Event(), asyncio.Event()

    class SlowLog(SharedMemoryLog):
        async def begin(self, stream: StreamId) -> bool:
            opening.set()
            await go_on.wait()
            return await super().begin(stream)

    supervisor = make_supervisor(SlowLog())
    starting = asyncio.create_task(start(supervisor, PlayedAnswer(stalls=True), ends_with_client=False))
    await opening.wait()
    await supervisor.shut_down()
    go_on.set()

    async with asyncio.timeout(PATIENT_S):
        assert get_error(await read(await starting)) == ("server_shutdown", False)
    assert supervisor.count == 0


async def test_a_shutdown_after_the_end_adds_nothing(supervisor: RunSupervisor) -> None:
    """The last events wait for a slow client: `finished` stays the only terminal event."""
    run = await start(supervisor, PlayedAnswer(["a"]))
    assert run.task is not None
    await run.task
    await supervisor.shut_down()

    assert isinstance((await read(run))[-1], Finished)


async def test_runs_that_outlive_their_clients_are_bounded(durable: SharedMemoryLog) -> None:
    """Nothing of one too many has begun; others go on, and one that ends makes room. Those that end with their client
    are as many as there are clients."""
    supervisor = make_supervisor(durable, max_lasting=2)
    answers = [PlayedAnswer(stalls=True) for _ in range(2)]
    first, second = [await start(supervisor, answer, ends_with_client=False) for answer in answers]
    refused = PlayedAnswer(["a"])
    with pytest.raises(ServiceError) as caught:
        await start(supervisor, refused, ends_with_client=False)
    assert (caught.value.error_code, caught.value.retryable, find_status(caught.value)) == ("too_many_runs", True, 503)
    assert caught.value.retry_after
    assert (supervisor.count, set(durable._streams)) == (2, {first.stream, second.stream})

    await supervisor.leave(await start(supervisor, refused))
    answers[0].go_on.set()
    assert first.task is not None
    await first.task
    assert await collect_run(await start(supervisor, PlayedAnswer(["a"]), ends_with_client=False))
    await supervisor.shut_down()


async def test_a_run_that_is_given_up_while_it_begins_takes_no_place() -> None:
    """Redis is slow, and the server stops waiting for its clients; nothing is written for it any more."""
    opening = asyncio.Event()

    class SilentLog(SharedMemoryLog):
        async def begin(self, stream: StreamId) -> bool:
            await super().begin(stream)
            opening.set()
            return await asyncio.Event().wait()

    durable = SilentLog()
    supervisor = make_supervisor(durable, max_lasting=1)
    for _ in range(2):
        starting = asyncio.create_task(start(supervisor, PlayedAnswer(), ends_with_client=False))
        await opening.wait()
        opening.clear()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
    states = [live.state.ended for live in durable._streams.values()]
    assert (states, supervisor.count) == ([True, True], 0)


async def test_a_run_of_another_process_is_stopped_there(durable: SharedMemoryLog) -> None:
    """One that ends with its client is known nowhere else; asked by another process, it is stopped here."""
    elsewhere = name_run("default", "run_elsewhere")
    stops = PlayedStopRequests(elsewhere)
    supervisor = make_supervisor(durable, stop_requests=stops)
    assert await supervisor.stop("default", elsewhere.name)
    assert not await supervisor.stop("other", elsewhere.name)
    assert not stops.on_request(elsewhere)

    answer = PlayedAnswer(["a"], stalls=True)
    run = await start(supervisor, answer)
    await answer.stalled.wait()
    assert stops.on_request(run.stream)
    assert (await read(run))[-1] == answer.finish("stopped")


async def test_an_endless_answer_is_cut_off_at_its_length(supervisor: RunSupervisor) -> None:
    """Memory and money are bounded whatever a provider sends."""
    events = await read(await start(supervisor, PlayedAnswer(["x" * 300] * 1000)))

    assert get_error(events) == ("answer_too_long", True)
    assert sum(len(event.text) for event in events if isinstance(event, Delta)) <= 1000


async def test_a_run_ends_at_its_deadline(durable: SharedMemoryLog) -> None:
    """One that neither ends nor fails fails then."""
    supervisor = make_supervisor(durable, deadline_s=0.05)

    assert get_error(await read(await start(supervisor, PlayedAnswer(stalls=True)))) == ("run_timeout", False)


class RecordedTurn:
    """Notes what is kept, and how much of the run's log could be read by then; waits for `go_on` if it is to."""

    conversation_id = "c"

    def __init__(self, log: MemoryEventLog[RunEvent], *, waits: bool = False) -> None:
        self._log = log
        self._waits = waits
        self.kept: list[tuple[str, str, bool]] = []
        self.ended_before: bool | None = None
        self.keeping = asyncio.Event()
        self.go_on = asyncio.Event()

    async def keep(self, run_id: str, answer: str, *, complete: bool) -> None:
        state = await self._log.find(StreamId("default", "run", run_id))
        self.ended_before = state is None or state.ended
        self.keeping.set()
        if self._waits:
            await self.go_on.wait()
        self.kept.append((run_id, answer, complete))


@pytest.fixture
def turn(durable: SharedMemoryLog) -> RecordedTurn:
    return RecordedTurn(durable)


async def start_turn(supervisor: RunSupervisor, answer: PlayedAnswer, turn: RecordedTurn) -> Run:
    return await supervisor.start("default", answer, ends_with_client=False, turn=turn)


async def test_a_turn_is_kept_before_its_end_is_told(supervisor: RunSupervisor, turn: RecordedTurn) -> None:
    """Who asks as soon as the answer is whole goes on with it. The beginning names the conversation."""
    run = await start_turn(supervisor, PlayedAnswer(["a", "b"]), turn)
    events = await read(run)

    assert events[0] == Started(run_id=run.run_id, resumable=False, conversation_id="c")
    assert isinstance(events[-1], Finished)
    assert turn.kept == [(run.run_id, "ab", True)]
    assert turn.ended_before is False


async def test_a_stopped_turn_is_kept_as_far_as_it_got(supervisor: RunSupervisor, turn: RecordedTurn) -> None:
    """It is said to be no whole answer."""
    answer = PlayedAnswer(["a"], stalls=True)
    run = await start_turn(supervisor, answer, turn)
    await answer.stalled.wait()
    await supervisor.stop("default", run.run_id)

    assert turn.kept == [(run.run_id, "a", False)]
    assert (await read(run))[-1] == answer.finish("stopped").model_copy(update={"conversation_id": "c"})


async def test_a_turn_whose_client_leaves_is_kept_as_far_as_it_got(supervisor: RunSupervisor) -> None:
    """Leaving is how the page stops an answer; what was on the screen can be referred to."""
    turn = RecordedTurn(SharedMemoryLog())
    answer = PlayedAnswer(["a"], stalls=True)
    run = await supervisor.start("default", answer, ends_with_client=True, turn=turn)
    await answer.stalled.wait()
    await supervisor.leave(run)

    assert turn.kept == [(run.run_id, "a", False)]


@pytest.mark.parametrize(
    "error", [LanguageModelTimeout("slow"), ZeroDivisionError("bug"), LanguageModelBusy("busy", retry_after=7)]
)
async def test_an_answer_that_failed_is_not_kept(
    supervisor: RunSupervisor, turn: RecordedTurn, error: Exception
) -> None:
    """The same question is going to be asked again."""
    assert get_error(await read(await start_turn(supervisor, PlayedAnswer(["a"], error=error), turn)))
    assert turn.kept == []


async def test_an_answer_that_the_shutdown_ends_is_not_kept(supervisor: RunSupervisor, turn: RecordedTurn) -> None:
    """Nor one that readers elsewhere have given up."""
    answer = PlayedAnswer(["a"], stalls=True)
    await start_turn(supervisor, answer, turn)
    await answer.stalled.wait()
    await supervisor.shut_down()

    assert turn.kept == []


async def test_a_whole_answer_stays_whole_while_it_is_kept(supervisor: RunSupervisor, durable: SharedMemoryLog) -> None:
    """A stop or a shutdown that meets the keeping changes neither what is kept nor what is told."""
    turn = RecordedTurn(durable, waits=True)
    run = await start_turn(supervisor, PlayedAnswer(["a"]), turn)
    await turn.keeping.wait()
    calls = (supervisor.stop("default", run.run_id), supervisor.shut_down())
    stopping = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    turn.go_on.set()
    await asyncio.gather(*stopping)

    assert turn.kept == [(run.run_id, "a", True)]
    assert (await read(run))[-1] == PlayedAnswer().finish().model_copy(update={"conversation_id": "c"})


async def test_a_collected_run_is_its_text_or_its_failure(supervisor: RunSupervisor) -> None:
    """`/query` is the same run: the joined deltas, or the error."""
    whole = await collect_run(await start(supervisor, PlayedAnswer([" a", "b "])))
    text, failed = await collect_run(await start(supervisor, PlayedAnswer(["a"], error=LanguageModelTimeout("slow"))))

    assert whole == (" ab ", PlayedAnswer().finish())
    assert text == "a"
    assert isinstance(failed, Failed)
    assert failed.status == 504
