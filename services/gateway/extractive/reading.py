"""Reads the passages of a question into units, in the order and with the context in which they stand on the page."""

import re
from collections.abc import Sequence

from services.gateway.extractive.lines import measure_width
from services.gateway.extractive.units import Unit, split_units
from shared.contracts.search import Passage
from shared.invisible_text import strip_invisible

MAX_UNITS = 1_500
"""Far more than the passages of an answer hold; keeps odd input from taking long."""

_PAGE_NUMBER = re.compile(r"\W*(?:page\s*)?\d{1,3}(?:\s*(?:/|of)\s*\d{1,3})?\W*", re.IGNORECASE)
_LONGEST_HEAD = 120


def read_passages(passages: Sequence[Passage]) -> list[tuple[int, Unit]]:
    """All units of the passages with their passage's number, in reading order within each passage."""
    texts = _drop_running_heads(passages, [strip_invisible(passage.text).splitlines() for passage in passages])
    width = measure_width(texts)
    split: dict[int, list[Unit]] = {}
    last: int | None = None
    # Passages that follow each other in a document are read in that order: the context carries over.
    for index in sorted(range(len(passages)), key=lambda i: _place(passages[i])):
        follows = last is not None and split[last] and _continues(passages[last], passages[index])
        before = split[last][-1] if last is not None and follows else None
        split[index] = split_units(texts[index], width, before)
        last = index
    units = [(index + 1, unit) for index in range(len(passages)) for unit in split[index]]
    return units[:MAX_UNITS]


def _drop_running_heads(passages: Sequence[Passage], lines: list[list[str]]) -> list[str]:
    """The texts without the page headers, footers and page numbers at their ends.

    What stands on several pages of one document, but for its figures, is taken for one: it would part a table from
    its title. A passage of which nothing would be left keeps its lines.
    """
    pages: dict[tuple[str, str], set[int]] = {}
    for passage, own in zip(passages, lines, strict=True):
        for line in own:
            pages.setdefault((passage.document_id, _blank_digits(line)), set()).add(passage.page)

    def is_head(document_id: str, line: str) -> bool:
        repeated = len(pages[document_id, _blank_digits(line)]) > 1 and len(line) < _LONGEST_HEAD
        return not line.strip() or repeated or _PAGE_NUMBER.fullmatch(line.strip()) is not None

    pairs = list(zip(passages, lines, strict=True))
    trimmed = [_trim(own, [is_head(passage.document_id, line) for line in own]) for passage, own in pairs]
    return ["\n".join(kept or own) for kept, own in zip(trimmed, lines, strict=True)]


def _trim(lines: list[str], dropped: list[bool]) -> list[str]:
    start, end = 0, len(lines)
    while start < end and dropped[start]:
        start += 1
    while end > start and dropped[end - 1]:
        end -= 1
    return lines[start:end]


def _blank_digits(text: str) -> str:
    return re.sub(r"\d+", "0", text.strip())


def _place(passage: Passage) -> tuple[str, int, int]:
    return passage.document_id, passage.page, passage.start


def _continues(before: Passage, after: Passage) -> bool:
    same = before.document_id == after.document_id and before.page == after.page
    return same and 0 <= after.start - before.end <= 4
