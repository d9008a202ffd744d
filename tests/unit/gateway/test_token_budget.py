"""A prompt keeps to its tokens: the oldest turns go first, then the lowest passages, never the question."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.answers.prompt import build_prompt
from services.gateway.answers.question_context import QuestionContext
from services.gateway.answers.token_budget import choose_parts, estimate_tokens
from services.gateway.ports import Message
from tests.canned_search import make_passage

PARTS = st.lists(st.text(max_size=60), max_size=12)


@given(st.text(), st.text())
def test_an_estimate_grows_with_its_text(one: str, other: str) -> None:
    """By at least what is added and at most one more for where they meet; never more than three for a character."""
    together = estimate_tokens(one + other)
    apart = estimate_tokens(one) + estimate_tokens(other)
    assert max(estimate_tokens(one), estimate_tokens(other)) <= together <= apart <= together + 1
    assert together <= 3 * len(one + other)
    assert (estimate_tokens(one) == 0) == (one == "")


def test_the_estimate_is_on_the_safe_side() -> None:
    """Against what two tokenizers make of it, the higher count (docs/decisions/0016); single digits are the worst."""
    known = {
        "Net sales of unit 1 were 383.3 billion euro.": 17,
        "| 2019 | 260,174 | 265,595 | 229,234 |": 34,
        "今年的净销售额是多少？": 14,
        "Der Vertrag verlängert sich stillschweigend um ein weiteres Jahr.": 18,
    }
    for text, tokens in known.items():
        assert 0.95 * tokens <= estimate_tokens(text) <= 2 * tokens


@given(PARTS, PARTS, st.integers(-100, 1000))
def test_the_oldest_turns_go_first_then_the_lowest_passages(
    turns: list[str], passages: list[str], max_tokens: int
) -> None:
    """What is kept has room, but for one passage; nothing that has room goes, no passage as long as there is a turn."""
    kept_turns, kept_passages = choose_parts(turns, passages, max_tokens)

    assert passages[: len(kept_passages)] == kept_passages
    assert turns[len(turns) - len(kept_turns) :] == kept_turns
    assert kept_passages or not passages
    used = sum(map(estimate_tokens, kept_turns + kept_passages))
    assert used <= max_tokens or (len(kept_passages) == 1 and not kept_turns) or used == 0
    if len(kept_passages) < len(passages):
        assert not kept_turns
        following = passages[len(kept_passages)]
        assert used + estimate_tokens(following) > max_tokens
    elif len(kept_turns) < len(turns):
        following = turns[len(turns) - len(kept_turns) - 1]
        assert used + estimate_tokens(following) > max_tokens


def make_history(turns: int, words: int = 20) -> QuestionContext:
    return QuestionContext(tuple(Message("user", f"Turn {n}: {'word ' * words}") for n in range(turns)))


def measure(question: str, passages: int, context: QuestionContext, max_tokens: int | None) -> tuple[int, str, int]:
    """Estimated tokens of the prompt, what the user's message is, and how many passages it has."""
    found = [make_passage("doc", n) for n in range(passages)]
    # One key for all: how many of its characters are digits is chance, and each of these counts as a token.
    prompt = build_prompt(question, found, context, nonce="0a1b2c3d", max_tokens=max_tokens)
    text = prompt.messages[-1].text
    assert [passage.chunk_id for passage in prompt.passages] == list(range(len(prompt.passages)))
    assert text.count(' n="') == len(prompt.passages)
    return sum(estimate_tokens(message.text) for message in prompt.messages), text, len(prompt.passages)


def test_a_prompt_that_has_room_is_whole() -> None:
    """The budget changes nothing then."""
    tokens, text, passages = measure("How much?", 5, make_history(4), 32_000)
    assert passages == 5
    assert [f"Turn {n}" in text for n in range(4)] == [True] * 4
    assert tokens < 32_000


def test_turns_make_room_for_passages() -> None:
    """From the oldest on; the rules for them go with the last."""
    whole, _, _ = measure("How much?", 5, make_history(4), None)
    seen = []
    for budget in range(whole + 200, 0, -25):
        tokens, text, passages = measure("How much?", 5, make_history(4), budget)
        turns = [n for n in range(4) if f"Turn {n}" in text]
        assert text.endswith("How much?\n" + text.rsplit("\n", 1)[1])
        assert turns == list(range(4 - len(turns), 4))
        assert passages == 5 or not turns
        assert ("<earlier-" in text) == bool(turns)
        assert tokens <= budget or passages == 1
        seen.append((len(turns), passages))
    assert seen == sorted(seen, reverse=True)
    assert {(4, 5), (3, 5), (0, 5), (0, 4), (0, 1)} <= set(seen)


@given(st.text(min_size=1, max_size=400), st.integers(0, 12), st.integers(0, 8), st.integers(1, 6000))
def test_a_prompt_is_never_longer_than_it_may_be(question: str, passages: int, turns: int, max_tokens: int) -> None:
    """Unless only the question, the rules and one passage are left."""
    tokens, text, kept = measure(question, passages, make_history(turns), max_tokens)
    assert "<question-" in text
    assert tokens <= max_tokens or (kept == min(passages, 1) and "<earlier-" not in text)
