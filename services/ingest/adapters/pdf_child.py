"""The process in which one PDF is parsed: `python -m services.ingest.adapters.pdf_child FILE LIMITS PARENT OCR`.

It may be killed at any time, by its limits or by its parent, and takes nothing with it. It writes one JSON object a
line to its standard output, each followed by as many bytes as its `bytes` says: first {"started"}, then {"page_count"},
then {"page"} for each page, at last {"done"}. The bytes, one behind the other, are the stored parse
(`domain/stored_parse.py`). Or it ends with {"failure": {code, detail, page}}. A child that dies before {"started"} has
not looked into the file; one that gets no more memory ends with the status OUT_OF_MEMORY.

Before a {"page"} there may be a {"recognized"}: its bytes are what was read in pictures of the page. Given to a later
child on its standard input, all of them one behind the other, they save it that work.
"""

import errno
import json
import os
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, TypeVar

import pypdfium2
import pypdfium2.raw as pdfium

from services.ingest.adapters.composed_accents import compose_accents
from services.ingest.adapters.mended_words import join_torn, part_glued
from services.ingest.adapters.ocr import PageReading, PictureReader
from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.adapters.page_notes import Note, NoteReader, add_notes
from services.ingest.adapters.parted_words import end_rows
from services.ingest.adapters.pdf_failures import (
    DAMAGED,
    ENCRYPTED,
    NO_PAGES,
    NO_RESOURCES,
    OUT_OF_MEMORY,
    TOO_COSTLY,
    TOO_MANY_PAGES,
)
from services.ingest.adapters.right_to_left_lines import order_text
from services.ingest.adapters.word_boxes import read_layout
from services.ingest.domain.columns import order_columns
from services.ingest.domain.headings import find_headings
from services.ingest.domain.pages import Layout
from services.ingest.domain.running_lines import RunningLineFinder
from services.ingest.domain.stored_parse import MAX_PAGE_CHARS, MAX_TEXT_CHARS, DocumentFacts, ParseWriter
from services.ingest.domain.tables import find_tables
from services.ingest.domain.text import clean_text
from services.ingest.domain.unmapped import count_letters, is_unmapped
from services.ingest.domain.unread import NO_TEXT, OCR_BUDGET, UNMAPPED
from shared.languages import READ_CHARS, find_language
from shared.parent_process import end_with_parent

T = TypeVar("T")

MEGABYTE = 1024 * 1024
HEADLINE_CHARS = 4000
"""How far into a page its headline is looked for: a full page."""
HEADLINE_LETTERS = 3
"""Fewer are a drop cap or an ornament."""
HEADLINE_RATIO = 1.15
"""How much larger than the page's usual print a headline is."""
_NOTHING = PageReading("", Layout(0, 0))
MAX_TITLE_CHARS = 1000
"""Of titles and headlines; more is text, or hostile."""


class TooMuchTextError(Exception):
    """There is more text on a page, or up to it, than is allowed."""


def main(path: Path, limits: dict[str, int], ocr: OcrOptions | None, recognized: bytes) -> None:
    """Parse a file under limits: `memory_mb`, `cpu_s` and `max_pages`; with `ocr` pictures of text are read, too.

    `recognized`: what was told of pages whose pictures have been read before; they are not read once more.
    """
    with path.open("rb"):  # where this fails it is not the PDF's fault
        _write({"started": True})
    # Our own output is bounded by the parent; the limits are set before a single byte of the file is read.
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory_mb"] * MEGABYTE, limits["memory_mb"] * MEGABYTE))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fallback = PypdfFallback(path)
    document = None
    try:
        document = pypdfium2.PdfDocument(path)
        page_count = len(document)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD:
            _write_failure("encrypted", ENCRYPTED)
            return
        page_count = fallback.count_pages()
        if page_count < 0 and getattr(error, "err_code", None) == pdfium.FPDF_ERR_SECURITY:  # for a certificate
            _write_failure("encrypted", ENCRYPTED)
            return
    if page_count <= 0:
        _write_failure("no_pages", NO_PAGES) if page_count == 0 else _write_failure("damaged", DAMAGED)
        return
    if page_count > limits["max_pages"]:
        _write_failure("too_many_pages", TOO_MANY_PAGES.format(pages=page_count, limit=limits["max_pages"]))
        return
    tell = partial(_write, {"recognized": True})
    reader = PictureReader(ocr, recognized, tell) if ocr and document else None
    writer = ParseWriter()
    note_reader = NoteReader(document) if document else None
    unread: dict[str, list[int]] = {}
    _write({"page_count": page_count}, writer.begin())
    running_lines = RunningLineFinder()
    headline = sample = ""
    chars = 0
    for index in range(page_count):
        try:
            own, notes = _read_page(document, index, note_reader) if note_reader else (_NOTHING, [])
            if own.text and not own.unread and not sample:
                headline = _read_headline(document, index)
            own = own if own.text else _read_otherwise(fallback, index, own)
            page = _read_pictures(reader, document, index, own) if reader else own
            printed = page.text
            text, layout = add_notes(printed, page.layout, notes)
            chars += len(_bound(text, MAX_TEXT_CHARS - chars))
        except TooMuchTextError:
            _write_failure("too_costly", TOO_COSTLY, index + 1)
            return
        if page.unread or not printed:
            unread.setdefault(page.unread or NO_TEXT, []).append(index + 1)
        if printed and len(sample) < READ_CHARS:
            sample += printed[:READ_CHARS] + "\n"
        tables = find_tables(printed, layout)
        running_lines.add_page(index + 1, printed, layout, tables)
        _write({"page": index + 1}, writer.add_page(text, find_headings(printed), layout, page.recognition, tables))
    title = _read_title(document) if document else None
    unread |= note_reader.finish() if note_reader else {}
    facts = DocumentFacts(title, headline, find_language(sample), unread)
    _write({"done": True}, writer.end(facts, running_lines.find()))


def _bound(text: str, most: int = MAX_PAGE_CHARS) -> str:
    if len(text) > most:
        raise TooMuchTextError
    return text


def _read_title(document: Any) -> str | None:
    try:
        return clean_text(str(document.get_metadata_value("Title"))[:MAX_TITLE_CHARS]) or None
    except (pypdfium2.PdfiumError, UnicodeDecodeError):
        return None


def _read_page(document: Any, index: int, note_reader: NoteReader) -> tuple[PageReading, Sequence[Note]]:
    """The page's cleaned text, where its words stand, and its notes; empty where PDFium cannot make sense of it."""
    try:
        page = document[index]
        try:
            text_page = page.get_textpage()
            try:
                found = _bound(str(text_page.get_text_range()))
                raw, places = order_text(text_page, found)
                raw, places = end_rows(text_page, raw, places)
                raw, places = join_torn(text_page, raw, places)
                raw, places = compose_accents(text_page, raw, places)
                text = clean_text(raw)
                layout = _read_layout(page, text_page, raw, text, places)
                parted, places = part_glued(text_page, raw, text, places, layout)
                if parted != raw:
                    text = clean_text(parted)
                    layout = _read_layout(page, text_page, parted, text, places)
                text, layout = order_columns(text, layout)
                return _judge(found, text, layout), note_reader.read_page(page, index + 1)
            finally:
                text_page.close()
        finally:
            page.close()
    except (pypdfium2.PdfiumError, UnicodeDecodeError):
        return _NOTHING, []


def _judge(raw: str, text: str, layout: Layout) -> PageReading:
    """The page with its text; without it where nothing of it can be read."""
    if not is_unmapped(raw):
        return PageReading(text, layout)
    if count_letters(text):
        return PageReading(text, layout, unread=UNMAPPED)
    return PageReading("", replace(layout, words=()), unread=UNMAPPED)


def _read_otherwise(fallback: "PypdfFallback", index: int, own: PageReading) -> PageReading:
    """The page as pypdf reads it; where that finds nothing either, as it is."""
    raw = _bound(fallback.read_page(index))
    found = _judge(raw, clean_text(raw), own.layout)
    return found if found.text else replace(own, unread=found.unread or own.unread)


def _read_layout(page: Any, text_page: Any, raw: str, text: str, places: Sequence[int] | None) -> Layout:
    try:
        return read_layout(page, text_page, raw, text, places)
    except pypdfium2.PdfiumError:
        return Layout(0, 0)


def _read_pictures(reader: PictureReader, document: Any, index: int, own: PageReading) -> PageReading:
    """The page with what its pictures say. One whose letters cannot be told is read as a picture, if that says more."""
    shown = own if own.unread is None else PageReading("", replace(own.layout, words=()))
    try:
        page = reader.complete(document, index, shown.text, shown.layout)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            os._exit(NO_RESOURCES)
        page = replace(shown, unread=OCR_BUDGET)  # what the PDF has made of this process is as large as it may be
    if own.unread is None or count_letters(page.text) >= count_letters(own.text):
        return page
    return replace(own, unread=page.unread or own.unread)


def _read_headline(document: Any, index: int) -> str:
    """The page's first lines in its largest print; empty when none is larger than most of the page."""
    try:
        text_page = document[index].get_textpage()
        lines: list[tuple[float, str]] = []
        line, heights = "", list[float]()
        for place in range(min(text_page.count_chars(), HEADLINE_CHARS)):
            char = chr(pdfium.FPDFText_GetUnicode(text_page, place))
            if char in "\r\n":
                lines += [(statistics.median(heights), line)] if heights else []
                line, heights = "", []
                continue
            line += char
            if not char.isspace():
                _, bottom, _, top = text_page.get_charbox(place, loose=True)
                heights.append(top - bottom)
        lines += [(statistics.median(heights), line)] if heights else []
    except (pypdfium2.PdfiumError, ValueError):  # of a character outside Unicode
        return ""
    named = [(height, line) for height, line in lines if sum(map(str.isalpha, line)) >= HEADLINE_LETTERS]
    if not named:
        return ""
    largest = max(height for height, _ in named)
    usual = statistics.median(height for height, line in lines for _ in line)
    if largest < HEADLINE_RATIO * usual:
        return ""
    following = dropwhile(lambda entry: entry[0] < largest * 0.97, named)
    headline = "\n".join(line for _, line in takewhile(lambda entry: entry[0] >= largest * 0.97, following))
    return clean_text(headline[:MAX_TITLE_CHARS])


class PypdfFallback:
    """pypdf, asked only about what PDFium cannot open or finds empty; it is 17 times slower."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Any = None
        self._broken = False

    def count_pages(self) -> int:
        """Return how many pages the file has; -1 when pypdf cannot make sense of it either."""
        return self._ask(lambda reader: len(reader.pages), -1)

    def read_page(self, index: int) -> str:
        """Return the page's text, or an empty one."""
        return self._ask(lambda reader: str(reader.pages[index].extract_text()), "")

    def _ask(self, question: Callable[[Any], T], otherwise: T) -> T:
        if self._broken:
            return otherwise
        import pypdf

        try:
            if self._reader is None:
                self._reader = pypdf.PdfReader(self._path)
            return question(self._reader)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - pypdf raises whatever a hostile file makes it stumble over
            self._broken = self._reader is None
            return otherwise


def _write_failure(code: str, detail: str, page: int | None = None) -> None:
    _write({"failure": {"code": code, "detail": detail, "page": page}})


def _write(message: dict[str, Any], content: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps({**message, "bytes": len(content)}).encode() + b"\n" + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    end_with_parent(int(sys.argv[3]))
    try:
        ocr = json.loads(sys.argv[4])
        recognized = sys.stdin.buffer.read()
        main(Path(sys.argv[1]), json.loads(sys.argv[2]), OcrOptions(**ocr) if ocr else None, recognized)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: what is cleaned up on the way out may need memory too
