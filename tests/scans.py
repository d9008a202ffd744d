"""Scans for tests: PDFs whose pages are pictures of print, made in memory."""

import io
from collections.abc import Sequence

import pypdfium2
from PIL import Image

from tests.pdfs import make_pdf

DPI = 200
"""What office scanners do by default."""


def print_page(text: str) -> Image.Image:
    """A picture of a printed page, in grey."""
    document = pypdfium2.PdfDocument(make_pdf([text]))
    try:
        picture: Image.Image = document[0].render(scale=DPI / 72, grayscale=True).to_pil()
        return picture.copy()
    finally:
        document.close()


def turn(picture: Image.Image, degrees: float) -> Image.Image:
    """The picture turned clockwise, on white paper, all of it in sight."""
    return picture.rotate(-degrees, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def bind(pictures: Sequence[Image.Image]) -> bytes:
    """A PDF with a picture a page."""
    buffer = io.BytesIO()
    pictures[0].save(buffer, "PDF", resolution=DPI, save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def make_scan(pages: Sequence[str], *, degrees: float = 0.0) -> bytes:
    """A scan of printed pages that lay askew by so many degrees."""
    return bind([turn(print_page(page), degrees) for page in pages])
