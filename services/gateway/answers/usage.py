"""What an answer has used: the call that wrote it, and the one before it that made its question stand by itself."""

from typing import TypeVar

from services.gateway.answers.prices import PriceList
from services.gateway.ports import Completion
from shared.contracts.questions import Usage

Number = TypeVar("Number", int, float)


def make_usage(answer: Completion, rewriting: Completion | None, prices: PriceList) -> Usage:
    """Return who has answered, and the tokens and cost of both calls.

    Parameters:
        answer: its end, or who was to write it. Where its tokens or its cost are not known, neither is the sum.
        rewriting: the end of the other call; None, or without a count: it adds nothing.
    """
    read, written, cost = answer.input_tokens, answer.output_tokens, prices.estimate(answer)
    if rewriting is not None:
        read, written = _add(read, rewriting.input_tokens), _add(written, rewriting.output_tokens)
        cost = _add(cost, prices.estimate(rewriting))
    return Usage(
        provider=answer.provider,
        model=answer.model,
        input_tokens=read,
        output_tokens=written,
        cost=cost if cost is None else round(cost, 10),  # without what adding fractions leaves behind
    )


def _add(known: Number | None, more: Number | None) -> Number | None:
    return known if known is None or more is None else known + more
