"""Take passages apart into the spans that can answer: sentences, table rows and list items.

Each span knows what it stands under, since "Enterprise €4,800 1 hour" answers nothing without its header line. Every
text in a span stands verbatim in the passage, but for white space.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from services.gateway.extractive.brackets import drop_bracketed_numbers
from services.gateway.extractive.headings import LOOK_AHEAD, heads_table, mark_headings
from services.gateway.extractive.lines import Kind, Line, asks, read_lines
from shared.contracts.search import Passage
from shared.invisible_text import strip_invisible
from shared.sentences import split_sentences

MAX_SPANS = 1_500
"""Far more than the passages of an answer hold; keeps odd input from taking long."""
MAX_PASSAGE_CHARS = 10_000
"""Longer passages are cut: they are no chunks of ours, and answering must stay fast."""
MAX_SPAN_CHARS = 600
"""A span is something to read at a glance; a longer "sentence" is cut at a blank."""


@dataclass(frozen=True)
class Span:
    """A piece of a passage that can stand in an answer.

    Attributes:
        passage: the number that cites its passage, from 1.
        text: verbatim but for white space.
        heading: the section that it stands in, or empty.
        header: the header line of its table, or empty.
        lead: the question or the introducing sentence that it follows, or empty.
    """

    passage: int
    text: str
    kind: Kind
    heading: str = ""
    header: str = ""
    lead: str = ""


def read_passages(passages: Sequence[Passage]) -> list[Span]:
    """Return the spans of all passages, in reading order within each passage."""
    texts = [drop_bracketed_numbers(strip_invisible(passage.text[:MAX_PASSAGE_CHARS])) for passage in passages]
    split = (split_spans(text, number) for number, text in enumerate(texts, start=1))
    return list(islice(chain.from_iterable(split), MAX_SPANS))


def split_spans(text: str, passage: int = 1) -> list[Span]:
    """Return the spans of the passage with this number in reading order."""
    lines = mark_headings(list(read_lines(text)))
    spans: list[Span] = []
    heading = header = lead = ""
    previous: Kind | None = None
    for position, line in enumerate(lines):
        if line.kind is Kind.HEADING:
            heading, header, lead = line.text, "", ""
        elif line.kind is Kind.QUESTION:
            header, lead = "", line.text
        elif line.kind is Kind.ROW:
            # Below the rows of one table the next may begin at once.
            if heads_table(lines[position : position + LOOK_AHEAD], amid_rows=previous is Kind.ROW):
                header = line.text
            elif previous is not Kind.ROW:
                header = ""
        under = Span(passage, "", line.kind, heading, header if line.kind is Kind.ROW else "", lead)
        spans += _cut_line(line, under)
        if line.text.endswith(":"):
            lead = split_sentences(line.text)[-1]
        elif line.kind is Kind.SENTENCE and lead.endswith(":"):
            lead = ""
        previous = line.kind
    return spans


def _cut_line(line: Line, under: Span) -> Iterator[Span]:
    """Yield the spans of a line: its sentences, or the whole where it is a heading or a row."""
    kind, lead = line.kind, under.lead
    if line.text == under.header:
        kind = Kind.HEADING
    texts = [line.text] if kind in (Kind.HEADING, Kind.ROW) else split_sentences(line.text)
    for text in texts:
        if asks(text) and kind is not Kind.HEADING:
            kind, lead = Kind.QUESTION, text
        elif kind is Kind.QUESTION:
            kind = Kind.SENTENCE
        stands_under = "" if kind in (Kind.QUESTION, Kind.HEADING) else lead
        for piece in _cut(text):
            yield Span(under.passage, piece, kind, under.heading, under.header, stands_under)


def _cut(text: str) -> Iterator[str]:
    while len(text) > MAX_SPAN_CHARS:
        at = text.rfind(" ", MAX_SPAN_CHARS // 2, MAX_SPAN_CHARS)
        at = at if at > 0 else MAX_SPAN_CHARS
        yield text[:at].strip()
        text = text[at:].strip()
    yield text
