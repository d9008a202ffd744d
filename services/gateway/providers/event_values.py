"""Reads what the events of all providers hold: JSON, counts of tokens, and a model's name."""

import json
from typing import Any, Final

from pydantic_core import from_json

_MAX_NAME_LENGTH: Final = 200


def read_json(data: bytes) -> Any:
    """Return the value of an event's data, whose strings can hold halves of surrogate pairs.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return from_json(data, cache_strings="keys")  # the tokens, too, would fill a cache that is never emptied
    except ValueError:
        # The slower reader also takes a half surrogate pair: some servers split an emoji over two tokens.
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def read_counts(usage: Any) -> dict[str, int]:
    """Return the whole numbers among a provider's counts: whatever else stands there is not worth an answer."""
    if not isinstance(usage, dict):
        return {}
    return {name: count for name, count in usage.items() if isinstance(count, int) and not isinstance(count, bool)}


def read_name(value: Any) -> str | None:
    """Return the name of the model that answers, or None for what cannot be shown as one."""
    is_name = isinstance(value, str) and 0 < len(value) <= _MAX_NAME_LENGTH and value.isprintable()
    return value if is_name else None
