"""PDFs for tests, made in memory."""

import io
from collections.abc import Sequence

from pypdf import PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas


def make_pdf(pages: Sequence[str], *, title: str | None = None, password: str | None = None) -> bytes:
    """One page per text, one printed line per line of it; an empty text is an empty page."""
    buffer = io.BytesIO()
    encryption = StandardEncryption(password, canPrint=0) if password else None
    canvas = Canvas(buffer, pagesize=A4, invariant=1, encrypt=encryption)
    if title is not None:
        canvas.setTitle(title)
    for page in pages:
        text = canvas.beginText(50, 790)
        text.setFont("Helvetica", 10)
        for line in page.split("\n"):
            text.textLine(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def make_pdf_without_pages() -> bytes:
    """A valid file with an empty page tree."""
    buffer = io.BytesIO()
    PdfWriter().write(buffer)
    return buffer.getvalue()


def make_long_pdf(name: str, pages: int) -> bytes:
    """Pages full of prose about `name`, every page different, so that an ingest takes a while."""
    topics = ("valves", "pumps", "meters", "filters", "bearings", "seals", "belts", "sensors")
    lines = "\n".join(
        f"Paragraph {line} of chapter {{page}} of the {name} manual explains how {topics[line % 8]} are serviced."
        for line in range(50)
    )
    return make_pdf([lines.replace("{page}", str(page)) for page in range(1, pages + 1)], title=f"Manual of {name}")
