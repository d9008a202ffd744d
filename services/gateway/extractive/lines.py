"""Put the visual lines of a PDF's text together again: what was wrapped is one line, with what it looks like."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_LEAST_WIDTH = 55  # characters in a full line, where the text itself shows no longer one
BULLET = re.compile(r"(?:[•‣▪●◦○■□–—*·\-]|\(?(?:\d{1,2}|[a-z])[.)])\s+(?=\S)")
TERMINAL = re.compile(r"[.!?:;…][\"'”’)\]]{0,3}$")
_SENTENCE_END = re.compile(r"[.!:…][\"'”’)\]]{0,3}$")
_ASKING = re.compile(
    r"(?:^|[.!?:]\s+|[QF][.:]?\s+|\d[.)]\s+)(?:and |but |so )?(?:who|what|when|where|why|how|which|can|could|do|does"
    r"|did|is|are|am|was|were|will|would|shall|should|may|must|has|have|if|in|at|on|to|for|by|from|under|with)\b",
    re.IGNORECASE,
)
_LONGEST_ROW = 110
_LONGEST_QUESTION = 200


class Kind(Enum):
    """What a piece of text looks like on the page."""

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


def read_lines(text: str) -> Iterator[Line]:
    """Yield the logical lines of a text: wrapped prose and cells joined; rows, list items and headings apart."""
    visual = [" ".join(raw.split()) for raw in text.splitlines()]
    width = max(_LEAST_WIDTH, *map(len, visual), 0)
    pieces: list[str] = []
    blank = after_blank = True
    for line in [*visual, ""]:
        if pieces and (not line or not _continues(pieces[-1].strip(), line, width)):
            yield _classify("".join(pieces), after_blank)
            pieces = []
        if line:
            if not pieces:
                after_blank = blank
            # A word that was hyphenated at the line's end keeps its hyphen: it may belong to it.
            elif not pieces[-1].endswith("-") or pieces[-1].endswith(" -"):
                line = f" {line}"
            pieces.append(line)
        blank = not line


def _continues(last: str, line: str, width: int) -> bool:
    """Return whether `line` goes on with the sentence or cell of the visual line before it."""
    if BULLET.match(line):
        return False
    ended = TERMINAL.search(last) is not None
    if len(last) + 1 + len(line.split(" ", 1)[0]) < 0.85 * width:
        # The next word would have fitted, so the break was meant, unless the line plainly goes on:
        # cells of tables are narrower than the page.
        return line[0].islower() and not ended and len(last) > 20
    if last.endswith("?") or (ended and asks(line)):
        return False
    # A full line may by chance be a paragraph's last: what looks like a heading or row stays apart.
    return not ended or len(line) > 0.6 * width or TERMINAL.search(line) is not None


def asks(text: str) -> bool:
    """Return whether it is a question, and no row of a table whose last cell is one."""
    return text.endswith("?") and len(text) < _LONGEST_QUESTION and _ASKING.search(text) is not None


def count_figures(text: str) -> float:
    """Return the share of words that hold a digit."""
    words = text.split()
    return sum(any(map(str.isdigit, word)) for word in words) / len(words)


def _classify(text: str, after_blank: bool) -> Line:
    kind = Kind.ROW
    if asks(text):
        kind = Kind.QUESTION
    elif BULLET.match(text):
        kind = Kind.ITEM
    elif len(text) > _LONGEST_ROW or _SENTENCE_END.search(text):
        kind = Kind.SENTENCE
    return Line(text, kind, after_blank)
