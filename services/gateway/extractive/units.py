"""Takes the text of a passage apart into the units that can answer: sentences, table rows and list items.

Each unit knows what it stands under, since "Enterprise €4,800 1 hour" answers nothing without its header line. Every
text in a unit is a verbatim span of the passage, but for white space.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.gateway.extractive.headings import LOOK_AHEAD, heads_table, mark_headings
from services.gateway.extractive.lines import BULLET, Kind, Line, asks, read_lines
from services.gateway.extractive.sentences import split_sentences

MAX_PASSAGE_CHARS = 20_000
"""Longer passages are cut: they are no chunks of ours, and answering must stay fast."""
MAX_UNIT_CHARS = 600
"""A unit is something to read at a glance; a longer "sentence" is cut at a blank."""


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


def split_units(text: str, width: int | None = None, before: Unit | None = None) -> list[Unit]:
    """The units of a passage in reading order.

    Parameters:
        width: characters in a full line, where the caller knows it from more text than this.
        before: the last unit of the passage that this one continues; its context holds on.
    """
    return _arrange(mark_headings(read_lines(text[:MAX_PASSAGE_CHARS], width)), before)


def _arrange(lines: list[Line], before: Unit | None) -> list[Unit]:
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
            header = line.text if heads_table(lines[position : position + LOOK_AHEAD]) else ""
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


def _make_units(line: Line, heading: str, header: str, lead: str, block: int) -> list[Unit]:
    context = "" if line.kind in (Kind.HEADING, Kind.QUESTION) else lead
    if line.text == header:
        return [Unit(line.text, Kind.HEADING, heading, "", "", block)]
    texts = [line.text] if line.kind in (Kind.HEADING, Kind.ROW) else _split_item(line.text)
    units: list[Unit] = []
    for text in texts:
        kind = Kind.QUESTION if asks(text) else line.kind
        if kind is Kind.QUESTION:
            context = text
        stands_under = "" if kind is Kind.QUESTION else context
        units += [Unit(piece, kind, heading, header, stands_under, block) for piece in _cut(text)]
    return units


def _split_item(text: str) -> list[str]:
    """The sentences of a line; a number or bullet before the first belongs to it."""
    bullet = BULLET.match(text)
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
