"""What of a PDF is not read though it is there: codes for the stored parse, and what its owner is told."""

from collections.abc import Mapping, Sequence

from services.ingest.domain.pages import Page
from shared.contracts.documents import DocumentFailure, DocumentWarning

Unread = Mapping[str, Sequence[int]]
"""Codes of DETAILS, each with the pages that it concerns, counted from 1; none where it is the whole file."""

NO_TEXT = "pages_without_text"
UNMAPPED = "pages_without_text/fonts"
"""Its owner is told what is before the slash: it is the same for programs, and not for people."""
ATTACHMENTS = "attachments_not_read"
XFA_FORM = "xfa_form"
NOTES = "notes_not_read"
OCR_EMPTY = "pages_without_text/ocr"
OCR_BUDGET = "ocr_budget"
OCR_FAILED = "ocr_failed"
POOR_OCR = "poor_ocr"
_TOLD = (OCR_BUDGET, OCR_FAILED, OCR_EMPTY, UNMAPPED)
POOR_CONFIDENCE = 0.75
"""Mean of a page's words. Pages of filings have 0.9 and more."""

DETAILS = {
    NO_TEXT: "These pages have no text and cannot be searched. If they are scans, have text recognition (OCR) switched"
    " on at the server (PAGEWIRE_OCR), or run it on the file, and upload it again.",
    UNMAPPED: "The fonts of these pages do not say which letters their shapes are, so what is printed there cannot be"
    " searched. Have text recognition (OCR) switched on at the server (PAGEWIRE_OCR), or run it on the file, and upload"
    " it again.",
    OCR_EMPTY: "Text recognition (OCR) has found no text on these pages, so they cannot be searched.",
    OCR_BUDGET: "Text recognition (OCR) of these pages would take more time than is allowed (PAGEWIRE_OCR_PAGE_S,"
    " PAGEWIRE_OCR_DOCUMENT_S), so their pictures cannot be searched. Split the PDF.",
    OCR_FAILED: "Text recognition (OCR) failed on these pages, so their pictures cannot be searched. Scan them again as"
    " plain pictures.",
    POOR_OCR: "Text recognition (OCR) is not sure of what it read on these pages: compare answers with the page, or"
    " scan them again, straighter or with more contrast.",
    ATTACHMENTS: "Files are attached to this PDF. They are not read: save those that are PDFs and upload each.",
    XFA_FORM: "This PDF is an XFA form, and its fields cannot be read. Open it in a viewer that shows them, print it to"
    " a new PDF and upload that.",
    NOTES: "These pages have more form fields and notes, or longer ones, than are read. Print the PDF with its notes to"
    " a new one and upload that.",
}

_NO_TEXT_AT_ALL = {
    NO_TEXT: "The PDF has no text, only pictures of it. Have text recognition (OCR) switched on at the server"
    " (PAGEWIRE_OCR), or run it on the file, and upload it again.",
    UNMAPPED: "The fonts of the PDF do not say which letters their shapes are, so what is printed cannot be searched."
    " Have text recognition (OCR) switched on at the server (PAGEWIRE_OCR), or run it on the file, and upload it"
    " again.",
    OCR_BUDGET: "The PDF has no text, at most pictures of it, and text recognition (OCR) of them takes more time than"
    " is allowed (PAGEWIRE_OCR_PAGE_S, PAGEWIRE_OCR_DOCUMENT_S). Split it, or save a simpler copy.",
    OCR_FAILED: "The PDF has no text, and text recognition (OCR) failed on it. Scan it again as plain pictures.",
    OCR_EMPTY: "The PDF has no text, and text recognition (OCR) has found none in its pictures.",
}
"""In the order in which one can be helped."""


def make_warnings(pages: Sequence[Page], unread: Unread) -> list[DocumentWarning]:
    """Return a warning for each thing that was not read, or not well, in the order of DETAILS."""
    told = {number for code in _TOLD for number in unread.get(code, ())}
    without_text = {page.number for page in pages if not page.text} - told
    poor = [page.number for page in pages if page.recognition and page.recognition.confidence < POOR_CONFIDENCE]
    found = {**unread, NO_TEXT: sorted({*unread.get(NO_TEXT, ()), *without_text}), POOR_OCR: poor}
    return [
        DocumentWarning(code=code.partition("/")[0], detail=detail, pages=[*found[code]])
        for code, detail in DETAILS.items()
        if code in found and (found[code] or code not in (NO_TEXT, POOR_OCR))
    ]


def explain_no_text(unread: Unread) -> DocumentFailure:
    """Return why no page of a document has text, and what to do."""
    code = next((code for code in _NO_TEXT_AT_ALL if code in unread), NO_TEXT)
    # What its pictures say, and whether anything, nobody knows: it is not the text that is missing.
    return DocumentFailure(code="too_costly" if code == OCR_BUDGET else "no_text", detail=_NO_TEXT_AT_ALL[code])
