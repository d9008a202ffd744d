"""Words are neither glued nor torn, whatever PDFium takes a page for; each has its box."""

import io
from collections.abc import Sequence
from pathlib import Path

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.pages import Box, Layout
from services.ingest.domain.stored_parse import StoredParse

LIMITS = ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=10)
SPACER = "3 Tr [( ) -1700 ( )] TJ 0 Tr .003 0 Td (0.92 ) Tj 10 0 Td (12 ) Tj"
"""A cell, and before it a piece of unseen print whose second space is where the one behind the cell is."""


async def read(content: bytes, folder: Path) -> tuple[str, Layout]:
    """The text of the only page, and where its words stand."""
    path = folder / "test.pdf"
    path.write_bytes(content)
    *_, stored = [message async for message in ProcessPdfParser(LIMITS).parse(path)]
    assert isinstance(stored, bytes)
    parse = StoredParse.open(stored)
    (page,) = parse.read_pages()
    return page.text, parse.read_layout(1)


def print_pieces(pieces: Sequence[tuple[float, float, str]]) -> bytes:
    """A page with pieces of print, each an object of its own: where it begins, and its text."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(612, 792))
    canvas.setFont("Helvetica", 10)
    for left, bottom, text in pieces:
        canvas.drawString(left, bottom, text)
    canvas.save()
    return buffer.getvalue()


def find_box(text: str, layout: Layout, word: str) -> Box:
    """The box of a word that is there once."""
    (box,) = [box for start, end, box in layout.words if text[start:end] == word]
    return box


async def test_cells_of_a_row_are_not_glued(tmp_path: Path) -> None:
    """Where the space behind a figure coincides with an unseen one PDFium has neither: 0.92 and 12, not 0.9212."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(612, 792))
    row = canvas.beginText()
    row.setFont("Helvetica", 1)
    for code in ("7 0 0 7 50 700 Tm (Real estate ) Tj 30 0 Td", SPACER):
        row._code.append(code)
    canvas.drawText(row)
    canvas.save()

    text, layout = await read(buffer.getvalue(), tmp_path)

    assert text == "Real estate 0.92 12"
    assert find_box(text, layout, "0.92").right < 280 < 320 < find_box(text, layout, "12").left


async def test_cells_of_narrow_columns_are_not_glued(tmp_path: Path) -> None:
    """PDFium reads a page of them from top to bottom and would have one word of each column."""
    columns = [[(left, 700.0 - 40 * row, f"{start + row}") for row in range(4)] for left, start in ((72, 1), (300, 5))]

    text, layout = await read(print_pieces([piece for column in columns for piece in column]), tmp_path)

    assert text.split() == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert [box.left // 100 for _, _, box in layout.words] == [0] * 4 + [3] * 4
    assert text.count("\n") == 7


async def test_letters_that_are_printed_one_by_one_are_a_word(tmp_path: Path) -> None:
    """PDFium ends a line at each of them where it takes the page for one that is read from top to bottom."""
    rows = ["main valve", "new pump"]
    pieces = [
        (left + stringWidth(words[:at], "Helvetica", 10), 700.0 - 11 * row, letter)
        for left in (72, 300, 500)
        for row, words in enumerate(rows)
        for at, letter in enumerate(words)
        if letter != " "
    ]

    text, _ = await read(print_pieces(pieces), tmp_path)

    assert text.split("\n") == rows * 3
