"""Reads what the events of all providers hold: JSON, and counts of tokens."""

import json
from typing import Any

from pydantic_core import from_json


def read_json(data: bytes) -> Any:
    """The value of an event's data; ValueError when it is no JSON. Strings can hold halves of surrogate pairs."""
    try:
        return from_json(data)
    except ValueError:
        # The slower reader also takes a half surrogate pair: some servers split an emoji over two tokens.
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def read_counts(usage: Any) -> dict[str, int]:
    """The whole numbers among a provider's counts: whatever else stands there is not worth an answer."""
    if not isinstance(usage, dict):
        return {}
    return {name: count for name, count in usage.items() if isinstance(count, int) and not isinstance(count, bool)}
