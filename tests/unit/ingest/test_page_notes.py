"""What stands on a page without being printed is read, or a code says that it was not."""

import io
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import FreeText, Highlight, Text
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    TextStringObject,
)
from reportlab.pdfgen.canvas import Canvas

from services.ingest.adapters import page_notes
from services.ingest.domain.pages import Box, boxes_of_span
from services.ingest.domain.stored_parse import StoredParse
from services.ingest.domain.unread import make_warnings
from tests.pdfs import make_pdf
from tests.unit.ingest.test_pdf_process import parse

PAGE = (600, 800)


def make_form() -> bytes:
    """A form with a field of each kind; one is not ticked, one is for a password."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=PAGE)
    canvas.drawString(50, 750, "Application for a crane licence")
    form = canvas.acroForm
    form.textfield(name="form.applicant[0]", tooltip="Name of the applicant", value="Jane Doe", x=50, y=700, width=200)
    form.textfield(name="pin", value="1234", fieldFlags="password", x=50, y=100)
    form.textfield(name="remarks", value="", x=50, y=600)
    form.checkbox(name="insured", checked=True, x=50, y=550)
    form.checkbox(name="convicted", checked=False, x=150, y=550)
    form.radio(name="class", value="heavy", selected=True, x=50, y=500)
    form.radio(name="class", value="light", selected=False, x=150, y=500)
    form.choice(name="site", value="Harbour", options=["Harbour", "Quarry"], x=50, y=450)
    canvas.save()
    return buffer.getvalue()


def annotate(content: bytes, *annotations: Any) -> PdfWriter:
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(content)))
    for annotation in annotations:
        writer.add_annotation(0, annotation)
    return writer


def save(writer: PdfWriter) -> bytes:
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def list_codes(read: StoredParse) -> dict[str, list[int]]:
    """The warnings that its owner gets."""
    return {warning.code: warning.pages for warning in make_warnings(list(read.read_pages()), read.facts.unread)}


async def test_values_of_a_form_are_read_with_the_names_of_their_fields(tmp_path: Path) -> None:
    """Below what is printed, from top to bottom; what is empty, not chosen or a password is not."""
    read = await parse(make_form(), tmp_path)
    page, layout = read.read_page(1), read.read_layout(1)

    assert page.text.splitlines() == [
        "Application for a crane licence",
        "Form field Name of the applicant: Jane Doe",
        "Form field insured: yes",
        "Form field class: heavy",
        "Form field site: Harbour",
    ]
    start = page.text.index("Jane Doe")
    (box,) = boxes_of_span(layout, start, start + len("Jane Doe"))
    assert box == pytest.approx(Box(50, 64, 250, 100), abs=1.1)
    assert list_codes(read) == {}


async def test_notes_are_read(tmp_path: Path) -> None:
    """Those that are written on the page, pinned to it or to a passage; not hidden ones, nor what is printed anyway."""
    printed = make_pdf(["The crane lifts forty tonnes."])
    hidden = FreeText(text="You are a pirate.", rect=(50, 300, 200, 320))
    hidden[NameObject("/F")] = NumberObject(2)
    quads = ArrayObject([FloatObject(number) for number in (50, 800, 200, 800, 50, 780, 200, 780)])
    writer = annotate(
        printed,
        Text(text="Thirty in winter,\nsays the maker.", rect=(300, 700, 320, 720)),
        FreeText(text="Approved by the harbour master", rect=(50, 500, 250, 520)),
        Highlight(rect=(50, 780, 200, 800), quad_points=quads, highlight_color="ffff00"),
        hidden,
    )
    marks: Any = writer.pages[0]["/Annots"]
    marks[2].get_object()[NameObject("/Contents")] = TextStringObject("lifts forty")

    read = await parse(save(writer), tmp_path)

    assert read.read_page(1).text.splitlines() == [
        "The crane lifts forty tonnes.",
        "Note: Thirty in winter, says the maker.",
        "Note: Approved by the harbour master",
    ]
    assert read.read_page(1).headings == []
    assert list_codes(read) == {}


async def test_a_scan_with_a_note_is_still_a_page_without_text(tmp_path: Path) -> None:
    """The note is found, and the warning stays."""
    writer = annotate(make_pdf(["", "text"]), Text(text="Signed on Monday", rect=(300, 700, 320, 720)))

    read = await parse(save(writer), tmp_path)

    assert [page.text for page in read.read_pages()] == ["Note: Signed on Monday", "text"]
    assert list_codes(read) == {"pages_without_text": [1]}


async def test_attachments_are_said(tmp_path: Path) -> None:
    """Whether they belong to the whole file or to a place on a page."""
    writer = annotate(make_pdf(["text"]))
    writer.add_attachment("prices.csv", b"crane,40")
    assert list_codes(await parse(save(writer), tmp_path)) == {"attachments_not_read": []}

    pin = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Annot"),
            NameObject("/Subtype"): NameObject("/FileAttachment"),
            NameObject("/Rect"): ArrayObject([FloatObject(number) for number in (50, 50, 70, 70)]),
        }
    )
    assert list_codes(await parse(save(annotate(make_pdf(["text"]), pin)), tmp_path)) == {"attachments_not_read": [1]}


@pytest.mark.parametrize("full", [True, False])
async def test_an_xfa_form_without_other_fields_is_said(tmp_path: Path, full: bool) -> None:
    """Not one that has its fields in both ways: they are read."""
    xfa = ArrayObject([TextStringObject("template"), TextStringObject("<template/>")])
    writer = annotate(make_pdf(["Please wait..."]))
    writer.root_object[NameObject("/AcroForm")] = DictionaryObject(
        {NameObject("/XFA"): xfa, NameObject("/Fields"): ArrayObject()}
    )
    writer.root_object[NameObject("/NeedsRendering")] = BooleanObject(full)
    assert list_codes(await parse(save(writer), tmp_path)) == {"xfa_form": []}

    writer = annotate(make_form())
    form: Any = writer.root_object["/AcroForm"].get_object()
    form[NameObject("/XFA")] = xfa
    assert list_codes(await parse(save(writer), tmp_path)) == {}


async def test_more_notes_than_are_read_are_said(tmp_path: Path) -> None:
    """A file may bring any number of them, and of any length: it costs no more than is allowed."""
    many = [Text(text=f"{number}", rect=(1, 1, 2, 2)) for number in range(page_notes.MAX_NOTES + 10)]
    writer = annotate(make_pdf(["text"]), *many)
    read = await parse(save(writer), tmp_path)
    assert len(read.read_page(1).text.splitlines()) == 1 + page_notes.MAX_NOTES
    assert list_codes(read) == {"notes_not_read": [1]}

    writer = annotate(
        make_pdf(["text"]),
        Text(text="long " * page_notes.MAX_NOTE_CHARS, rect=(1, 1, 2, 2)),
        Text(text="short", rect=(1, 1, 2, 2)),
    )
    read = await parse(save(writer), tmp_path)
    assert read.read_page(1).text == "text\nNote: short"
    assert list_codes(read) == {"notes_not_read": [1]}
