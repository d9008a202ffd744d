"""Reads pictures of pages with tesseract, inside the process that reads one PDF.

PDFium makes the picture in a fork of this process, and tesseract reads it from a pipe: both with limits of their own,
so that a page which costs too much, or crashes them, is a page that was not read and not the end of its document. They
stand back behind everything else on the machine, and the kernel ends them with this process.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from services.ingest.adapters.kept_readings import KeptReading, dump_reading, find_readings, load_reading
from services.ingest.adapters.ocr_options import WALL_PER_CPU, OcrOptions, make_command
from services.ingest.adapters.ocr_text import (
    OcrWord,
    RecognizedText,
    make_text,
    measure_confidence,
    measure_turn,
    read_words,
)
from services.ingest.adapters.page_pictures import find_pictures
from services.ingest.adapters.page_view import PageView
from services.ingest.adapters.pdf_failures import OUT_OF_MEMORY
from services.ingest.domain.pages import Box, Layout, Recognition, WordBox
from services.ingest.domain.stored_parse import MAX_SIDE
from services.ingest.domain.unread import OCR_BUDGET, OCR_EMPTY, OCR_FAILED
from shared.parent_process import end_with_parent

MIN_CONFIDENCE = 0.6
"""A page of which tesseract is less sure is looked at from its other sides, too."""
MAX_TURN = 0.7
"""Degrees that lines may fall or rise. At 3 tesseract has missed two fifths of a page's words."""
MAX_LOOKS = 4
"""At a page: as it is, set straight, stood on its other side, and set straight once more."""
AS_GOOD = 0.9
"""Share of what was read of a crooked picture that is to be found in the straight one, which has its lines in order."""
SCANT_CHARS = 200
"""A page with fewer may be a scan with a stamp, a number or the name of a scanner on it."""
FULL_PAGE = 0.5
"""Share of a page that its scan takes at least."""
MIN_PICTURE = 0.01
"""Share of a page from which on a picture is read; smaller ones are symbols."""
NO_TEXT_CONFIDENCE = 0.35
"""What it is less sure of than that is no text: a photograph, or dirt."""
NICENESS = 5
"""Lower priority than all else of ours: a page may wait, tokens may not."""
_BETWEEN = "\n\n"
"""Between a page's own text and that of its pictures."""


class PageNotReadError(Exception):
    """A page whose pictures could not be read; the document goes on without it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class PageReading:
    """What a page says, where its words stand, what of it was recognized in pictures, and the code for why not more."""

    text: str
    layout: Layout
    recognition: Recognition | None = None
    unread: str | None = None


class PictureReader:
    """Reads what the pages of one PDF say in pictures, and keeps account of what that costs.

    Parameters:
        kept: what an earlier process has read of pages (`kept_readings.py`); these are not read once more.
        tell: is called with each page that was read now, for a later process.
    """

    def __init__(self, options: OcrOptions, kept: bytes = b"", tell: Callable[[bytes], None] | None = None) -> None:
        self._options = options
        self._spent_s = 0.0
        self._kept = find_readings(kept)
        self._tell = tell or (lambda _: None)

    def complete(self, document: Any, index: int, text: str, layout: Layout) -> PageReading:
        """Return the page with this text of its own, and with what its pictures say where that is wanted.

        That is so where it has no text; where it has hardly any, such as a stamp, and a picture fills it; and where
        all pictures are to be read. Raises OSError where the machine has no processes or file descriptors left.
        """
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            return PageReading(text, layout, unread=None if text else OCR_FAILED)
        try:
            width, height = page.get_size()
            if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
                return PageReading(text, layout, unread=None if text else OCR_FAILED)
            if not text and _is_blank(page):
                return PageReading(text, layout, unread=OCR_EMPTY)
            pictures = self._choose_pictures(page, width, height, text)
            if text and not pictures:
                return PageReading(text, layout)
            words, view = self._recall_or_find_words(page, index, width, height)
            read = self._select(words, view, Layout(width, height), pictures, [word.box for word in layout.words])
        except PageNotReadError as error:
            return PageReading(text, layout, unread=None if text and error.code == OCR_EMPTY else error.code)
        finally:
            page.close()
        return _append(text, layout, read)

    def _choose_pictures(self, page: Any, width: float, height: float, text: str) -> list[Box]:
        """The pictures that are read beside the text of a page."""
        if not text or not (self._options.pictures or len(text) < SCANT_CHARS):
            return []
        least = (MIN_PICTURE if self._options.pictures else FULL_PAGE) * width * height
        pictures = find_pictures(page, width, height)
        return [box for box in pictures if (box.right - box.left) * (box.bottom - box.top) >= least]

    def _select(
        self, words: Sequence[OcrWord], view: PageView, size: Layout, pictures: Sequence[Box], known: Sequence[Box]
    ) -> RecognizedText:
        """What a page says, or only its pictures where there are some; words that are known are left out."""
        if pictures:
            words = [word for word in words if _is_new(view.find_on_page(word.box), pictures, known)]
        read = make_text(words, size, view.find_on_page)
        if not read.text or read.confidence < NO_TEXT_CONFIDENCE:
            raise PageNotReadError(OCR_EMPTY)
        return read

    def _recall_or_find_words(
        self, page: Any, index: int, width: float, height: float
    ) -> tuple[Sequence[OcrWord], PageView]:
        """The words of a page and how it was looked at, by an earlier process or now. Costs what it has cost once."""
        kept = load_reading(self._kept.pop(index, b""))
        if kept is not None:
            self._spent_s += kept.spent_s
            return kept.words, PageView(width, height, kept.angle, self._options.dpi)
        before = self._spent_s
        words, view = self._find_words(page, width, height)
        self._tell(dump_reading(index, KeptReading(words, view.angle, self._spent_s - before)))
        return words, view

    def _find_words(self, page: Any, width: float, height: float) -> tuple[list[OcrWord], PageView]:
        """The words of a page, and how it was looked at: it may lie on its side or its head, or be scanned askew."""
        view = PageView(width, height, 0.0, self._options.dpi)
        best: list[OcrWord] = []
        best_view, stood_on_head, crooked = view, False, False
        for _ in range(MAX_LOOKS):
            try:
                words = self._look(page, view)
            except PageNotReadError:
                if best:  # of a look before this one
                    break
                raise
            if _weigh(words) > _weigh(best) * (AS_GOOD if crooked else 1):
                best, best_view = words, view
            turn = measure_turn(words)
            crooked = abs(turn) > MAX_TURN
            if crooked:
                view = replace(view, angle=view.angle - turn)
            elif words and measure_confidence(words) < MIN_CONFIDENCE and not stood_on_head:
                view, stood_on_head = replace(view, angle=view.angle + 180), True
            else:
                break
        return best, best_view

    def _look(self, page: Any, view: PageView) -> list[OcrWord]:
        """What tesseract reads in a picture of the page; boxes in its pixels."""
        if self._spent_s >= self._options.document_s:
            raise PageNotReadError(OCR_BUDGET)
        began, cpu_before = time.monotonic(), _measure_children()
        try:
            return read_words(self._run(page, view))
        finally:
            elapsed_s = time.monotonic() - began
            self._spent_s += max(_measure_children() - cpu_before, elapsed_s / WALL_PER_CPU)

    def _run(self, page: Any, view: PageView) -> str:
        """Tesseract's TSV of a picture of the page, which comes through a pipe."""
        picture, into_picture = os.pipe()
        try:
            renderer = self._start_renderer(page, view, picture, into_picture)
        finally:
            os.close(into_picture)
        try:
            tsv, status = self._recognize(picture, view.dpi)
        except BaseException:
            os.kill(renderer, signal.SIGKILL)
            raise
        finally:
            os.close(picture)
            rendered = os.waitstatus_to_exitcode(os.waitpid(renderer, 0)[1])  # it ends with its pipe
        if -signal.SIGXCPU in (status, rendered) or rendered in (-signal.SIGABRT, -signal.SIGKILL, OUT_OF_MEMORY):
            raise PageNotReadError(OCR_BUDGET)
        if status or rendered:
            raise PageNotReadError(OCR_FAILED)
        return tsv.decode(errors="replace")

    def _recognize(self, picture: int, dpi: int) -> tuple[bytes, int]:
        """What tesseract says about the picture that comes from a pipe, and its exit status."""
        options = self._options
        how = ("--oem", "1", "--psm", "3", "--dpi", str(dpi), "-c", "tessedit_create_tsv=1")
        parent = os.getpid()
        engine = subprocess.Popen(  # noqa: S603 - the program is the operator's
            make_command(options.program, options.tessdata, "stdin", "stdout", "-l", options.languages, *how),
            stdin=picture,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_make_environment(),
            preexec_fn=lambda: self._confine(parent),
        )
        with engine:
            try:
                tsv, _ = engine.communicate(timeout=WALL_PER_CPU * options.page_s)
            except subprocess.TimeoutExpired:
                raise PageNotReadError(OCR_BUDGET) from None
            finally:
                engine.kill()
        return tsv, engine.returncode

    def _start_renderer(self, page: Any, view: PageView, picture: int, into_picture: int) -> int:
        """Fork a process that writes a picture of the page into a pipe, and return its number."""
        parent = os.getpid()
        renderer = os.fork()
        if renderer == 0:
            try:
                os.close(picture)  # or the pipe would stay open when nobody else reads from it any more
                self._confine(parent)
                with open(into_picture, "wb") as pipe:
                    view.write_picture(page, pipe)
            except MemoryError:
                os._exit(OUT_OF_MEMORY)
            except BaseException:  # noqa: BLE001 - nothing of this process may go on behind here
                os._exit(1)
            os._exit(0)
        return renderer

    def _confine(self, parent: int) -> None:
        """Give this process, forked from one that reads a PDF, the limits of one look at a page."""
        end_with_parent(parent)
        os.nice(NICENESS)
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        page_s = self._options.page_s if most == resource.RLIM_INFINITY else min(self._options.page_s, most)
        resource.setrlimit(resource.RLIMIT_CPU, (page_s, most))


def _is_blank(page: Any) -> bool:
    """Whether there is nothing on a page that a picture could show; making one and reading it takes 0.7 CPU seconds."""
    return not pdfium.FPDFPage_CountObjects(page.raw) and not pdfium.FPDFPage_GetAnnotCount(page.raw)


def _is_new(box: Box, pictures: Sequence[Box], known: Sequence[Box]) -> bool:
    """Whether the middle of a box is in a picture, and in none of the boxes that are known."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2

    def holds(other: Box) -> bool:
        return other.left <= x <= other.right and other.top <= y <= other.bottom

    return any(map(holds, pictures)) and not any(map(holds, known))


def _append(text: str, layout: Layout, read: RecognizedText) -> PageReading:
    """A page with what was recognized behind its own text."""
    if not text:
        return PageReading(read.text, read.layout, Recognition(0, len(read.text), read.confidence))
    start = len(text) + len(_BETWEEN)
    words = [WordBox(first + start, end + start, box) for first, end, box in read.layout.words]
    whole = replace(read.layout, words=[*layout.words, *words])
    recognition = Recognition(start, start + len(read.text), read.confidence)
    return PageReading(text + _BETWEEN + read.text, whole, recognition)


def _weigh(words: Iterable[OcrWord]) -> float:
    """How much was read, and how surely."""
    return sum(len(word.text) * word.confidence for word in words)


def _measure_children() -> float:
    """CPU seconds of all processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _make_environment() -> dict[str, str]:
    """Builds with OpenMP are slower with more threads than one, and some find their libraries by this path alone."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"OMP_THREAD_LIMIT": "1"} | kept
