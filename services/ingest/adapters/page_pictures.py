"""Finds where pictures are on a page."""

from collections.abc import Iterator
from ctypes import byref, c_float, c_int
from typing import Any

import pypdfium2.raw as pdfium

from services.ingest.domain.pages import Box

MAX_OBJECTS = 10_000
"""On a page that are looked at; a drawing may have a million."""
_PICTURES = (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM)
"""Forms are parts of pages that are used as a whole, and may hold pictures."""


def find_pictures(page: Any, width: float, height: float) -> Iterator[Box]:
    """Yield the boxes of pictures, in points of a page of this size as it is shown."""
    for number in range(min(pdfium.FPDFPage_CountObjects(page.raw), MAX_OBJECTS)):
        item = pdfium.FPDFPage_GetObject(page.raw, number)
        if pdfium.FPDFPageObj_GetType(item) not in _PICTURES:
            continue
        left, bottom, right, top = c_float(), c_float(), c_float(), c_float()
        if not pdfium.FPDFPageObj_GetBounds(item, byref(left), byref(bottom), byref(right), byref(top)):
            continue
        size = round(width), round(height)
        corners = _show(page, size, left.value, top.value), _show(page, size, right.value, bottom.value)
        xs, ys = zip(*corners, strict=True)
        box = Box(max(min(xs), 0), max(min(ys), 0), min(max(xs), width), min(max(ys), height))
        if box.left < box.right and box.top < box.bottom:
            yield box


def _show(page: Any, size: tuple[int, int], x: float, y: float) -> tuple[int, int]:
    """A place on the page as it is shown: it may be turned, or cut out."""
    shown_x, shown_y = c_int(), c_int()
    pdfium.FPDF_PageToDevice(page.raw, 0, 0, *size, 0, x, y, byref(shown_x), byref(shown_y))
    return shown_x.value, shown_y.value
