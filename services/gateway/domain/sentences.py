"""Takes the text of a passage apart into the units that can answer: sentences, table rows and list items.

Text from a PDF breaks at every visual line. Lines that were wrapped are joined again; rows, list items and
headings stay apart. Each unit knows what it stands under, since "Enterprise €4,800 1 hour" answers nothing
without its header line. Every text in a unit is a verbatim span of the passage, but for white space.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice, takewhile

MAX_PASSAGE_CHARS = 20_000
"""Longer passages are cut: they are no chunks of ours, and answering must stay fast."""
MAX_UNIT_CHARS = 600
"""A unit is something to read at a glance; a longer "sentence" is cut at a blank."""

_MIN_WRAP_WIDTH = 55
_LOOK_AHEAD = 12
_LONGEST_TABLE = 60
_BULLET = re.compile(r"(?:[•‣▪●◦○■□–—*·\-]|\(?(?:\d{1,2}|[a-z])[.)])\s+(?=\S)")
_NUMBERED_HEADING = re.compile(
    r"(?:section |chapter |part |appendix )?(?:\d{1,2}(?:\.\d{1,2}){0,3}[.)]?|[A-Z][.)])\s+[A-Z]", re.I
)
_CONNECTIVE = re.compile(r"\b(?:and|of|the|to|for|in|with|our|your|we|you|if)\b")
_TERMINAL = re.compile(r"[.!?:;][\"'”’)\]]*$")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:[^\W\d_]|Dr|Mr|Mrs|Ms|Prof|St|Str|vs|etc|approx|ca|cf|e\.g|i\.e|Ed|Inc|Ltd|Co"
    r"|Corp|Jr|Sr|tel|ext|max|min|incl|excl|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)\.\s+$",
    re.IGNORECASE,
)
# These abbreviate before a number only: "No. 5", but "No. It is not."
_NUMBERED = re.compile(r"(?:^|[\s(\[])(?:No|Nos|Nr|Fig|Figs|Tab|Vol|Art|pp?)\.\s+$", re.IGNORECASE)


class Kind(Enum):
    """What a unit looks like on the page."""

    SENTENCE = "sentence"
    ROW = "row"
    ITEM = "item"
    QUESTION = "question"
    HEADING = "heading"


@dataclass(frozen=True)
class Unit:
    """A piece of a passage that can stand in an answer.

    Parameters:
        text: verbatim but for white space.
        heading: the section that it stands in, or empty.
        header: the header line of its table, or empty.
        lead: the question or the introducing sentence that it follows, or empty.
        block: equal for the units of one paragraph, table or list.
    """

    text: str
    kind: Kind
    heading: str = ""
    header: str = ""
    lead: str = ""
    block: int = 0


@dataclass(frozen=True)
class _Line:
    text: str
    kind: Kind
    after_blank: bool


def measure_width(texts: Sequence[str]) -> int:
    """The length of the longest visual line in the texts: how wide their column is."""
    return max((len(line.strip()) for text in texts for line in text.splitlines()), default=0)


def split_units(text: str, width: int | None = None, before: Unit | None = None) -> list[Unit]:
    """The units of a passage in reading order.

    Parameters:
        width: characters in a full line, where the caller knows it from more text than this.
        before: the last unit of the passage that this one continues; its context holds on.
    """
    text = text[:MAX_PASSAGE_CHARS]
    lines = list(_join_lines(text, max(width or measure_width([text]), _MIN_WRAP_WIDTH)))
    return _arrange(_mark_headings(lines), before)


def split_sentences(text: str) -> list[str]:
    """The sentences of running text; a full stop after an abbreviation or initial ends none."""
    sentences: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        before, after = text[max(start, end.end() - 12) : end.end()], text[end.end()]
        if _ABBREVIATION.search(before) or (after.isdigit() and _NUMBERED.search(before)):
            continue
        sentences.append(text[start : end.end()].strip())
        start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _join_lines(text: str, width: int) -> Iterator[_Line]:
    """Logical lines: what was wrapped is one again."""
    current, last, blank, after_blank = "", "", True, True
    for raw in [*text.splitlines(), ""]:
        line = " ".join(raw.split())
        if current and (not line or not _continues(current, last, line, width)):
            yield _Line(current, _classify(current), after_blank)
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
    if _BULLET.match(line):
        return False
    ended = _TERMINAL.search(last) is not None
    first_word = line.split(" ", 1)[0]
    if len(last) + 1 + len(first_word) < 0.85 * width:
        # The next word would have fitted, so the break was meant, unless the line plainly goes on:
        # cells of tables are narrower than the page.
        return line[0].islower() and not ended and len(last) > 20
    if ended:
        # A full line may by chance be a paragraph's last: what looks like a heading or row stays apart.
        return len(line) > 0.6 * width or _TERMINAL.search(line) is not None
    return True


def _classify(line: str) -> Kind:
    if line.endswith("?") and len(line) < 200:
        return Kind.QUESTION
    if _BULLET.match(line):
        return Kind.ITEM
    if re.search(r"[.!:…][\"'”’)\]]*$", line) or len(line) > 110:
        return Kind.SENTENCE
    return Kind.ROW


def _mark_headings(lines: list[_Line]) -> list[_Line]:
    """Turns the short line above something else into a heading."""
    marked: list[_Line] = []
    for position, line in enumerate(lines[:-1]):
        before = marked[-1] if marked else None
        onward = lines[position : position + _LOOK_AHEAD]
        titled = _is_heading(line, before, lines[position + 1]) and not _is_header(line, onward)
        if titled or _ends_table(line, marked, lines[position + 1]) or _tops_columns(line, onward[1:]):
            line = _Line(line.text, Kind.HEADING, line.after_blank)
        marked.append(line)
    return marked + [_mark_last(line, marked) for line in lines[-1:]]


def _mark_last(line: _Line, marked: list[_Line]) -> _Line:
    """A heading whose section begins in the next passage looks like a row that stands alone."""
    alone = marked and marked[-1].kind is not Kind.ROW and _is_heading(line, marked[-1], line)
    return _Line(line.text, Kind.HEADING, line.after_blank) if alone else line


def _ends_table(line: _Line, marked: list[_Line], following: _Line) -> bool:
    """Whether a row is the title of the next table: short and without figures where all rows above have some."""
    if line.kind is not Kind.ROW or following.kind is not Kind.ROW or len(line.text.split()) > 4:
        return False
    run = list(takewhile(lambda other: other.kind is Kind.ROW, islice(reversed(marked), _LONGEST_TABLE)))
    if len(run) < 3 or _count_figures(line.text) or _count_figures(run[-1].text):
        return False
    return all(_count_figures(row.text) for row in run[:-1])


def _tops_columns(line: _Line, onward: list[_Line]) -> bool:
    """Whether a short row below other rows is the title of the table that begins right after it.

    Facts ("Head Ada Wessling") must not be taken for titles, so the table must be plain: a header line of
    several words and then rows with several figures each.
    """
    if line.kind is not Kind.ROW or len(line.text.split()) > 4 or _count_figures(line.text):
        return False
    if len(onward[0].text.split()) < 4 or not _is_header(onward[0], onward):
        return False
    rows = [other.text.split() for other in takewhile(lambda other: other.kind is Kind.ROW, onward[1:4])]
    return all(sum(any(map(str.isdigit, word)) for word in row) >= 2 for row in rows)


def _is_header(line: _Line, onward: list[_Line]) -> bool:
    """Whether what could be a heading rather names columns: no phrase, and no other header right below."""
    if line.kind is not Kind.ROW or len(line.text.split()) < 3 or _CONNECTIVE.search(line.text):
        return False
    return _heads_table(onward) and not _heads_table(onward[1:])


def _is_heading(line: _Line, before: _Line | None, following: _Line) -> bool:
    short = len(line.text) <= 70 and len(line.text.split()) <= 9 and not _TERMINAL.search(line.text)
    if not short or line.text[0].islower():
        return False
    if _NUMBERED_HEADING.match(line.text):
        return line.kind in (Kind.ROW, Kind.ITEM) and (following.kind is not Kind.ITEM or line.kind is Kind.ROW)
    if line.kind is not Kind.ROW or any(char.isdigit() for char in line.text):
        return False
    starts_group = before is None or before.kind not in (Kind.ROW, Kind.HEADING) or line.after_blank
    return starts_group or (following.kind in (Kind.SENTENCE, Kind.ITEM, Kind.QUESTION) and len(line.text) <= 50)


def _arrange(lines: list[_Line], before: Unit | None) -> list[Unit]:
    """Gives every line its context and cuts running text into sentences."""
    units: list[Unit] = []
    heading, header, lead, previous = _continue_context(before)
    block = 0
    for position, line in enumerate(lines):
        if line.kind is not previous or line.kind is Kind.QUESTION:
            block += 1
        if line.kind is Kind.HEADING:
            heading, header, lead = line.text, "", ""
        elif line.kind is Kind.QUESTION:
            header, lead = "", line.text
        elif line.kind is Kind.ROW and previous is not Kind.ROW:
            header = line.text if _heads_table(lines[position : position + _LOOK_AHEAD]) else ""
        units += _make_units(line, heading, header if line.kind is Kind.ROW else "", lead, block)
        if line.text.endswith(":"):
            lead = split_sentences(line.text)[-1]
        elif line.kind is Kind.SENTENCE and lead.endswith(":"):
            lead = ""
        previous = line.kind
    return units


def _continue_context(before: Unit | None) -> tuple[str, str, str, Kind | None]:
    if before is None:
        return "", "", "", None
    if before.kind is Kind.HEADING:
        return before.text, "", "", Kind.HEADING
    lead = before.text if before.kind is Kind.QUESTION or before.text.endswith(":") else before.lead
    return before.heading, before.header, lead, before.kind


def _heads_table(lines: list[_Line]) -> bool:
    """Whether the first line names the columns of the rows below: far fewer figures in it than in them."""
    rows: list[str] = []
    for line in lines[1:]:
        if line.kind is not Kind.ROW:
            break
        rows.append(line.text)
    first = lines[0].text
    if len(rows) < 2 or len(first.split()) < 2 or _CONNECTIVE.search(first):
        return False
    own = _count_figures(first)
    return own <= 0.25 and sum(_count_figures(row) > 2 * own for row in rows) >= 0.7 * len(rows)


def _count_figures(text: str) -> float:
    """The share of words that hold a digit."""
    words = text.split()
    return sum(any(map(str.isdigit, word)) for word in words) / len(words)


def _make_units(line: _Line, heading: str, header: str, lead: str, block: int) -> list[Unit]:
    context = "" if line.kind in (Kind.HEADING, Kind.QUESTION) else lead
    if line.text == header:
        return [Unit(line.text, Kind.HEADING, heading, "", "", block)]
    texts = [line.text] if line.kind in (Kind.HEADING, Kind.ROW) else _split_item(line.text)
    units: list[Unit] = []
    for text in texts:
        kind = Kind.QUESTION if text.endswith("?") else line.kind
        if kind is Kind.QUESTION:
            context = text
        stands_under = "" if kind is Kind.QUESTION else context
        units += [Unit(piece, kind, heading, header, stands_under, block) for piece in _cut(text)]
    return units


def _split_item(text: str) -> list[str]:
    """The sentences of a line; a number or bullet before the first belongs to it."""
    bullet = _BULLET.match(text)
    start = bullet.end() if bullet else 0
    sentences = split_sentences(text[start:])
    return [text[:start] + sentences[0], *sentences[1:]] if sentences else [text]


def _cut(text: str) -> Iterator[str]:
    while len(text) > MAX_UNIT_CHARS:
        at = text.rfind(" ", MAX_UNIT_CHARS // 2, MAX_UNIT_CHARS)
        at = at if at > 0 else MAX_UNIT_CHARS
        yield text[:at].strip()
        text = text[at:].strip()
    if text:
        yield text
