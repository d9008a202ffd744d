"""Which answers are kept and given again, and that one which is cannot be stale, in whatever order things happen."""

from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, precondition, rule
from pydantic import SecretStr

from services.gateway.answers.answer_question import AnswerDependencies, begin_answer
from services.gateway.answers.kept_answers import AnswerKeeping, KeptPlace, ReplayedAnswer
from services.gateway.answers.question_context import NO_CONTEXT, QuestionContext
from services.gateway.main import identify_answers
from services.gateway.ports import Answering, AnswerPiece, Completion, Message, Prompt, TextDelta
from services.gateway.settings import GatewaySettings
from shared.contracts.jobs import DocumentJob
from shared.contracts.questions import NOT_FOUND_ANSWER, FinishReason, QueryRequest, QueryTimings, Usage
from shared.contracts.runs import Delta, Finished, PassagesFound, RunEvent
from shared.contracts.search import SearchRequest, SearchResponse
from shared.identifiers import make_document_id
from shared.registry.port import Lease, NewDocument
from tests.canned_search import CannedSearch
from tests.fakes.memory_answer_cache import MemoryAnswerCache
from tests.fakes.memory_registry import MemoryRegistry

Result = TypeVar("Result")

QUESTION = QueryRequest(question="How much were net sales?")


@dataclass
class EchoModel:
    """Says what it is told to, and counts how often it is asked."""

    pieces: tuple[str, ...] = ("Net sales", " were 383.3 billion euro", " [1].")
    finish_reason: FinishReason = "stop"
    provider: str = "p"
    model: str = "m"
    stands_in: str | None = None
    asked: int = 0

    async def stream(self, prompt: Prompt) -> AsyncGenerator[AnswerPiece, None]:
        self.asked += 1
        provider = self.stands_in or self.provider
        yield Answering(provider, self.model)
        for piece in self.pieces:
            yield TextDelta(piece)
        yield Completion(self.finish_reason, provider, self.model, input_tokens=7, output_tokens=3)

    async def close(self) -> None:
        return None


async def publish(registry: MemoryRegistry) -> str:
    new = NewDocument("t", make_document_id(), make_document_id(), "aa", size_bytes=1)
    await registry.create(new)
    lease = await registry.claim(DocumentJob(tenant="t", document_id=new.document_id), "w", 30_000)
    assert isinstance(lease, Lease)
    await registry.publish(lease, "v1", [])
    return new.document_id


@pytest.fixture
def model() -> EchoModel:
    return EchoModel()


@pytest.fixture
async def search() -> CannedSearch:
    search = CannedSearch("doc_1", count=3)
    search.fingerprint = "as ever"
    return search


@pytest.fixture
async def deps(model: EchoModel, search: CannedSearch) -> AnswerDependencies:
    registry = MemoryRegistry()
    await publish(registry)
    keeping = AnswerKeeping(MemoryAnswerCache(registry), search, "code and settings")
    return AnswerDependencies(registry, search, {"p": model, "q": model}, "p", keeping=keeping)


async def ask(
    deps: AnswerDependencies, request: QueryRequest = QUESTION, context: QuestionContext = NO_CONTEXT
) -> list[RunEvent]:
    answer = await begin_answer("t", request, deps, context)
    return [event async for event in answer.produce()]


def get_end(events: list[RunEvent]) -> Finished:
    end = events[-1]
    assert isinstance(end, Finished)
    return end


def join_text(events: list[RunEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_an_answer_is_given_again(deps: AnswerDependencies, model: EchoModel, search: CannedSearch) -> None:
    """The same text, passages, sources and citations; nothing is searched and nobody asked, and so it is told."""
    first, again = await ask(deps), await ask(deps)

    assert (model.asked, len(search.requests)) == (1, 1)
    assert join_text(again) == join_text(first) == "".join(model.pieces)
    assert isinstance(again[0], PassagesFound)
    assert again[0] == first[0]
    end = get_end(again)
    assert end.sources == get_end(first).sources
    assert end.citations == get_end(first).citations
    assert [source.cited for source in end.sources] == [True, False, False]
    assert (get_end(first).cached, end.cached, end.finish_reason) == (False, True, "stop")
    assert end.usage == Usage(provider="p", model="m", input_tokens=0, output_tokens=0, cost=0)
    timings = end.timings_ms
    assert (timings.retrieval, timings.embed, timings.search, timings.rerank) == (None, None, None, None)
    assert timings.first_token is not None
    assert 0 < timings.first_token <= timings.total


@pytest.mark.parametrize(
    "other",
    [
        {"question": "How much were net sales"},
        {"question": "how much were net sales?"},
        {"top_k": 4},
        {"provider": "q"},
        {"unsupported_citations": "remove"},
        {"cache": False},
    ],
)
async def test_another_question_is_answered_anew(
    deps: AnswerDependencies, model: EchoModel, other: dict[str, Any]
) -> None:
    """Whatever changes the answer is in the key."""
    deps = replace(deps, models={"p": model, "q": replace(model, provider="q")})
    await ask(deps)
    assert not get_end(await ask(deps, QUESTION.model_copy(update=other))).cached


async def test_documents_are_named_in_any_order(deps: AnswerDependencies) -> None:
    """And one of them is another question than both, or all."""
    assert isinstance(deps.registry, MemoryRegistry)
    ids = sorted([await publish(deps.registry), await publish(deps.registry)])

    def name(document_ids: list[str]) -> QueryRequest:
        return QUESTION.model_copy(update={"document_ids": document_ids})

    await ask(deps, name(ids))
    assert get_end(await ask(deps, name([*reversed(ids), ids[0]]))).cached
    assert not get_end(await ask(deps, name(ids[:1]))).cached
    assert not get_end(await ask(deps)).cached


async def test_wishes_are_in_the_key_and_turns_keep_it_from_being_kept(deps: AnswerDependencies) -> None:
    """A question with turns before it is one of a conversation."""
    brief = QuestionContext(instructions="Be brief.")
    talk = QuestionContext(history=(Message("user", "Hello"),))
    await ask(deps)
    assert not get_end(await ask(deps, context=brief)).cached
    assert get_end(await ask(deps, context=brief)).cached
    assert not get_end(await ask(deps, context=talk)).cached
    assert not get_end(await ask(deps, context=talk)).cached


async def test_other_code_or_settings_answer_anew(deps: AnswerDependencies) -> None:
    """The identity of whatever makes the answers is in the key."""
    await ask(deps)
    assert deps.keeping is not None
    assert not get_end(await ask(replace(deps, keeping=replace(deps.keeping, identity="new code")))).cached


def test_any_setting_of_the_answering_is_in_the_identity() -> None:
    """Also one that nobody has thought of; but for addresses, and no key is."""
    plain = GatewaySettings.model_construct(openai_api_key=SecretStr("sk-secret"))

    def identify(**other: Any) -> str:
        return identify_answers(plain.model_copy(update=other))

    assert identify(port=9, redis_url="redis://other", public_url="http://other") == identify()
    for other in ({"openai_model": "other"}, {"openai_base_url": "http://other"}, {"llm_max_output_tokens": 7}):
        assert identify(**other) != identify()
    assert "secret" not in identify()


async def test_it_is_off_by_setting(deps: AnswerDependencies, model: EchoModel) -> None:
    """Then every answer is written anew."""
    deps = replace(deps, keeping=None)
    await ask(deps)
    assert not get_end(await ask(deps)).cached
    assert model.asked == 2


@pytest.mark.parametrize(
    "unfit",
    [
        {"finish_reason": "length"},
        {"finish_reason": "filtered"},
        {"finish_reason": "other"},
        {"stands_in": "q"},
        {"pieces": (NOT_FOUND_ANSWER, "\n")},
    ],
)
async def test_only_whole_answers_are_kept(deps: AnswerDependencies, model: EchoModel, unfit: dict[str, Any]) -> None:
    """Of the provider that was asked first, and which found something."""
    for name, value in unfit.items():
        setattr(model, name, value)
    await ask(deps)
    assert not get_end(await ask(deps)).cached
    assert model.asked == 2


async def test_nothing_found_is_not_kept(deps: AnswerDependencies, search: CannedSearch) -> None:
    """It costs nothing, and whoever reads it asks again."""
    search.passages = []
    assert join_text(await ask(deps)) == NOT_FOUND_ANSWER
    assert not get_end(await ask(deps)).cached


async def test_an_answer_that_was_left_or_failed_is_not_kept(deps: AnswerDependencies, model: EchoModel) -> None:
    """Also when all of its text had come."""
    answer = await begin_answer("t", QUESTION, deps)
    async for event in answer.produce():
        if isinstance(event, Delta) and event.text.endswith("[1]."):
            break
    answer.finish("stopped")
    assert not get_end(await ask(deps)).cached


async def test_an_answer_of_another_search_is_not_given_again(deps: AnswerDependencies, search: CannedSearch) -> None:
    """A reranker that has come up, or new settings of the retrieval, may find other passages."""
    await ask(deps)
    search.fingerprint = "reranked"
    assert not get_end(await ask(deps)).cached
    assert get_end(await ask(deps)).cached


@pytest.mark.parametrize("fingerprint", ["", None])
async def test_nothing_is_kept_of_a_search_that_does_not_say_how_it_works(
    deps: AnswerDependencies, search: CannedSearch, fingerprint: str | None
) -> None:
    """As one of an older release; and while the retrieval does not answer nothing is given again."""
    if fingerprint is None:
        await ask(deps)
        search.read_fingerprint = say_nothing  # type: ignore[method-assign]
    else:
        search.fingerprint = fingerprint
        await ask(deps)
    assert not get_end(await ask(deps)).cached


async def say_nothing() -> None:
    return None


async def test_a_replay_that_is_stopped_tells_what_was_sent(deps: AnswerDependencies, model: EchoModel) -> None:
    """No citation behind its end, no source that only such ones cite; as of any such answer, nothing was checked."""
    model.pieces = ("Net sales were 383.3 billion euro [1]. ", "word " * 100, "Costs were 5 [1]. More follows [2].")
    await ask(deps)
    answer = await begin_answer("t", QUESTION, deps)
    assert isinstance(answer, ReplayedAnswer)
    sent = ""
    async for event in answer.produce():
        if isinstance(event, Delta):
            sent += event.text
            break

    end = answer.finish("stopped")

    assert 0 < len(sent) < 300
    assert (end.finish_reason, end.cached) == ("stopped", True)
    assert [(citation.n, citation.supported, citation.claim) for citation in end.citations] == [(1, "unknown", None)]
    assert [(source.cited, source.supported) for source in end.sources] == [
        (True, "unknown"),
        (False, None),
        (False, None),
    ]


async def test_nobody_waits_longer_for_a_long_answer(deps: AnswerDependencies, model: EchoModel) -> None:
    """A replay comes in pieces, none of them long, and no character is lost."""
    model.pieces = tuple(f"word{n} 🙂\n" for n in range(2000))
    first, again = await ask(deps), await ask(deps)
    assert join_text(again) == join_text(first)
    assert 1 < len([event for event in again if isinstance(event, Delta)]) < 2000 / 4


def finish_now(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("it waits for something")


@dataclass
class Asking:
    """A question on its way: where its answer can be kept, and what its search has seen so far."""

    place: KeptPlace
    seen: list[str]
    unseen: list[str]
    fingerprint: str


class Interleaving(RuleBasedStateMachine):
    """Questions, publications and deletions, step by step in any order.

    The answer to a question names all documents that its search has seen, which looks at one after the other. So what
    is given again must name just the documents of that moment, and come from a search as they are then.
    """

    asking = Bundle("asking")

    def __init__(self) -> None:
        super().__init__()
        self.registry = MemoryRegistry()
        self.fingerprint = "0"
        self.ids: list[str] = []
        self.keeping = AnswerKeeping(MemoryAnswerCache(self.registry), self, "identity")

    async def read_fingerprint(self) -> str:
        return self.fingerprint

    async def search(self, request: SearchRequest) -> SearchResponse:
        raise NotImplementedError

    async def check_ready(self) -> dict[str, str]:
        return {}

    async def close(self) -> None:
        return None

    def list_active(self, ids: list[str]) -> list[str]:
        return sorted(finish_now(self.registry.get_active_versions("t", ids)))

    @rule()
    def publish_one(self) -> None:
        self.ids.append(finish_now(publish(self.registry)))

    @rule(data=st.data())
    @precondition(lambda self: self.ids)
    def delete_one(self, data: st.DataObject) -> None:
        document_id = data.draw(st.sampled_from(self.ids))
        self.ids.remove(document_id)
        finish_now(self.registry.delete("t", document_id))

    @rule(fingerprint=st.sampled_from("012"))
    def change_search(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    @rule(target=asking)
    def begin(self) -> Any:
        request, context, model = QUESTION, NO_CONTEXT, EchoModel()
        place = finish_now(self.keeping.look_up("t", request, context, model, remove_unsupported=False))
        if isinstance(place, ReplayedAnswer):
            end = place.finish()
            assert end.cached
            assert place._kept.text == f"{self.list_active(self.ids)} {self.fingerprint}"
        # The index holds what was published, and also what was not; the search asks the registry about each.
        return Asking(place, [], [*self.ids], self.fingerprint) if isinstance(place, KeptPlace) else multiple()

    @rule(asking=asking, count=st.integers(1, 3))
    def look(self, asking: Asking, count: int) -> None:
        looked, asking.unseen = asking.unseen[:count], asking.unseen[count:]
        asking.seen += self.list_active(looked)

    @rule(asking=consumes(asking))
    def finish(self, asking: Asking) -> None:
        seen = sorted(asking.seen + self.list_active(asking.unseen))
        usage = Usage(provider="p", model="m")
        end = Finished(sources=[], finish_reason="stop", usage=usage, timings_ms=QueryTimings(total=1))
        finish_now(asking.place.keep(f"{seen} {asking.fingerprint}", asking.fingerprint, end))


Interleaving.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
test_what_is_given_again_is_never_stale = Interleaving.TestCase
