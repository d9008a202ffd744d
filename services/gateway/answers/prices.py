"""What answers cost, by a list of prices that somebody has typed from the providers' pages.

An estimate: discounts for what a provider had in its own cache, and its rounding, are not in it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.gateway.ports import Completion

_MILLION: Final = 1_000_000


@dataclass(frozen=True)
class Price:
    """Of a million tokens in and of a million out, in whatever currency the list has."""

    input: float
    output: float


@dataclass(frozen=True)
class PriceList:
    """Prices.

    Attributes:
        by_model: by the model's name, as it is configured or as its provider names it in answers.
        configured: the model that is configured for each provider.
    """

    by_model: Mapping[str, Price] = field(default_factory=dict)
    configured: Mapping[str, str] = field(default_factory=dict)

    def estimate(self, completion: Completion) -> float | None:
        """Return what an answer has cost; None without a price or a count of its tokens."""
        configured = self.configured.get(completion.provider, "")
        price = self.by_model.get(completion.model) or self.by_model.get(configured)
        if price is None or completion.input_tokens is None or completion.output_tokens is None:
            return None
        cost = completion.input_tokens * price.input + completion.output_tokens * price.output
        return round(cost / _MILLION, 10)  # of the rest nobody could say what it is


NO_PRICES: Final = PriceList()


def parse_prices(text: str) -> dict[str, Price]:
    """Return the prices of a list such as `gpt-5-mini=0.25/2, claude-haiku-4-5=1/5`: in and out per million tokens.

    Raises:
        ValueError: it is no such list; says which item is wrong.
    """
    prices: dict[str, Price] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        model, _, amounts = map(str.strip, item.rpartition("="))
        try:
            read, written = map(float, amounts.split("/"))
        except ValueError:
            raise ValueError(f"{item!r} is not MODEL=IN/OUT, such as gpt-5-mini=0.25/2") from None
        if not model:
            raise ValueError(f"{item!r} names no model; write MODEL=IN/OUT, such as gpt-5-mini=0.25/2")
        if not all(math.isfinite(amount) and amount >= 0 for amount in (read, written)):
            raise ValueError(f"{item!r} has a price that is no amount of money")
        if model in prices:
            raise ValueError(f"{model!r} is there twice")
        prices[model] = Price(read, written)
    return prices
