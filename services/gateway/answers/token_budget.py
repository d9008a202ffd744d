"""Estimates how many tokens a text has, and chooses what of a prompt has room.

There is no tokenizer here: each model has another, and most can only be downloaded. The estimate is meant to be too
high rather than too low, see docs/decisions/0016-follow-ups-become-questions.md.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

_WORDS: Final = re.compile(r"[a-z ]+")
_CHARS_PER_TOKEN: Final = 3
"""Of English words with the blanks between them; models take 4 to 5."""
_TOKENS_PER_OTHER: Final = 1.5
"""Of a character that is not ASCII: Chinese takes 1 to 1.2, other scripts about as many or less, emoji twice that."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has; too many rather than too few.

    Three small letters or blanks are a token, and each capital, digit, sign or line break is one.
    """
    rest = _WORDS.sub("", text)
    tokens = (len(text) - len(rest)) / _CHARS_PER_TOKEN + len(rest)
    if not rest.isascii():
        units = len(rest.encode("utf-16-le", "surrogatepass")) // 2  # an emoji has two
        tokens += (units - len(rest)) * _TOKENS_PER_OTHER
        tokens += (len(rest) - len(rest.encode("ascii", "ignore"))) * (_TOKENS_PER_OTHER - 1)
    return math.ceil(tokens)


def choose_parts(turns: Sequence[str], passages: Sequence[str], max_tokens: int) -> tuple[list[str], list[str]]:
    """Return the turns and passages that have room together: without the oldest turns, then without the last passages.

    The first passage stays even where it has none: without it there is nothing to answer from.

    Parameters:
        turns: oldest first.
        passages: best first.
    """
    kept_passages = _take(passages, max_tokens)
    kept_passages = kept_passages or list(passages[:1])
    left = max_tokens - sum(map(estimate_tokens, kept_passages))
    kept_turns = _take(turns[::-1], left) if len(kept_passages) == len(passages) else []
    return kept_turns[::-1], kept_passages


def _take(parts: Sequence[str], max_tokens: int) -> list[str]:
    """Return the first parts that have room."""
    kept: list[str] = []
    for part in parts:
        max_tokens -= estimate_tokens(part)
        if max_tokens < 0:
            break
        kept.append(part)
    return kept
