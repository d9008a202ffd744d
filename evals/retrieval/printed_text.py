"""Prints a text document onto pages with boxes, as a PDF of it would be read, so that the ingest takes it as one.

Prose is broken into lines, and rows of cells parted by ` | ` become lines of columns; the bars themselves are not
printed. Which word of the source each printed word is stays known, so that evidence is found again on the pages.
"""

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from services.ingest.domain.headings import find_headings
from services.ingest.domain.pages import Box, Layout, Page, Span, WordBox
from services.ingest.domain.stored_parse import PARSER_VERSION, DocumentFacts, ParseWriter
from services.ingest.domain.tables import find_tables
from services.ingest.domain.text import WORD, clean_text
from services.ingest.ports import ParseProgress
from shared.languages import READ_CHARS, find_language

LINE_CHARS = 96
PAGE_LINES = 56
CHAR_WIDTH = 5.25
LINE_HEIGHT = 12.0
"""Points: print of some 10 points on Letter paper."""
MARGIN = 54.0
PAGE_HEIGHT = 792.0
COLUMN_GAP = 3
"""Characters between the columns of a table."""
_BAR = "|"


class PrintedTextParser:
    """A PdfParser whose files hold UTF-8 text."""

    version = PARSER_VERSION

    async def parse(self, path: Path, recognized: bytes = b"") -> AsyncGenerator[ParseProgress | bytes, None]:
        """Yield the stored parse of the printed text."""
        writer = ParseWriter()
        content = writer.begin()
        source = await asyncio.to_thread(path.read_text, encoding="utf-8")
        for text, layout in print_text(source):
            content += writer.add_page(text, find_headings(text), layout, tables=find_tables(text, layout))
        yield content + writer.end(DocumentFacts(language=find_language(source[:READ_CHARS])))


@dataclass(frozen=True)
class _PrintedWord:
    column: int
    """Characters from the left margin."""
    text: str


def print_text(source: str) -> Iterator[tuple[str, Layout]]:
    """Yield text and layout of each page; there is at least one."""
    lines = [line for paragraph in _split_blocks(source) for line in paragraph]
    for first in range(0, max(len(lines), 1), PAGE_LINES):
        yield _print_page(lines[first : first + PAGE_LINES])


def list_words(source: str) -> list[Span]:
    """Return where in the source each printed word stands, in the order in which they are printed."""
    return [match.span() for match in WORD.finditer(source) if _is_printed(match[0])]


def list_printed_words(pages: Sequence[Page]) -> list[tuple[int, int, int]]:
    """Return a page's number and the span on it of each word, in order."""
    return [(page.number, *match.span()) for page in pages for match in WORD.finditer(page.text)]


def select_words(words: Sequence[tuple[Span, tuple[int, int, int]]], span: Span) -> Iterator[tuple[int, int, int]]:
    """Yield where the words of a part of the source are printed; `words`: each one's places in the source and there."""
    for (start, end), printed in words[bisect_right(words, span[0], key=lambda word: word[0][1]) :]:
        if start >= span[1]:
            return
        if end > span[0]:
            yield printed


def _is_printed(word: str) -> bool:
    return word != _BAR and bool(clean_text(word))


def _split_blocks(source: str) -> Iterator[list[list[_PrintedWord]]]:
    """Printed lines of each run of table rows, and of each other line."""
    for tabular, rows in groupby(source.split("\n"), key=lambda line: re.search(r"(^| )\|( |$)", line) is not None):
        if tabular:
            yield _lay_out_rows([[cell.split() for cell in re.split(r"(?:^| )\|(?= |$)", row)] for row in rows])
            continue
        for row in rows:
            yield _break_lines([clean_text(word) for word in row.split() if _is_printed(word)])


def _break_lines(words: Sequence[str]) -> list[list[_PrintedWord]]:
    lines: list[list[_PrintedWord]] = [[]]
    column = 0
    for word in words:
        if column and column + len(word) > LINE_CHARS:
            lines.append([])
            column = 0
        lines[-1].append(_PrintedWord(column, word))
        column += len(word) + 1
    return lines


def _lay_out_rows(rows: Sequence[Sequence[Sequence[str]]]) -> list[list[_PrintedWord]]:
    """The first column flush left, all others flush right, as figures are printed."""
    cells = [[" ".join(clean_text(word) for word in cell if _is_printed(word)) for cell in row] for row in rows]
    widths = [
        max(len(row[column]) if column < len(row) else 0 for row in cells) for column in range(max(map(len, cells)))
    ]
    lines = []
    for row in cells:
        line: list[_PrintedWord] = []
        left = 0
        for number, (cell, width) in enumerate(zip(row, widths, strict=False)):
            column = left if number == 0 else left + width - len(cell)
            for word in cell.split():
                line.append(_PrintedWord(column, word))
                column += len(word) + 1
            left += width + COLUMN_GAP
        lines.append(line)
    return lines


def _print_page(lines: Sequence[Sequence[_PrintedWord]]) -> tuple[str, Layout]:
    text, boxes = "", list[WordBox]()
    width = 2 * MARGIN + LINE_CHARS * CHAR_WIDTH
    blank = True
    for number, line in enumerate(lines):
        if not line:
            blank = True
            continue
        text += ("\n\n" if blank else "\n") if text else ""
        blank = False
        for place, word in enumerate(line):
            text += " " if place else ""
            left, top = MARGIN + word.column * CHAR_WIDTH, MARGIN + number * LINE_HEIGHT
            box = Box(left, top, left + len(word.text) * CHAR_WIDTH, top + LINE_HEIGHT - 2)
            boxes.append(WordBox(len(text), len(text) + len(word.text), box))
            text += word.text
            width = max(width, box.right + MARGIN)
    return text, Layout(width, PAGE_HEIGHT, boxes)
