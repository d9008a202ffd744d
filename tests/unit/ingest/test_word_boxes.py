"""The boxes of words are where a PDF prints them, however its page is turned and cut."""

import ctypes
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import RectangleObject
from reportlab.pdfgen.canvas import Canvas

from services.ingest.adapters.word_boxes import read_layout
from services.ingest.domain.pages import Box, Layout, boxes_of_span
from services.ingest.domain.text import clean_text
from tests.hostile_pdfs import SAMPLE
from tests.pdfs import make_pdf


@contextmanager
def opened(content: bytes, index: int = 0) -> Iterator[tuple[Any, Any]]:
    """A page and its text page."""
    document = pypdfium2.PdfDocument(content)
    page = document[index]
    text_page = page.get_textpage()
    yield page, text_page
    text_page.close()
    page.close()
    document.close()


def read(page: Any, text_page: Any) -> tuple[str, Layout]:
    raw = text_page.get_text_range()
    text = clean_text(raw)
    return text, read_layout(page, text_page, raw, text)


def turn_and_cut(content: bytes, degrees: int, crop: Sequence[float] | None) -> bytes:
    writer = PdfWriter()
    page = writer.add_page(PdfReader(io.BytesIO(content)).pages[0])
    page.rotate(degrees)
    if crop is not None:
        page.cropbox = RectangleObject((crop[0], crop[1], crop[2], crop[3]))
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def find_on_screen(page: Any, rectangle: Sequence[float], scale: int = 100) -> Box:
    """Where PDFium itself draws a rectangle of the PDF's coordinates, in points from the top left."""
    width, height = (round(side * scale) for side in page.get_size())
    corners = []
    for x, y in ((rectangle[0], rectangle[1]), (rectangle[2], rectangle[3])):
        right, down = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, width, height, 0, x, y, right, down)
        corners.append((right.value / scale, down.value / scale))
    (x1, y1), (x2, y2) = corners
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


@pytest.mark.parametrize("crop", [None, (30, 100, 500, 830)])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_boxes_are_where_the_page_shows_the_words(degrees: int, crop: Sequence[float] | None) -> None:
    """By PDFium's own account, for pages that are turned, and for those of which only a part is shown."""
    content = turn_and_cut(make_pdf(["The crane lifts\nforty tonnes at ten metres."]), degrees, crop)

    with opened(content) as (page, text_page):
        text, layout = read(page, text_page)
        assert (layout.width, layout.height) == page.get_size()
        assert [text[word.start : word.end] for word in layout.words] == text.split()
        for word in layout.words:
            found = text_page.search(text[word.start : word.end]).get_next()
            text_page.count_rects(*found)
            shown = find_on_screen(page, text_page.get_rect(0))
            assert word.box == pytest.approx(shown, abs=0.02)


def test_what_is_printed_beside_the_page_has_no_box() -> None:
    """Its text is there, as PDFium reads it; nobody can be shown where."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(200, 200))
    canvas.drawString(50, 100, "inside")
    canvas.drawString(50, 300, "outside")
    canvas.drawString(190, 50, "across")
    canvas.save()

    with opened(buffer.getvalue()) as (page, text_page):
        text, layout = read(page, text_page)

    boxes = {text[word.start : word.end]: word.box for word in layout.words}
    assert boxes.keys() == {"inside", "across"}
    assert boxes["across"].right == 200


def test_a_parted_word_has_a_box_on_each_line() -> None:
    """Here it is parted at a hyphen of its own."""
    with opened(make_pdf(["We report it year-on-\nyear, as always."])) as (page, text_page):
        text, layout = read(page, text_page)

    start = text.index("year-on-year")
    boxes = boxes_of_span(layout, start, start + 3)
    assert len(boxes) == 2
    assert boxes[0].bottom < boxes[1].bottom
    assert boxes[1].left < boxes[0].left


def print_in(to_unicode: str) -> bytes:
    """A page that prints `BB ABA BCB BBBB`, whose letters stand for others by this map of the font."""
    stream = "BT /F 20 Tf 20 200 Td (BB ABA BCB BBBB) Tj ET"
    entries = f"3 beginbfchar {to_unicode} endbfchar"
    characters = f"begincmap 1 begincodespacerange <00> <FF> endcodespacerange {entries} endcmap"
    objects = (
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R>>",
        f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>",
        f"<</Length {len(characters)}>>stream\n{characters}\nendstream",
    )
    body = "".join(f"{number} 0 obj{content} endobj\n" for number, content in enumerate(objects, start=1))
    return f"%PDF-1.4\n{body}trailer<</Root 1 0 R/Size 7>>\n%%EOF\n".encode()


def test_characters_that_take_two_units_move_no_box() -> None:
    """Of emoji and rare signs PDFium counts two characters, where the text has one."""
    with opened(print_in("<41> <0041> <42> <0042> <43> <0043>")) as (page, text_page):
        plain_text, plain = read(page, text_page)
    with opened(print_in("<41> <D83DDE00> <42> <0042> <43> <D840DC00>")) as (page, text_page):
        text, layout = read(page, text_page)
        assert text_page.count_chars() > len(text)

    assert (plain_text, text) == ("BB ABA BCB BBBB", "BB \U0001f600B\U0001f600 B\U00020000B BBBB")
    assert layout == plain


def read_inside(text_page: Any, box: Box, height: float) -> str:
    """What PDFium reads in a box of a page that is neither turned nor cut."""
    return clean_text(text_page.get_text_bounded(box.left, height - box.bottom, box.right, height - box.top))


def test_the_words_within_the_boxes_are_those_of_the_span() -> None:
    """On every page of the sample, for every line: PDFium reads in the boxes what the span says."""
    document = pypdfium2.PdfDocument(Path(SAMPLE))
    lines = 0
    for index in range(len(document)):
        page = document[index]
        text_page = page.get_textpage()
        text, layout = read(page, text_page)
        for match in re.finditer(r"[^\n]+", text):
            boxes = boxes_of_span(layout, *match.span())
            assert " ".join(read_inside(text_page, box, layout.height) for box in boxes).split() == match[0].split()
            lines += 1
        text_page.close()
        page.close()
    document.close()
    assert lines > 40
