"""Finds the lines of a page that look like headings."""

import re

from services.ingest.domain.pages import Span

_NUMBERED_HEADING = re.compile(r"^(\d+(\.\d+)*\.?|[A-Z]\.|(chapter|section|part|appendix|item)\b)\s*\S", re.IGNORECASE)
_ENDS_LIKE_PROSE = re.compile(r"[.,;:!?…]['\"”’)\]]*$")
_HAS_VALUE = re.compile(r"\d.*\d|[€$£%]")


def find_headings(text: str) -> list[Span]:
    """Return the spans of the lines that look like headings, in the order of the text."""
    lines = [match.span() for match in re.finditer(r"[^\n]+", text)]
    following = [*lines[1:], (0, 0)]
    return [
        (start, end)
        for (start, end), (next_start, next_end) in zip(lines, following, strict=False)
        if _looks_like_heading(text[start:end], text[next_start:next_end])
    ]


def _looks_like_heading(line: str, following: str) -> bool:
    """Short, starts like a title, does not end like a sentence and has something below it.

    A line with several digits or a currency is a table row. Wrong guesses cost little: a heading only decides where a
    chunk starts and what its header line says.
    """
    if not following or len(line) > 90 or _ENDS_LIKE_PROSE.search(line):
        return False
    if _NUMBERED_HEADING.match(line) and len(line.split()) <= 12 and line[-1:].isalpha():
        return True
    words = line.split()
    if not 1 <= len(words) <= 8 or not line[0].isupper() or _HAS_VALUE.search(line):
        return False
    return len(following) > 1.5 * len(line)
