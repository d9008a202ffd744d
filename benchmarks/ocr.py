"""What reading scans costs, and how much of them is right: `python -m benchmarks.ocr FOLDER --pages 20`.

Takes random pages of the PDFs in a folder (always the same ones), makes scans of them at several resolutions, has
tesseract read them as the ingest does, and compares that with the text that the PDFs have themselves:

    chars   share of the page's letters, figures and signs that were read, wherever they ended up
    words   the same of its words
    rows    share of the lines with two figures or more that are there as a line, label and all

CPU seconds are those of a page, the making of its picture included.
"""

import argparse
import io
import random
import re
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pypdfium2

from services.ingest.adapters.ocr import PictureReader
from services.ingest.adapters.ocr_engine import find_engine
from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.domain.pages import Layout
from services.ingest.domain.text import clean_text
from services.ingest.settings import IngestSettings

LEAST_CHARS = 200
"""Pages with less text say little."""
_FIGURE = re.compile(r"\d[\d,.]*")


@dataclass
class Score:
    """What was read, of what there was."""

    pages: int = 0
    cpu_s: float = 0.0
    chars: float = 0.0
    words: float = 0.0
    rows: int = 0
    all_rows: int = 0


def choose_pages(folder: Path, count: int) -> list[tuple[Path, int]]:
    """Random pages with text, as many of one file as of another; the same ones every time."""
    chosen = random.Random(5)
    files = sorted(folder.glob("*.pdf"))
    pages: list[tuple[Path, int]] = []
    while len(pages) < count:
        path = files[len(pages) % len(files)]
        document = pypdfium2.PdfDocument(path)
        index = chosen.randrange(len(document))
        if (path, index) not in pages and len(read_text(document, index)) >= LEAST_CHARS:
            pages.append((path, index))
        document.close()
    return pages


def read_text(document: Any, index: int) -> str:
    """The text that a page has of its own."""
    return clean_text(document[index].get_textpage().get_text_range())


def scan(document: Any, index: int, dpi: int) -> Any:
    """A PDF with a picture of the page and nothing else."""
    buffer = io.BytesIO()
    document[index].render(scale=dpi / 72, grayscale=True).to_pil().save(buffer, "PDF", resolution=dpi)
    return pypdfium2.PdfDocument(buffer.getvalue())


def measure_share(of: Counter[str], read: Counter[str]) -> float:
    """Return which share of all there is was read."""
    return (of & read).total() / of.total()


def list_rows(text: str) -> Iterator[str]:
    """Lines with two figures or more, without the signs and gaps of which there are different opinions."""
    for line in text.splitlines():
        if len(_FIGURE.findall(line)) >= 2:
            yield re.sub(r"[\s$.]", "", line)


def score_pages(pages: list[tuple[Path, int]], options: OcrOptions, scan_dpi: int) -> Score:
    """Read scans of these pages."""
    score = Score()
    for path, index in pages:
        document = pypdfium2.PdfDocument(path)
        text = read_text(document, index)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        read = PictureReader(options).complete(scan(document, index, scan_dpi), 0, "", Layout(0, 0)).text
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        document.close()
        rows = set(list_rows(read))
        score.pages += 1
        score.cpu_s += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        score.chars += measure_share(Counter("".join(text.split())), Counter("".join(read.split())))
        score.words += measure_share(Counter(text.split()), Counter(read.split()))
        for row in list_rows(text):
            score.all_rows += 1
            score.rows += row in rows
    return score


def main() -> None:
    """Print a line for each resolution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--scan-dpi", type=int, nargs="+", default=[150, 200, 300], help="of the scans")
    parser.add_argument("--ocr-dpi", type=int, nargs="+", default=[150, 200, 300], help="PAGEWIRE_OCR_DPI")
    arguments = parser.parse_args()
    engine = find_engine("on", "eng")
    assert engine is not None
    options = IngestSettings().make_ocr_options(engine)
    pages = choose_pages(arguments.folder, arguments.pages)
    print("| scan dpi | PAGEWIRE_OCR_DPI | CPU s a page | chars | words | rows |\n|--:|--:|--:|--:|--:|--:|")
    for scan_dpi in arguments.scan_dpi:
        for ocr_dpi in arguments.ocr_dpi:
            found = score_pages(pages, replace(options, dpi=ocr_dpi), scan_dpi)
            shares = f"{found.chars / found.pages:.1%} | {found.words / found.pages:.1%}"
            rows = f"{found.rows / max(found.all_rows, 1):.0%} of {found.all_rows}"
            print(f"| {scan_dpi} | {ocr_dpi} | {found.cpu_s / found.pages:.2f} | {shares} | {rows} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{len(pages)} pages; most memory of a process: {peak} MB")


if __name__ == "__main__":
    main()
