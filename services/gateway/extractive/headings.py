"""Tell headings and the header lines of tables from the rows that they stand above."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from services.gateway.extractive.lines import TERMINAL, Kind, Line, count_figures

LOOK_AHEAD = 12
_NUMBERED = re.compile(
    r"(?:section |chapter |part |appendix )?(?:\d{1,2}(?:\.\d{1,2}){0,3}[.)]?|[A-Z][.)])\s+[A-Z]", re.I
)


def mark_headings(lines: Sequence[Line]) -> list[Line]:
    """Return the lines, the short ones above something else turned into headings."""
    marked: list[Line] = []
    for position, line in enumerate(lines):
        onward = lines[position : position + LOOK_AHEAD]
        before = marked[-1] if marked else None
        titled = len(onward) > 1 and _is_heading(line, before, onward[1])
        if titled and not (heads_table(onward) and not heads_table(onward[1:])):
            line = replace(line, kind=Kind.HEADING)
        marked.append(line)
    return marked


def heads_table(lines: Sequence[Line], *, amid_rows: bool = False) -> bool:
    """Return whether the first line names the columns of the rows below it; amid rows it must say so by itself."""
    rows = [line.text for line in takewhile(lambda line: line.kind is Kind.ROW, lines)]
    if len(rows) < 3 or len(rows[0].split()) < 2:
        return False
    first, *rest = rows
    names = first.split()
    # Names or years alone, above rows with a label and as many cells.
    if len(names) > 2 and (all(name[0].isupper() for name in names) or all(map(str.isdigit, names[1:]))):
        wide = [len(row.split()) > len(names) and count_figures(row) > 0 for row in rest]
        if wide[0] and sum(wide) >= 0.5 * len(wide):
            return True
    if amid_rows:
        return False
    own = count_figures(first)
    return own <= 0.25 and sum(count_figures(row) > 2 * own for row in rest) >= 0.7 * len(rest)


def _is_heading(line: Line, before: Line | None, following: Line) -> bool:
    short = len(line.text) <= 70 and len(line.text.split()) <= 9 and not TERMINAL.search(line.text)
    if not short or line.text[0].islower():
        return False
    if _NUMBERED.match(line.text):
        # A numbered line above bullets of another kind is no item of theirs.
        alike = following.kind is Kind.ITEM and line.text[0].isalnum() == following.text[0].isalnum()
        return line.kind is Kind.ROW or (line.kind is Kind.ITEM and not alike)
    if line.kind is not Kind.ROW or any(map(str.isdigit, line.text)):
        return False
    starts_group = before is None or before.kind not in (Kind.ROW, Kind.HEADING) or line.after_blank
    return starts_group or (following.kind in (Kind.SENTENCE, Kind.ITEM, Kind.QUESTION) and len(line.text) <= 50)
