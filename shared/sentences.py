"""Cuts running text into sentences."""

import re
from itertools import pairwise

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])")
_ABBREVIATION = re.compile(
    r"^\(?\d{1,2}[.)]\s+$|(?:^|[\s(\[])(?:[^\W\d_]|Dr|Mr|Mrs|Ms|Prof|St|Str|vs|etc|approx|ca|cf|e\.g|i\.e|Ed|Inc|Ltd|Co"
    r"|Corp|Jr|Sr|tel|ext|max|min|incl|excl|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)\.\s+$",
    re.IGNORECASE,
)
# These abbreviate before a number only: "No. 5", but "No. It is not."
_NUMBERED = re.compile(r"(?:^|[\s(\[])(?:No|Nos|Nr|Fig|Figs|Tab|Vol|Art|pp?)\.\s+$", re.IGNORECASE)


def find_sentences(text: str) -> list[tuple[int, int]]:
    """Return where the sentences of running text stand, without the white space around them.

    A full stop after an abbreviation or initial ends none.
    """
    ends = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        before, after = text[max(start, end.end() - 12) : end.end()], text[end.end()]
        if _ABBREVIATION.search(before) or (after.isdigit() and _NUMBERED.search(before)):
            continue
        start = end.end()
        ends.append(start)
    return [span for start, end in pairwise((0, *ends, len(text))) if (span := _strip(text, start, end))]


def split_sentences(text: str) -> list[str]:
    """Return the sentences of running text."""
    return [text[start:end] for start, end in find_sentences(text)]


def _strip(text: str, start: int, end: int) -> tuple[int, int] | None:
    stripped = text[start:end].strip()
    if not stripped:
        return None
    start += text[start:end].index(stripped)
    return start, start + len(stripped)
