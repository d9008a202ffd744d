"""Finds the tables of figures on a page, ruled or not, by where the words stand.

A row ends with figures that stand apart from its label and from each other; rows whose last figures stand above one
another, with nothing between them but labels, are a table. Above its first row are the heads of its columns (years,
periods, units) and its caption.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.ingest.domain.pages import Layout, Table
from services.ingest.domain.printed_lines import WIDE_GAP, PrintedLine, list_printed_lines

Values = Sequence[tuple[float, float]]
"""Left and right edge of each figure of a row."""

_VALUE = re.compile(
    r"[(\[<>~]*[-–−+]?[$€£¥]?\(?[-–−+]?[$€£¥]?\.?\d(?:[\d.,]*\d)?[x×%)\]*]*|[—–−-]+%?|\*+|n/[am]|nm", re.IGNORECASE
)
"""A figure, or what stands in its place."""
_SYMBOL = re.compile(r"[$€£¥%()]+|\(?\w{1,2}\)")
"""What stands beside a figure: currency, percent, a bracket, the mark of a note."""
_YEAR = re.compile(r"(19|20)\d\d")
_UNIT = re.compile(
    r"\b(millions?|thousands?|billions?|unaudited|except|percent(age)?s?|dollars|euros?)\b|[$€£¥%]", re.IGNORECASE
)
_ENDS_LIKE_PROSE = re.compile(r"[.,;!?…]['\"”’)\]]*$")

MIN_ROWS = 2
MIN_VALUES = 4
"""Fewer are no table."""
MAX_LABEL_LINES = 5
"""Lines of labels between two rows: a heading, and a label that is broken into lines."""
MAX_ROW_DISTANCE = 8.0
"""Heights from one row to the next."""
MAX_HEAD_LINES = 12
"""Lines of the text above the first row that are looked at; each line of a column's head may be one."""
MAX_HEAD_DISTANCE = 3.0
"""Heights between a line of the head and what is below it."""
MAX_CAPTION_LINES = 3
MAX_CAPTION_CHARS = 110
MAX_TABLES = 500
"""Of a page. The most of 781 in real filings is 12."""


@dataclass(frozen=True)
class _Row:
    line: PrintedLine
    left: float
    """Where its figures begin."""
    values: Values
    years: bool
    """All of its figures are years."""


def find_tables(text: str, layout: Layout) -> list[Table]:
    """Return the tables of a page, in the order of its text; a page without boxes has none."""
    lines = list_printed_lines(text, layout)
    runs: list[list[tuple[int, _Row]]] = []
    rows: list[tuple[int, _Row]] = []
    for index, line in enumerate(lines):
        row = _read_row(line)
        if rows and not _goes_on(rows, index, line, row):
            runs.append(rows)
            rows = []
        if row is not None and not row.years:
            rows.append((index, row))
    runs.append(rows)
    tables: list[Table] = []
    behind, above = 0, list[Values]()
    for rows in runs:
        if len(rows) < MIN_ROWS or sum(len(row.values) for _, row in rows) < MIN_VALUES:
            continue
        first, last = rows[0], rows[-1]
        heads, captions = _find_head(lines, first[0], behind, min(row.left for _, row in rows))
        own = [lines[index].span for index in sorted((*heads, *captions))]
        start, body = (own[0][0] if own else first[1].line.start), first[1].line.start
        if not heads and above and _stand_above(above[-1], first[1].values):  # it goes on behind a line of text
            own = [*tables[-1].head, *own][:MAX_HEAD_LINES]
        tables.append(Table(start, body, last[1].line.end, own))
        behind, above = last[0] + 1, [row.values for _, row in rows]
    return tables[:MAX_TABLES]


def _read_row(line: PrintedLine) -> _Row | None:
    """The figures at a line's end, where they stand apart; None where there are none."""
    words = line.words
    place = len(words)
    values = []
    for word in reversed(words):
        printed = line.text[max(word.start - line.start, 0) : word.end - line.start]
        if _VALUE.fullmatch(printed):
            values.append((word.box.left, word.box.right, printed))
        elif not _SYMBOL.fullmatch(printed):
            break
        place -= 1
    if not values:
        return None
    gaps = [right.box.left - left.box.right for left, right in pairwise(words[max(place - 1, 0) :])]
    if place and max(gaps, default=0.0) < WIDE_GAP * line.height:
        return None
    if place == 0 and len(values) == 1:
        return None  # the number of a page, or of a list
    values.reverse()
    years = all(_YEAR.fullmatch(printed) for _, _, printed in values)
    return _Row(line, words[place].box.left, [(left, right) for left, right, _ in values], years)


def _goes_on(rows: Sequence[tuple[int, _Row]], index: int, line: PrintedLine, row: _Row | None) -> bool:
    """Whether a line belongs to the table of these rows."""
    number, last = rows[-1]
    distance = line.box.top - last.line.box.bottom
    if not -last.line.height < distance < MAX_ROW_DISTANCE * last.line.height:
        return False
    if row is not None:
        return not row.years and _stand_above(last.values, row.values)
    left = min(row.left for _, row in rows)
    return index - number <= MAX_LABEL_LINES and line.box.right <= left + line.height


def _stand_above(above: Values, below: Values) -> bool:
    return any(left < other_right and other_left < right for left, right in above for other_left, other_right in below)


def _find_head(lines: Sequence[PrintedLine], first: int, behind: int, left: float) -> tuple[list[int], list[int]]:
    """Which lines above the first row say what its columns are, and which above them are the caption."""
    heads: list[int] = []
    captions: list[int] = []
    labels = 0
    top, height = lines[first].box.top, lines[first].height
    for index in range(first - 1, max(behind, first - MAX_HEAD_LINES) - 1, -1):
        line = lines[index]
        near = top - line.box.bottom < MAX_HEAD_DISTANCE * max(height, line.height)
        if not near or line.box.top >= lines[first].box.top:
            break
        if not captions and _is_column_head(line, left):
            heads.append(index)
        elif (
            not heads and labels < MAX_LABEL_LINES and line.box.right <= left and not _ENDS_LIKE_PROSE.search(line.text)
        ):
            labels += 1  # of the first rows: `Revenue:`
        elif len(captions) < MAX_CAPTION_LINES and _is_caption(line):
            captions.append(index)
        else:
            break
        top = min(top, line.box.top)
    return heads, captions


def _is_column_head(line: PrintedLine, left: float) -> bool:
    """Whether all or, apart from the rest, the end of it stands above the figures."""
    if line.box.left >= left - line.height:
        return True
    gaps = [
        right
        for gap_left, right in pairwise(line.words)
        if right.box.left - gap_left.box.right >= WIDE_GAP * line.height
    ]
    return bool(gaps) and line.box.right > left and (gaps[-1].box.right > left)


def _is_caption(line: PrintedLine) -> bool:
    return len(line.text) <= MAX_CAPTION_CHARS and not _ENDS_LIKE_PROSE.search(line.text) and not line.text[0].islower()
