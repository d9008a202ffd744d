"""The usage of an answer counts the call that made its question stand by itself."""

from services.gateway.answers.prices import NO_PRICES, Price, PriceList
from services.gateway.answers.usage import make_usage
from services.gateway.ports import Completion
from shared.contracts.questions import Usage

PRICES = PriceList({"large": Price(10, 100), "small": Price(1, 2)})
ANSWER = Completion("stop", "openai", "large", input_tokens=100_000, output_tokens=10_000)
REWRITING = Completion("stop", "groq", "small", input_tokens=1_000, output_tokens=500)


def test_both_calls_count_each_at_its_own_price() -> None:
    """A chain may have asked another provider first; who has answered is still the one that wrote the answer."""
    alone = Usage(provider="openai", model="large", input_tokens=100_000, output_tokens=10_000, cost=2.0)
    both = alone.model_copy(update={"input_tokens": 101_000, "output_tokens": 10_500, "cost": 2.002})
    assert make_usage(ANSWER, None, PRICES) == alone
    assert make_usage(ANSWER, REWRITING, PRICES) == both
    assert make_usage(ANSWER, REWRITING, NO_PRICES).cost is None


def test_a_call_that_was_not_counted_adds_nothing_and_of_an_answer_that_was_not_there_is_no_sum() -> None:
    """Half of a sum would be taken for all of it; an answer's own count is worth more than none."""
    silent = Completion("stop", "groq", "small")
    assert make_usage(ANSWER, silent, PRICES) == make_usage(ANSWER, None, PRICES)
    stopped = make_usage(Completion("stop", "openai", "large"), REWRITING, PRICES)
    assert (stopped.input_tokens, stopped.output_tokens, stopped.cost) == (None, None, None)
