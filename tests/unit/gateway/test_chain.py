"""A chain gives one model's answer or one error, asks nobody whom it should leave alone, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.ports import Answering, AnswerPiece, Completion, LanguageModel, Prompt, TextDelta
from services.gateway.providers.breaker import FAILURES_TO_OPEN, OPEN_S
from services.gateway.providers.chain import ProviderChain, combine_failures
from shared.errors import (
    LanguageModelBusy,
    LanguageModelError,
    LanguageModelRejected,
    LanguageModelTimeout,
    LanguageModelUnavailable,
    QuestionRejected,
)

PROMPT = Prompt((), question="How much?", passages=())
LONG_S = 60.0
BUSY = LanguageModelBusy("a is busy.", details={"provider": "a", "upstream_status": 429})
DOWN = LanguageModelUnavailable("b is down.", details={"provider": "b"})
REJECTED = LanguageModelRejected("c refuses.", details={"provider": "c", "upstream_status": 401})


@dataclass
class PlayedModel:
    """Gives these texts, then an error, silence, or its Completion.

    Attributes:
        steps: of the event loop that it takes before its first text or error.
        closed: how many of its answers have been closed, out of `asked`.
        silent: set once it waits for ever.
    """

    provider: str
    texts: tuple[str, ...] = ()
    error: Exception | None = None
    stalls: bool = False
    steps: int = 0
    asked: int = 0
    closed: int = 0
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def model(self) -> str:
        return f"model-{self.provider}"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        assert prompt is PROMPT
        self.asked += 1
        texts, error, stalls = self.texts, self.error, self.stalls
        try:
            for _ in range(self.steps):
                await asyncio.sleep(0)
            for text in texts:
                yield TextDelta(text)
            if error is not None:
                raise error
            if stalls:
                self.silent.set()
                await asyncio.Event().wait()
            yield Completion("stop", self.provider, self.model)
        finally:
            self.closed += 1
            self.left.set()

    async def close(self) -> None:
        raise AssertionError("a chain does not own its models")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_chain(*models: LanguageModel, hedge_s: float | None = None, wait_s: float = LONG_S) -> ProviderChain:
    return ProviderChain(models, wait_s=wait_s, hedge_s=hedge_s, clock=Clock())


def pass_time(chain: ProviderChain, seconds: float) -> None:
    clock = chain._members[0]._breaker._clock
    assert isinstance(clock, Clock)
    clock.now += seconds


async def read(chain: ProviderChain, pieces: list[AnswerPiece] | None = None) -> list[AnswerPiece]:
    """All pieces of an answer."""
    pieces = [] if pieces is None else pieces
    async with aclosing(chain.stream(PROMPT)) as stream:
        async for piece in stream:
            pieces.append(piece)
    return pieces


async def read_error(chain: ProviderChain) -> LanguageModelError:
    """The error of an answer that does not begin."""
    with pytest.raises(LanguageModelError) as caught:
        await read(chain)
    return caught.value


def answer_of(model: PlayedModel) -> list[AnswerPiece]:
    """What a chain gives when this model answers."""
    texts = [TextDelta(text) for text in model.texts]
    return [
        Answering(model.provider, model.model),
        *texts,
        Completion("stop", model.provider, model.model),
    ]


@pytest.fixture
def good() -> PlayedModel:
    return PlayedModel("good", ("one", "two"))


class TestOrder:
    """The next is asked when one fails before its first token, and only then."""

    async def test_the_first_that_answers_is_the_only_one_asked(self, good: PlayedModel) -> None:
        spare = PlayedModel("spare", ("x",))
        assert await read(make_chain(good, spare)) == answer_of(good)
        assert spare.asked == 0

    @pytest.mark.parametrize("error", [BUSY, DOWN, REJECTED, LanguageModelTimeout("x"), LanguageModelError("x")])
    async def test_a_failure_before_the_first_token_moves_on(
        self, good: PlayedModel, error: LanguageModelError
    ) -> None:
        """Whatever failure it is; who answers stands before the text."""
        first, second = PlayedModel("a", error=error), PlayedModel("b", error=error)
        assert await read(make_chain(first, second, good)) == answer_of(good)
        assert (first.asked, first.closed, second.asked, second.closed) == (1, 1, 1, 1)

    async def test_a_failure_after_the_first_token_is_the_answers_end(self, good: PlayedModel) -> None:
        first = PlayedModel("a", ("half",), error=DOWN)
        pieces: list[AnswerPiece] = []
        with pytest.raises(LanguageModelUnavailable) as caught:
            await read(make_chain(first, good), pieces)
        assert caught.value is DOWN
        assert pieces == [Answering("a", "model-a"), TextDelta("half")]
        assert good.asked == 0

    async def test_an_answer_without_text_is_one(self, good: PlayedModel) -> None:
        """The model has refused, or thought too long: to ask another one until one writes is not ours to decide."""
        empty = PlayedModel("a")
        assert await read(make_chain(empty, good)) == answer_of(empty)

    async def test_a_bug_of_ours_does_not_pass_for_a_failure(self, good: PlayedModel) -> None:
        with pytest.raises(ZeroDivisionError):
            await read(make_chain(PlayedModel("a", error=ZeroDivisionError()), good))
        assert good.asked == 0


class TestAllFail:
    """One error, which tells most, names the others, and says the shortest wait."""

    async def test_the_most_telling_error_names_the_others(self) -> None:
        chain = make_chain(PlayedModel("c", error=REJECTED), PlayedModel("b", error=DOWN), PlayedModel("a", error=BUSY))
        error = await read_error(chain)
        assert (type(error), error.error_code, error.retryable) == (LanguageModelBusy, "llm_busy", True)
        assert error.message == "a is busy. The others in the chain failed, too: c (llm_rejected), b (llm_unavailable)."
        assert error.details == {
            "provider": "a",
            "upstream_status": 429,
            "chain": {"c": "llm_rejected", "b": "llm_unavailable", "a": "llm_busy"},
        }

    def test_the_shortest_wait_of_all_is_told(self) -> None:
        failures = {
            "a": LanguageModelBusy("x", retry_after=30),
            "b": LanguageModelBusy("x", retry_after=7),
            "c": LanguageModelUnavailable("x"),
        }
        assert combine_failures(failures).retry_after == 7

    async def test_alone_it_is_the_error_itself(self) -> None:
        assert await read_error(make_chain(PlayedModel("b", error=DOWN))) is DOWN

    async def test_the_wait_before_the_first_token_is_bounded(self) -> None:
        """However many there are: who is silent is left, and the error is a timeout."""
        models = [PlayedModel("a", stalls=True), PlayedModel("b", stalls=True)]
        error = await read_error(make_chain(*models, hedge_s=0.0, wait_s=0.05))
        assert type(error) is LanguageModelTimeout
        assert error.details == {"provider": "a", "chain": {"a": "llm_timeout", "b": "llm_timeout"}}
        assert [model.closed for model in models] == [1, 1]


class TestLeftAlone:
    """Who has failed too often, or says how long to stay away, is not asked."""

    async def test_retry_after_is_respected(self, good: PlayedModel) -> None:
        """Until then only the next is asked; then the first again."""
        busy = PlayedModel("a", error=LanguageModelBusy("x", retry_after=60))
        chain = make_chain(busy, good)
        await read(chain)
        pass_time(chain, 59)
        await read(chain)
        assert (busy.asked, good.asked) == (1, 2)
        assert chain.describe_members() == {"a": "open: llm_busy", "good": "ok"}
        pass_time(chain, 1)
        busy.error, busy.texts = None, ("back",)
        assert await read(chain) == answer_of(busy)
        assert chain.describe_members() == {"a": "ok", "good": "ok"}

    async def test_when_nobody_may_be_asked_the_error_says_why_and_until_when(self) -> None:
        models = [
            PlayedModel("a", error=LanguageModelBusy("a is busy.", retry_after=60)),
            PlayedModel("b", error=LanguageModelBusy("b is busy.", retry_after=40)),
        ]
        chain = make_chain(*models)
        await read_error(chain)
        pass_time(chain, 30)
        error = await read_error(chain)
        assert (error.error_code, error.retry_after) == ("llm_busy", 10)
        assert [model.asked for model in models] == [1, 1]

    async def test_failures_in_a_row_open_its_circuit_and_one_probe_closes_it(self, good: PlayedModel) -> None:
        """While the probe is on its way the others do not wait for it."""
        down = PlayedModel("a", error=DOWN)
        chain = make_chain(down, good)
        for _ in range(FAILURES_TO_OPEN + 3):
            await read(chain)
        assert down.asked == FAILURES_TO_OPEN
        pass_time(chain, OPEN_S)
        down.error, down.stalls = None, True
        probe = asyncio.create_task(read(chain))
        await down.silent.wait()
        assert await read(chain) == answer_of(good)
        assert down.asked == FAILURES_TO_OPEN + 1
        probe.cancel()
        await asyncio.wait([probe])
        down.stalls, down.texts = False, ("back",)
        assert await read(chain) == answer_of(down)

    async def test_an_answer_from_before_its_circuit_opened_does_not_close_it(self) -> None:
        """Two questions at once: one is told to come back later, and then the other one is answered all the same."""
        model = PlayedModel("a", ("slow",), steps=20)
        chain = make_chain(model)
        slow = asyncio.create_task(read(chain))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert model.asked == 1
        model.error, model.texts, model.steps = LanguageModelBusy("a is busy.", retry_after=60), (), 0
        await read_error(chain)
        assert not slow.done()
        assert (await slow)[1:] == [TextDelta("slow"), Completion("stop", "a", "model-a")]
        error = await read_error(chain)
        assert (error.error_code, error.retry_after, model.asked) == ("llm_busy", 60, 2)
        assert chain.describe_members() == {"a": "open: llm_busy"}

    async def test_who_is_silent_until_the_wait_is_over_has_failed(self) -> None:
        """Whoever ends the silence: the first does it itself, for the second and its rival the wait does."""
        first = PlayedModel("a", error=LanguageModelTimeout("x"))
        models = [first, PlayedModel("b", stalls=True), PlayedModel("c", stalls=True)]
        chain = make_chain(*models, hedge_s=0.0, wait_s=0.1)
        for _ in range(FAILURES_TO_OPEN + 2):
            assert type(await read_error(chain)) is LanguageModelTimeout
        assert [model.asked for model in models] == [FAILURES_TO_OPEN] * 3
        assert chain.describe_members() == dict.fromkeys("abc", "open: llm_timeout")
        pass_time(chain, OPEN_S)
        models[1].stalls, models[1].texts = False, ("back",)
        assert await read(chain) == answer_of(models[1])

    async def test_who_is_left_before_the_wait_is_over_has_not_failed(self) -> None:
        """Its client was impatient, or has stopped it."""
        mute = PlayedModel("a", stalls=True)
        chain = make_chain(mute)
        for _ in range(FAILURES_TO_OPEN + 1):
            mute.silent.clear()
            asking = asyncio.create_task(read(chain))
            await mute.silent.wait()
            asking.cancel()
            await asyncio.wait([asking])
        assert (mute.asked, chain.describe_members()) == (FAILURES_TO_OPEN + 1, {"a": "ok"})

    async def test_a_rejected_question_is_not_its_providers_fault(self, good: PlayedModel) -> None:
        """Somebody's question is too long for one model: the next may take it, and the next question is asked again."""
        small = PlayedModel("a", error=QuestionRejected("x", details={"upstream_status": 400}))
        chain = make_chain(small, good)
        for _ in range(FAILURES_TO_OPEN + 1):
            assert await read(chain) == answer_of(good)
        assert small.asked == FAILURES_TO_OPEN + 1
        assert chain.describe_members()["a"] == "ok"

    async def test_a_wrong_key_is_seen_in_the_state_and_the_log(
        self, good: PlayedModel, caplog: pytest.LogCaptureFixture
    ) -> None:
        chain = make_chain(PlayedModel("c", error=REJECTED), good)
        await read(chain)
        assert chain.describe_members() == {"c": "failing: llm_rejected", "good": "ok"}
        (line,) = [record.msg for record in caplog.records if record.levelname == "ERROR"]
        assert isinstance(line, dict)
        assert (line["event"], line["provider"], line["status"]) == ("provider_rejected", "c", 401)


class TestHedge:
    """Who is silent for too long gets a rival; who speaks first answers, and the other is left at once."""

    async def test_the_one_that_speaks_first_answers_and_the_other_is_left(self, good: PlayedModel) -> None:
        """Already when the first token is there, not when the answer is over."""
        mute = PlayedModel("a", stalls=True)
        async with aclosing(make_chain(mute, good, hedge_s=0.01).stream(PROMPT)) as stream:
            assert await anext(stream) == Answering("good", "model-good")
            await asyncio.wait_for(mute.left.wait(), LONG_S)
            assert [piece async for piece in stream] == answer_of(good)[1:]

    async def test_the_first_can_still_win(self) -> None:
        slow, mute = PlayedModel("a", ("slow",), steps=50), PlayedModel("b", stalls=True)
        assert await read(make_chain(slow, mute, hedge_s=0.0)) == answer_of(slow)
        assert (mute.asked, mute.closed) == (1, 1)

    async def test_without_it_nobody_is_asked_beside_another(self, good: PlayedModel) -> None:
        mute = PlayedModel("a", stalls=True)
        assert type(await read_error(make_chain(mute, good, wait_s=0.05))) is LanguageModelTimeout
        assert good.asked == 0

    async def test_at_most_two_are_asked_at_once(self) -> None:
        models = [PlayedModel(name, stalls=True) for name in "abc"]
        await read_error(make_chain(*models, hedge_s=0.0, wait_s=0.05))
        assert [model.asked for model in models] == [1, 1, 0]

    async def test_a_rival_that_fails_is_replaced(self, good: PlayedModel) -> None:
        mute, down = PlayedModel("a", stalls=True), PlayedModel("b", error=DOWN)
        assert await read(make_chain(mute, down, good, hedge_s=0.0)) == answer_of(good)
        assert mute.closed == 1


@dataclass(frozen=True)
class Fate:
    """What becomes of one question at one model."""

    texts: tuple[str, ...]
    error: LanguageModelError | None
    stalls: bool
    steps: int


FATES = st.builds(
    Fate,
    texts=st.lists(st.text(min_size=1, max_size=3), max_size=3).map(tuple),
    error=st.none() | st.sampled_from([BUSY, DOWN, REJECTED, LanguageModelBusy("x", retry_after=60)]),
    stalls=st.sampled_from([False, False, True]),
    steps=st.integers(0, 6),
)


class FatedModel:
    """Has a fate for each question, in the order in which they come, and begins anew after the last.

    It does not stall after its first text: that is not the chain's business.
    """

    def __init__(self, provider: str, fates: Sequence[Fate]) -> None:
        self.provider = self.model = provider
        self.fates = fates
        self.plays: list[PlayedModel] = []

    def stream(self, prompt: Prompt) -> AsyncGenerator[TextDelta | Completion, None]:
        fate = self.fates[len(self.plays) % len(self.fates)]
        self.plays.append(
            PlayedModel(self.provider, fate.texts, fate.error, fate.stalls and not fate.texts, fate.steps)
        )
        return self.plays[-1].stream(prompt)

    async def close(self) -> None:
        raise AssertionError("a chain does not own its models")


@given(
    fates=st.lists(st.lists(FATES, min_size=1, max_size=4), min_size=1, max_size=4),
    hedge_s=st.sampled_from([None, 0.0, 0.0005]),
    cancel_after=st.lists(st.none() | st.integers(0, 12), min_size=1, max_size=8),
)
def test_whatever_happens_there_is_one_end_and_nothing_is_left(
    fates: Sequence[Sequence[Fate]], hedge_s: float | None, cancel_after: Sequence[int | None]
) -> None:
    """Several questions at once, some of which are given up: each is text of one model, in order, then a Completion or
    one error; every stream is closed, no task is left, and in the end everyone can be asked again."""

    async def play() -> None:
        models = [FatedModel(f"m{n}", fate) for n, fate in enumerate(fates)]
        chain = make_chain(*models, hedge_s=hedge_s, wait_s=0.005)
        await asyncio.gather(*(ask(chain, models, after) for after in cancel_after))
        assert all(play.closed == play.asked for model in models for play in model.plays)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        pass_time(chain, 120)
        attempts = [member.ask(PROMPT) for member in chain._members]
        assert all(attempts)
        await asyncio.gather(*(attempt.leave() for attempt in attempts if attempt))

    async def ask(chain: ProviderChain, models: Sequence[FatedModel], cancel_after: int | None) -> None:
        pieces: list[AnswerPiece] = []
        reading = asyncio.create_task(read(chain, pieces))
        if cancel_after is not None:
            for _ in range(cancel_after):
                await asyncio.sleep(0)
            reading.cancel()
        await asyncio.wait([reading])
        failed = None if reading.cancelled() else reading.exception()
        assert failed is None or isinstance(failed, LanguageModelError)
        if pieces:
            who = pieces[0]
            assert isinstance(who, Answering)
            (speaker,) = (model for model in models if model.provider == who.provider)
            texts = [[TextDelta(text) for text in fate.texts] for fate in speaker.fates]
            end = Completion("stop", who.provider, f"model-{who.provider}")
            assert any(pieces[1:] == [*text, end][: len(pieces) - 1] for text in texts)

    asyncio.run(play())
