"""Reads every PDF of a folder as the ingest does, however broken: `python -m benchmarks.hostile_pdfs FOLDER`.

Each is to end as pages or as a failure with a code; prints how many ended how, and ends with status 1 when one did
neither. `../shared/data/hostile` has 160 broken, odd, encrypted and fuzzed ones of other projects; the unit tests make
their own (tests/hostile_pdfs.py).
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.stored_parse import StoredParse
from services.ingest.ports import UnreadablePdfError

LIMITS = ParseLimits(memory_mb=1024, cpu_s=20, wall_s=60, max_pages=2000)
AT_ONCE = 2


async def read_all(paths: Iterable[Path], limits: ParseLimits = LIMITS) -> Counter[str]:
    """How many files ended as `pages`, and how many with which failure's code. Raise what is neither."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def read(path: Path) -> str:
        async with gate:
            try:
                *_, content = [message async for message in ProcessPdfParser(limits).parse(path)]
                parse = StoredParse.open(content if isinstance(content, bytes) else b"")
                pages = [parse.read_layout(page.number) for page in parse.read_pages()]
            except UnreadablePdfError as error:
                return error.failure.code
            if len(pages) != parse.page_count:
                raise AssertionError(f"{path.name}: what was read of it cannot be read back")
            return "pages"

    return Counter(await asyncio.gather(*map(read, paths)))


def main() -> None:
    """Read a folder's files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    outcomes = asyncio.run(read_all(sorted(parser.parse_args().folder.glob("*.pdf"))))
    for outcome, count in outcomes.most_common():
        print(f"{count:5} {outcome}")


if __name__ == "__main__":
    main()
