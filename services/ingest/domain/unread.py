"""What of a PDF is not read though it is there: codes for the stored parse, and what its owner is told."""

from collections.abc import Mapping, Sequence

from services.ingest.domain.pages import Page
from shared.contracts.documents import DocumentWarning

Unread = Mapping[str, Sequence[int]]
"""Codes of DETAILS, each with the pages that it concerns, counted from 1; none where it is the whole file."""

NO_TEXT = "pages_without_text"
ATTACHMENTS = "attachments_not_read"
XFA_FORM = "xfa_form"
NOTES = "notes_not_read"

DETAILS = {
    NO_TEXT: "These pages have no text and cannot be searched; if they are scans, run OCR and upload the result.",
    ATTACHMENTS: "Files are attached to this PDF. They are not read: save those that are PDFs and upload each.",
    XFA_FORM: "This PDF is an XFA form, and its fields cannot be read. Open it in a viewer that shows them, print it to"
    " a new PDF and upload that.",
    NOTES: "These pages have more form fields and notes, or longer ones, than are read. Print the PDF with its notes to"
    " a new one and upload that.",
}


def make_warnings(pages: Sequence[Page], unread: Unread) -> list[DocumentWarning]:
    """Return a warning for each thing that was not read, in the order of DETAILS."""
    found = {**unread}
    found[NO_TEXT] = sorted({*unread.get(NO_TEXT, ()), *(page.number for page in pages if not page.text)})
    if not found[NO_TEXT]:
        del found[NO_TEXT]
    return [DocumentWarning(code=code, detail=DETAILS[code], pages=[*found[code]]) for code in DETAILS if code in found]
