"""Pictures of a page from any side: how PDFium makes them, and where on the page a box of a picture is."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, cos, radians, sin, sqrt
from typing import Any, BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from services.ingest.domain.pages import Box

POINTS_PER_INCH = 72
MAX_PIXELS = 25_000_000
"""Of a picture: A3 at 300 dpi has 17 million. Larger pages, such as plans, are seen at fewer dpi."""
MAX_PIXELS_A_SIDE = 32_000
"""tesseract takes no more than 32,767; receipts and web pages may be that long."""


@dataclass(frozen=True)
class PageView:
    """How a page is looked at.

    Attributes:
        width: of the page in points as it is shown; `height`, too.
        angle: degrees by which it is turned clockwise.
        wanted_dpi: of the picture, unless that had more than MAX_PIXELS, or MAX_PIXELS_A_SIDE.
    """

    width: float
    height: float
    angle: float
    wanted_dpi: int

    @cached_property
    def scale(self) -> float:
        """Pixels per point."""
        width, height = self._around
        return min(
            self.wanted_dpi / POINTS_PER_INCH,
            sqrt(MAX_PIXELS / (width * height)),
            MAX_PIXELS_A_SIDE / max(width, height),
        )

    @property
    def dpi(self) -> int:
        """Pixels per inch."""
        return round(self.scale * POINTS_PER_INCH)

    @cached_property
    def _around(self) -> tuple[float, float]:
        """Width and height in points of what holds the turned page."""
        across, along = abs(self._turn[0]), abs(self._turn[1])
        return self.width * across + self.height * along, self.width * along + self.height * across

    @cached_property
    def _turn(self) -> tuple[float, float]:
        return cos(radians(self.angle)), sin(radians(self.angle))

    def write_picture(self, page: Any, target: BinaryIO) -> None:
        """Write a picture of the page in grey, as PGM. Raises PdfiumError."""
        width, height = (max(1, ceil(side * self.scale)) for side in self._around)
        bitmap = pypdfium2.PdfBitmap.new_native(width, height, pdfium.FPDFBitmap_Gray)
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
        matrix = self._make_matrix()
        whole = pdfium.FS_RECTF(0, 0, width, height)
        flags = pdfium.FPDF_ANNOT | pdfium.FPDF_GRAYSCALE
        pdfium.FPDF_RenderPageBitmapWithMatrix(bitmap.raw, page.raw, matrix, whole, flags)
        target.write(b"P5 %d %d 255\n" % (width, height))
        rows = memoryview(bitmap.buffer).cast("B")
        for row in range(height):
            target.write(rows[row * bitmap.stride : row * bitmap.stride + width])

    def _make_matrix(self) -> Any:
        """From points of the page to pixels of the picture, the middle of the one onto that of the other."""
        across, along = (self.scale * part for part in self._turn)
        middle_x, middle_y = (self.scale * side / 2 for side in self._around)
        left = middle_x - (across * self.width - along * self.height) / 2
        top = middle_y - (along * self.width + across * self.height) / 2
        return pdfium.FS_MATRIX(across, along, -along, across, left, top)

    def find_on_page(self, box: Box) -> Box:
        """Return the box in points of the page that holds a box in pixels of the picture."""
        across, along = self._turn
        xs, ys = [], []
        for x, y in ((box.left, box.top), (box.right, box.top), (box.left, box.bottom), (box.right, box.bottom)):
            x, y = x / self.scale - self._around[0] / 2, y / self.scale - self._around[1] / 2
            xs.append(across * x + along * y + self.width / 2)
            ys.append(across * y - along * x + self.height / 2)
        return Box(max(min(xs), 0.0), max(min(ys), 0.0), min(max(xs), self.width), min(max(ys), self.height))
