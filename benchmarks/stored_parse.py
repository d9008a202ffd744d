"""Measures the stored parse on the PDFs of a folder: `python -m benchmarks.stored_parse FOLDER`.

Prints, side by side from one run: pages per second of CPU of the reader and of pypdf; bytes a page, and their share of
the PDFs; milliseconds a page to write a stored parse, and to read back its texts and its boxes; and how often the words
that PDFium finds in the boxes of a span are the words of the span, for random spans of one to forty words.
"""

import argparse
import asyncio
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.pages import Box, boxes_of_span
from services.ingest.domain.stored_parse import ParseWriter, StoredParse
from services.ingest.domain.text import WORD, clean_text

LIMITS = ParseLimits(memory_mb=2048, cpu_s=300, wall_s=600, max_pages=5000)
PYPDF_PAGES = 10
"""Of each file: pypdf takes a tenth of a second for one."""
SPANS_A_PAGE = 20
WORDS_A_SPAN = 40
INSET = 0.2
"""Points: boxes are rounded outwards by a tenth, and PDFium takes whatever they touch."""


async def parse(path: Path) -> bytes:
    """The stored parse of a file, as the worker gets it."""
    *_, content = [message async for message in ProcessPdfParser(LIMITS).parse(path)]
    if not isinstance(content, bytes):
        raise TypeError("the last message is the stored parse")
    return content


@contextmanager
def measured(spent: dict[str, float], name: str, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Add the CPU seconds of a block to what was spent on something."""
    before = clock()
    yield
    spent[name] = spent.get(name, 0.0) + clock() - before


def read_childrens_clock() -> float:
    """CPU seconds of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_with_pypdf(path: Path) -> int:
    """Read some pages from all over the file; return how many."""
    every = pypdf.PdfReader(path).pages
    pages = every[:: max(1, len(every) // PYPDF_PAGES)]
    for page in pages:
        page.extract_text()
    return len(pages)


def write_anew(parse: StoredParse) -> None:
    """Write what was read once more."""
    writer = ParseWriter()
    pages = [(page, parse.read_layout(page.number)) for page in parse.read_pages()]
    with measured(SPENT, "write"):
        for page, layout in pages:
            writer.add_page(page.text, page.headings, layout)
        writer.end(parse.facts)


def check_spans(path: Path, parse: StoredParse, chance: random.Random) -> Sequence[bool]:
    """Whether PDFium finds in the boxes of random spans what the spans say. Pages that are turned are left out."""
    found = []
    document = pypdfium2.PdfDocument(path)
    for page in parse.read_pages():
        printed = document[page.number - 1]
        words = [match.span() for match in WORD.finditer(page.text)]
        if not words or printed.get_rotation() != 0:
            continue
        layout, text_page = parse.read_layout(page.number), printed.get_textpage()
        for _ in range(SPANS_A_PAGE):
            first = chance.randrange(len(words))
            last = min(first + chance.randrange(WORDS_A_SPAN), len(words) - 1)
            start, end = words[first][0], words[last][1]
            inside = [read_inside(printed, text_page, box) for box in boxes_of_span(layout, start, end)]
            found.append(flatten(" ".join(inside)) == flatten(page.text[start:end]))
        text_page.close()
        printed.close()
    return found


def read_inside(page: Any, text_page: Any, box: Box) -> str:
    """What PDFium reads in a box."""
    west, _, _, north = page.get_bbox()
    beside, above = (min(INSET, size / 4) for size in (box.right - box.left, box.bottom - box.top))  # dashes are thin
    text: str = text_page.get_text_bounded(
        west + box.left + beside, north - box.bottom + above, west + box.right - beside, north - box.top - above
    )
    return clean_text(text)


def flatten(text: str) -> str:
    """The text without spaces and hyphens: they are guesses of PDFium's, and no print."""
    return "".join(text.split()).replace("-", "")


SPENT: dict[str, float] = {}


def main() -> None:
    """Measure a folder's files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.glob("*.pdf"))
    chance = random.Random(20251130)
    pages = pypdf_pages = size = stored = 0
    found: list[bool] = []
    for path in paths:
        with measured(SPENT, "parse", read_childrens_clock):
            content = asyncio.run(parse(path))
        with measured(SPENT, "pypdf"):
            pypdf_pages += read_with_pypdf(path)
        read = StoredParse.open(content)
        pages, size, stored = pages + read.page_count, size + path.stat().st_size, stored + len(content)
        with measured(SPENT, "texts"):
            list(StoredParse.open(content).read_pages())
        with measured(SPENT, "boxes"):
            for number in range(1, read.page_count + 1):
                read.read_layout(number)
        write_anew(read)
        found += check_spans(path, read, chance)
    print(f"{len(paths)} files, {pages} pages")
    print(f"parse          {pages / SPENT['parse']:7.1f} pages per CPU second, the start of each process included")
    print(f"pypdf          {pypdf_pages / SPENT['pypdf']:7.1f} pages per CPU second")
    print(f"stored         {stored / pages:7.0f} bytes a page, {stored / size:.1%} of the PDFs")
    for name, what in (("write", "write"), ("texts", "read texts"), ("boxes", "read boxes")):
        print(f"{what:14} {1000 * SPENT[name] / pages:7.2f} ms a page")
    print(f"boxes of spans {sum(found) / len(found):7.2%} of {len(found)} hold the words of their span and no others")


if __name__ == "__main__":
    main()
