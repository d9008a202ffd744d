"""Tells headings and the header lines of tables from the rows that they stand above."""

import re
from itertools import islice, takewhile

from services.gateway.extractive.lines import TERMINAL, Kind, Line, count_figures

LOOK_AHEAD = 12
_LONGEST_TABLE = 60
_NUMBERED_HEADING = re.compile(
    r"(?:section |chapter |part |appendix )?(?:\d{1,2}(?:\.\d{1,2}){0,3}[.)]?|[A-Z][.)])\s+[A-Z]", re.I
)
_CONNECTIVE = re.compile(r"\b(?:and|of|the|to|for|in|with|our|your|we|you|if)\b")


def mark_headings(lines: list[Line]) -> list[Line]:
    """Turns the short line above something else into a heading."""
    marked: list[Line] = []
    for position, line in enumerate(lines[:-1]):
        before = marked[-1] if marked else None
        onward = lines[position : position + LOOK_AHEAD]
        titled = _is_heading(line, before, lines[position + 1]) and not _is_header(line, onward)
        if titled or _ends_table(line, marked, lines[position + 1]) or _tops_columns(line, onward[1:]):
            line = Line(line.text, Kind.HEADING, line.after_blank)
        marked.append(line)
    return marked + [_mark_last(line, marked) for line in lines[-1:]]


def heads_table(lines: list[Line]) -> bool:
    """Whether the first line names the columns of the rows below: far fewer figures in it than in them."""
    rows: list[str] = []
    for line in lines[1:]:
        if line.kind is not Kind.ROW:
            break
        rows.append(line.text)
    first = lines[0].text
    if len(rows) < 2 or len(first.split()) < 2 or _CONNECTIVE.search(first):
        return False
    if _names_columns(lines):
        return True
    own = count_figures(first)
    return own <= 0.25 and sum(count_figures(row) > 2 * own for row in rows) >= 0.7 * len(rows)


def _mark_last(line: Line, marked: list[Line]) -> Line:
    """A heading whose section begins in the next passage looks like a row that stands alone."""
    alone = marked and marked[-1].kind is not Kind.ROW and _is_heading(line, marked[-1], line)
    return Line(line.text, Kind.HEADING, line.after_blank) if alone else line


def _ends_table(line: Line, marked: list[Line], following: Line) -> bool:
    """Whether a row is the title of the next table: short and without figures where all rows above have some."""
    if line.kind is not Kind.ROW or following.kind is not Kind.ROW or len(line.text.split()) > 4:
        return False
    run = list(takewhile(lambda other: other.kind is Kind.ROW, islice(reversed(marked), _LONGEST_TABLE)))
    if len(run) < 3 or count_figures(line.text) or count_figures(run[-1].text):
        return False
    return all(count_figures(row.text) for row in run[:-1])


def _tops_columns(line: Line, onward: list[Line]) -> bool:
    """Whether a short row below other rows is the title of the table that begins right after it.

    Facts ("Head Ada Wessling") must not be taken for titles, so the table must be plain: a header line of
    several words and then rows with several figures each.
    """
    if line.kind is not Kind.ROW or len(line.text.split()) > 4 or count_figures(line.text):
        return False
    if len(onward[0].text.split()) < 4 or not _is_header(onward[0], onward):
        return False
    rows = [other.text.split() for other in takewhile(lambda other: other.kind is Kind.ROW, onward[1:4])]
    return all(sum(any(map(str.isdigit, word)) for word in row) >= 2 for row in rows)


def _is_header(line: Line, onward: list[Line]) -> bool:
    """Whether what could be a heading rather names columns: no phrase, and no other header right below."""
    if line.kind is not Kind.ROW or len(line.text.split()) < 3 or _CONNECTIVE.search(line.text):
        return False
    return (heads_table(onward) and not heads_table(onward[1:])) or _names_columns(onward)


def _is_heading(line: Line, before: Line | None, following: Line) -> bool:
    short = len(line.text) <= 70 and len(line.text.split()) <= 9 and not TERMINAL.search(line.text)
    if not short or line.text[0].islower():
        return False
    if _NUMBERED_HEADING.match(line.text):
        # A numbered line above bullets of another kind is no item of theirs.
        alike = following.kind is Kind.ITEM and line.text[0].isalnum() == following.text[0].isalnum()
        return line.kind in (Kind.ROW, Kind.ITEM) and (line.kind is Kind.ROW or not alike)
    if line.kind is not Kind.ROW or any(char.isdigit() for char in line.text):
        return False
    starts_group = before is None or before.kind not in (Kind.ROW, Kind.HEADING) or line.after_blank
    return starts_group or (following.kind in (Kind.SENTENCE, Kind.ITEM, Kind.QUESTION) and len(line.text) <= 50)


def _names_columns(lines: list[Line]) -> bool:
    """Whether the first line consists of names or years alone, and the rows below have a label before as many cells."""
    names = lines[0].text.split()
    if len(names) < 3 or not (all(name[0].isupper() for name in names) or all(map(str.isdigit, names[1:]))):
        return False
    rows = list(takewhile(lambda line: line.kind is Kind.ROW, lines[1:]))
    wide = [row for row in rows if len(row.text.split()) > len(names) and count_figures(row.text)]
    return len(rows) >= 2 and rows[0] in wide and len(wide) >= 0.5 * len(rows)
