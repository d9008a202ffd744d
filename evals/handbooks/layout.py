"""The building blocks of a made-up handbook, and how they become a PDF."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table


@dataclass(frozen=True)
class Heading:
    """A section heading."""

    text: str


@dataclass(frozen=True)
class Prose:
    """One paragraph."""

    text: str


@dataclass(frozen=True)
class Rows:
    """A table; the first row is its header when `header` is set."""

    rows: tuple[tuple[str, ...], ...]
    header: bool = False
    widths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Bullets:
    """A list; `mark` `1` numbers the items."""

    items: tuple[str, ...]
    mark: str = "•"


Block = Heading | Prose | Rows | Bullets


@dataclass(frozen=True)
class Question:
    """A question, the pages that answer it (none: unanswerable), and strings that a right answer holds."""

    id: str
    question: str
    pages: tuple[int, ...] = ()
    answer_contains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Handbook:
    """A made-up handbook: its pages, each a list of blocks, and the questions about it."""

    name: str
    title: str
    pages: tuple[tuple[Block, ...], ...]
    questions: tuple[Question, ...]

    def render(self) -> bytes:
        """The handbook as a PDF."""
        buffer = io.BytesIO()
        document = SimpleDocTemplate(buffer, pagesize=A4, title=self.title, invariant=1)
        flow: list[Flowable] = [Paragraph(escape(self.title), getSampleStyleSheet()["Title"])]
        for number, blocks in enumerate(self.pages):
            if number:
                flow.append(PageBreak())
            for block in blocks:
                flow += _draw_block(block)
                flow.append(Spacer(1, 8))
        document.build(flow, onFirstPage=self._draw_margins, onLaterPages=self._draw_margins)
        if document.page != len(self.pages):
            raise ValueError(f"{self.name}: {document.page} pages instead of {len(self.pages)}")
        return buffer.getvalue()

    def _draw_margins(self, canvas: Canvas, document: SimpleDocTemplate) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 8)
        canvas.drawString(60, A4[1] - 40, self.title)
        canvas.drawRightString(A4[0] - 60, 30, f"Page {document.page}")
        canvas.restoreState()


def _draw_block(block: Block) -> Sequence[Flowable]:
    styles = getSampleStyleSheet()
    if isinstance(block, Heading):
        return [Paragraph(escape(block.text), styles["Heading2"])]
    if isinstance(block, Prose):
        return [Paragraph(escape(block.text), styles["BodyText"])]
    if isinstance(block, Bullets):
        marks = [f"{n}." if block.mark == "1" else block.mark for n in range(1, len(block.items) + 1)]
        lines = [f"{mark} {item}" for mark, item in zip(marks, block.items, strict=True)]
        return [Paragraph(escape(line), styles["BodyText"]) for line in lines]
    cells = [[Paragraph(escape(cell), styles["BodyText"]) for cell in row] for row in block.rows]
    grid = [("GRID", (0, 0), (-1, -1), 0.4, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    if block.header:
        grid.append(("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey))
    return [Table(cells, colWidths=block.widths, style=grid)]
