"""What an answer costs, and lists of prices that nobody can read."""

import pytest
from pydantic import ValidationError

from services.gateway.answers.prices import Price, PriceList, parse_prices
from services.gateway.ports import Completion
from services.gateway.settings import GatewaySettings


def test_a_list_is_read() -> None:
    """Names may hold what providers' names hold; blanks do not count; nothing is a list, too."""
    text = " gpt-5-mini=0.25/2, org/model:free=0/0 ,a=b=1/1e1,"
    assert parse_prices(text) == {"gpt-5-mini": Price(0.25, 2), "org/model:free": Price(0, 0), "a=b": Price(1, 10)}
    assert parse_prices("") == {}


@pytest.mark.parametrize("wrong", ["m", "m=1", "m=1/", "m=1/2/3", "m=a/b", "=1/2", "m=-1/2", "m=nan/1", "m=1/inf"])
def test_what_is_no_price_is_named(wrong: str) -> None:
    """The error says which of them, and how it should look."""
    with pytest.raises(ValueError, match=wrong):
        parse_prices(f"good=1/2,{wrong}")


def test_a_price_that_is_there_twice_is_none() -> None:
    """Nobody could say which of them counts."""
    with pytest.raises(ValueError, match="'m' is there twice"):
        parse_prices("m=1/2,m=1/3")


def test_the_start_refuses_a_wrong_list() -> None:
    """Not the first answer."""
    assert GatewaySettings(llm_prices="m=1/2").prices == {"m": Price(1, 2)}
    with pytest.raises(ValidationError, match=r"'m=1' is not MODEL=IN/OUT"):
        GatewaySettings(llm_prices="m=1")


def test_a_cost_is_that_of_the_model_that_has_answered() -> None:
    """By the name that the provider gives it, else by the configured one of that provider; null where one lacks."""
    prices = PriceList({"mini": Price(0.25, 2), "mini-2025": Price(1, 1)}, {"openai": "mini", "groq": "llama"})

    def estimate(provider: str, model: str, read: int | None = 1000, written: int | None = 200) -> float | None:
        return prices.estimate(Completion("stop", provider, model, read, written))

    assert estimate("openai", "mini") == 0.00065
    assert estimate("openai", "mini-2024") == 0.00065
    assert estimate("openai", "mini-2025") == 0.0012
    assert estimate("groq", "llama") is None
    assert estimate("openai", "mini", read=None) is None
    assert estimate("openai", "mini", written=None) is None
    assert estimate("openai", "mini", 0, 0) == 0
