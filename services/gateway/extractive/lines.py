"""Puts the visual lines of a PDF's text together again: what was wrapped is one line, with what it looks like.

Text from a PDF breaks at every visual line. Wrapped prose and cells are joined, labels are joined with the values
below them; rows, list items and headings stay apart.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

_MIN_WRAP_WIDTH = 55
_MIN_COLUMN_WIDTH = 32
_FEWEST_PAIRS = 3
BULLET = re.compile(r"(?:[•‣▪●◦○■□–—*·\-]|\(?(?:\d{1,2}|[a-z])[.)])\s+(?=\S)")
_ASKING = re.compile(
    r"(?:^|[.!?:]\s+|[QF][.:]?\s+|\d[.)]\s+)(?:and |but |so )?(?:who|what|when|where|why|how|which|can|could|do|does"
    r"|did|is|are|am|was|were|will|would|shall|should|may|must|has|have|if|in|at|on|to|for|by|from|under|with)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"(?:,|\b(?:and|or|of|the|to|for|in|with|by|a|an|at|from|on|as|is|are|than|that|which|your|our)|\+\d{1,3})$"
)
_FUNCTION_WORD = re.compile(
    r"\b(?:and|or|of|the|to|for|in|with|by|a|an|at|from|on|as|is|are|was|were|be|than|that|which|your|our|you|we|it"
    r"|not|can|may|will|must|has|have|if|when)\b"
)
TERMINAL = re.compile(r"[.!?:;][\"'”’)\]]*$")


class Kind(Enum):
    """What a unit looks like on the page."""

    SENTENCE = "sentence"
    ROW = "row"
    ITEM = "item"
    QUESTION = "question"
    HEADING = "heading"


@dataclass(frozen=True)
class Line:
    """A logical line; `after_blank` when an empty line stands before it."""

    text: str
    kind: Kind
    after_blank: bool


def measure_width(texts: Sequence[str]) -> int:
    """The length of the longest visual line in the texts: how wide their column is."""
    return max((len(line.strip()) for text in texts for line in text.splitlines()), default=0)


def read_lines(text: str, width: int | None = None) -> list[Line]:
    """The logical lines of a text.

    Parameters:
        width: characters in a full line, where the caller knows it from more text than this.
    """
    own = measure_width([text])
    joined = _join_lines(text, max(width or own, _MIN_WRAP_WIDTH), max(own, _MIN_COLUMN_WIDTH))
    return list(_pair_labels(list(joined)))


def _join_lines(text: str, width: int, column: int) -> Iterator[Line]:
    """Logical lines: what was wrapped is one again.

    Parameters:
        width: characters in a full line of the page.
        column: the same for this text alone, which may stand in a narrower column.
    """
    current, last, blank, after_blank = "", "", True, True
    for raw in [*text.splitlines(), ""]:
        line = " ".join(raw.split())
        if current and (not line or not _continues(current, last, line, column if _is_prose(current) else width)):
            yield Line(current, _classify(current), after_blank)
            current = ""
        if not line:
            blank = True
            continue
        if not current:
            current, after_blank = line, blank
        else:
            # A word that was hyphenated at the line's end keeps its hyphen: it may belong to it.
            current += line if last.endswith("-") and not last.endswith(" -") else f" {line}"
        last, blank = line, False


def _continues(current: str, last: str, line: str, width: int) -> bool:
    """Whether `line` goes on with the logical line `current`, whose last visual line is `last`."""
    if BULLET.match(line):
        return False
    ended = TERMINAL.search(last) is not None
    if _GOES_ON.search(last):
        return True
    first_word = line.split(" ", 1)[0]
    if len(last) + 1 + len(first_word) < 0.85 * width:
        # The next word would have fitted, so the break was meant, unless the line plainly goes on:
        # cells of tables are narrower than the page.
        return line[0].islower() and not ended and len(last) > 20
    if last.endswith("?") or (ended and asks(line)):
        return False
    if ended:
        # A full line may by chance be a paragraph's last: what looks like a heading or row stays apart.
        return len(line) > 0.6 * width or TERMINAL.search(line) is not None
    return True


def _pair_labels(lines: list[Line]) -> Iterator[Line]:
    """Joins labels with the values in the lines below them, or names with roles: each alone answers nothing.

    A run of at least three pairs in which every other line is a short one without figures, and no table.
    """
    position = 0
    while position < len(lines):
        run = list(takewhile(lambda line: line.kind is Kind.ROW, lines[position:]))
        start = next((offset for offset in (0, 1) if _alternates(run[offset:])), None)
        if start is None:
            yield from lines[position : position + max(len(run), 1)]
        else:
            yield from run[:start]
            for label, value in zip(run[start::2], run[start + 1 :: 2], strict=False):
                yield Line(f"{label.text} {value.text}", Kind.ROW, label.after_blank)
            yield from run[start + (len(run) - start) // 2 * 2 :]
        position += max(len(run), 1)


def _alternates(run: list[Line]) -> bool:
    labels, values = [line.text for line in run[::2]], [line.text for line in run[1::2]]
    if len(values) < _FEWEST_PAIRS:
        return False
    short = all(len(label.split()) <= 4 and not count_figures(label) and label[0].isupper() for label in labels)
    # Items of a list are all alike; values differ from labels: figures, or more words, or fewer (names and roles).
    longer = sum(len(value.split()) > 2 or count_figures(value) > 0 for value in values)
    return short and longer >= 0.6 * len(values)


def _is_prose(text: str) -> bool:
    """Whether it reads like running text, which fills its column; rows of a table end where they end."""
    return len(_FUNCTION_WORD.findall(text)) >= 2


def asks(text: str) -> bool:
    """Whether it is a question, and no row of a table whose last cell is one."""
    return text.endswith("?") and _ASKING.search(text) is not None


def _classify(line: str) -> Kind:
    if asks(line) and len(line) < 200:
        return Kind.QUESTION
    if BULLET.match(line):
        return Kind.ITEM
    if re.search(r"[.!:…][\"'”’)\]]*$", line) or len(line) > 110:
        return Kind.SENTENCE
    return Kind.ROW


def count_figures(text: str) -> float:
    """The share of words that hold a digit."""
    words = text.split()
    return sum(any(map(str.isdigit, word)) for word in words) / len(words)
