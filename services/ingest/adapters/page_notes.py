"""Reads with PDFium what stands on a page without being printed on it: values of form fields, and people's notes."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from services.ingest.adapters.word_boxes import make_turn
from services.ingest.domain.pages import Box, Layout, WordBox
from services.ingest.domain.stored_parse import MAX_PAGE_CHARS, MAX_SIDE
from services.ingest.domain.text import WORD, clean_text
from services.ingest.domain.unread import ATTACHMENTS, NOTES, XFA_FORM

MAX_NOTES = 5000
"""Annotations of a page that are looked at. Tax forms have some 200; each takes some ten calls to PDFium."""
MAX_NOTE_CHARS = 50_000
"""Of one value or note; longer ones are left out."""
MAX_OPTIONS = 1000
"""Of a list to choose from that are looked at."""
ROW = 12.0
"""Points: notes whose tops are within such a band are taken from left to right."""

NOTE = "Note: "
_UNSEEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13
"""Bit 14 of a text field's flags (ISO 32000-1, table 228)."""
_NO_NOTES = (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP)
"""A popup shows the text of another annotation."""
_TICKED = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
_CHOSEN = (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
_PLAIN_TICKS = ("", "yes", "on", "off", "1", "true")
"""What tools call the state of a box that is ticked when nobody has given it a name."""


class Note(NamedTuple):
    """What a field or a note says, in one line that begins with what it is, and where on the page as it is shown."""

    line: str
    box: Box | None


class _LeftOutError(Exception):
    """A text is too long to be read."""


class NoteReader:
    """Reads the notes of a document's pages. `unread` says what could not be, as `domain/unread.py` has it."""

    def __init__(self, document: Any) -> None:
        """Make the reader before any page of the document is opened."""
        self.unread: dict[str, list[int]] = {}
        self._form_type = document.get_formtype()
        self._fields = 0
        if self._form_type != pdfium.FORMTYPE_NONE:
            try:
                document.init_forms()
            except pypdfium2.PdfiumError:
                self.unread[NOTES] = []
        self._form = document.formenv
        if pdfium.FPDFDoc_GetAttachmentCount(document) > 0:
            self.unread[ATTACHMENTS] = []

    def read_page(self, page: Any, number: int) -> list[Note]:
        """Return the notes of a page that have a text, those above others first."""
        count = pdfium.FPDFPage_GetAnnotCount(page)
        if count > MAX_NOTES:
            self._leave_out(NOTES, number)
        if not count:
            return []
        find_box = _make_find_box(page)
        notes: dict[Note, None] = {}  # one may be there twice, at one place
        chars = 0
        for index in range(min(count, MAX_NOTES)):
            annotation = pdfium.FPDFPage_GetAnnot(page, index)
            if not annotation:
                continue
            try:
                line = " ".join(clean_text(self._read(annotation, number)).split())
                box = find_box(annotation) if line else None
            except _LeftOutError:
                self._leave_out(NOTES, number)
                continue
            finally:
                pdfium.FPDFPage_CloseAnnot(annotation)
            if line:
                notes[Note(line, box)] = None
                chars += len(line)
            if chars > MAX_PAGE_CHARS:  # more than the page may have
                break
        return sorted(notes, key=lambda note: (note.box.top // ROW, note.box.left) if note.box else (0, 0))

    def finish(self) -> dict[str, list[int]]:
        """Return what was not read, once all pages have been."""
        only_xfa = self._form_type == pdfium.FORMTYPE_XFA_FOREGROUND and not self._fields
        if only_xfa or self._form_type == pdfium.FORMTYPE_XFA_FULL:
            self.unread[XFA_FORM] = []
        return self.unread

    def _leave_out(self, code: str, number: int) -> None:
        pages = self.unread.setdefault(code, [])
        if number not in pages[-1:]:
            pages.append(number)

    def _read(self, annotation: Any, number: int) -> str:
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_FILEATTACHMENT:
            self._leave_out(ATTACHMENTS, number)
        if kind in _NO_NOTES or pdfium.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
            return ""
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            return self._read_field(annotation) if self._form else ""
        text = _read_text(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
        return f"{NOTE}{text}" if text else ""

    def _read_field(self, annotation: Any) -> str:
        self._fields += 1
        field = self._form, annotation
        kind = pdfium.FPDFAnnot_GetFormFieldType(*field)
        if kind in _TICKED:
            value = _read_tick(*field)
        elif kind in _CHOSEN:
            value = ", ".join(_read_chosen(*field)) or _read_text(pdfium.FPDFAnnot_GetFormFieldValue, *field)
        elif kind == pdfium.FPDF_FORMFIELD_TEXTFIELD and not pdfium.FPDFAnnot_GetFormFieldFlags(*field) & _PASSWORD:
            value = _read_text(pdfium.FPDFAnnot_GetFormFieldValue, *field)
        else:
            value = ""
        if not value:
            return ""
        name = _read_text(pdfium.FPDFAnnot_GetFormFieldAlternateName, *field)
        name = name or _read_text(pdfium.FPDFAnnot_GetFormFieldName, *field).rpartition(".")[2].partition("[")[0]
        return f"Form field {name}: {value}" if name else f"Form field: {value}"


def add_notes(text: str, layout: Layout, notes: Sequence[Note]) -> tuple[str, Layout]:
    """Return the text of a page with its notes below, a line each, and the layout with boxes for their words.

    A note that repeats what is printed, as marks of a passage do in some programs, is left out.
    """
    if not notes:
        return text, layout
    printed = " ".join(text.split())
    words = list(layout.words)
    for line, box in notes:
        if line.startswith(NOTE) and line.removeprefix(NOTE) in printed:
            continue
        start = len(text) + 1 if text else 0
        text = f"{text}\n{line}" if text else line
        if box is not None:
            words += [WordBox(start + match.start(), start + match.end(), box) for match in WORD.finditer(line)]
    return text, Layout(layout.width, layout.height, words)


def _make_find_box(page: Any) -> Callable[[Any], Box | None]:
    """How to get the box of an annotation on this page."""
    layout = Layout(*page.get_size())
    if not (0 < layout.width <= MAX_SIDE and 0 < layout.height <= MAX_SIDE):
        return lambda _: None
    turn, rectangle = make_turn(page), pdfium.FS_RECTF()

    def find(annotation: Any) -> Box | None:
        if not pdfium.FPDFAnnot_GetRect(annotation, rectangle):
            return None
        left, right = sorted((rectangle.left, rectangle.right))
        bottom, top = sorted((rectangle.bottom, rectangle.top))
        left, top, right, bottom = turn(left, bottom, right, top)
        left, top = max(left, 0.0), max(top, 0.0)
        right, bottom = min(right, layout.width), min(bottom, layout.height)
        return Box(left, top, right, bottom) if left < right and top < bottom else None

    return find


def _read_tick(form: Any, annotation: Any) -> str:
    if not pdfium.FPDFAnnot_IsChecked(form, annotation):
        return ""
    value = _read_text(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
    return "yes" if value.lower() in _PLAIN_TICKS else value


def _read_chosen(form: Any, annotation: Any) -> Iterator[str]:
    for index in range(min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), MAX_OPTIONS)):
        if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, index):
            yield _read_text(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, index)


def _read_text(function: Callable[..., int], *arguments: Any) -> str:
    """A text that PDFium writes into a buffer, as UTF-16 with a zero behind. Raises _LeftOutError."""
    size = function(*arguments, None, 0)
    if size > 2 * (MAX_NOTE_CHARS + 1):
        raise _LeftOutError
    buffer = (pdfium.FPDF_WCHAR * (size // 2))()
    function(*arguments, buffer, size)
    return ctypes.string_at(buffer, size).decode("utf-16-le", "ignore").rstrip("\0").strip()
