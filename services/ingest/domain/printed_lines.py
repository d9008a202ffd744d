"""The lines of a page's text with the places of their words: what tables and running heads are found by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.ingest.domain.pages import Box, Layout, Span, WordBox, unite

WIDE_GAP = 1.0
"""Heights of a line between two words that are of different columns; those of a sentence are 0.3 apart."""

_LINE = re.compile(r"[^\n]+")


@dataclass(frozen=True)
class PrintedLine:
    """A line of a page's text, the box around it, and those of its words; a line without any box is none."""

    start: int
    end: int
    text: str
    box: Box
    words: Sequence[WordBox]

    @property
    def span(self) -> Span:
        """Where it stands in the page's text."""
        return self.start, self.end

    @property
    def height(self) -> float:
        """Of its print, in points."""
        return self.box.bottom - self.box.top

    @property
    def has_columns(self) -> bool:
        """Whether some of its words stand far apart."""
        gaps = (right.box.left - left.box.right for left, right in pairwise(self.words))
        return any(gap >= WIDE_GAP * self.height for gap in gaps)


def list_printed_lines(text: str, layout: Layout) -> list[PrintedLine]:
    """Return the lines of a page that have boxes, in the order of its text."""
    lines = []
    words, first = layout.words, 0
    for match in _LINE.finditer(text):
        start, end = match.span()
        while first < len(words) and words[first].end <= start:
            first += 1
        behind = first
        while behind < len(words) and words[behind].start < end:
            behind += 1
        if behind > first:
            own = words[first:behind]
            lines.append(PrintedLine(start, end, match[0], unite([word.box for word in own]), own))
        first = behind
    return lines
