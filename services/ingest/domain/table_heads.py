"""Says what the columns are of a table's part whose head stands in another chunk, or on the page before."""

from collections.abc import Callable, Sequence

from services.ingest.domain.pages import Page, Span, Table

MAX_LINES_BEFORE = 3
"""Lines of a page above a table that goes on from the last page: `(continued)`, or a heading of rows."""


class TableHeads:
    """The heads of a document's tables: `turn_page` for each page in order, then `find` for each of its chunks.

    Parameters:
        count_tokens: word pieces of each text.
        max_tokens: of a head; a longer one loses its caption first, then its last words.
    """

    def __init__(self, count_tokens: Callable[[Sequence[str]], list[int]], max_tokens: int) -> None:
        self._count_tokens = count_tokens
        self._max_tokens = max_tokens
        self._page = Page(0, "")
        self._running: set[Span] = set()
        self._above = ""
        """The head of the table with which the last page ended."""
        self._continued: Table | None = None
        """The table with which this page begins, where it has no head."""

    def turn_page(self, page: Page, running: Sequence[Span]) -> None:
        """Go on to a page whose running lines are these."""
        last = self._page
        table = last.tables[-1] if last.tables else None
        ended = table is not None and not _count_lines(last.text[table.end :], table.end, self._running)
        above = self._read(table, last) if table and ended else ""
        if above or not ended:
            self._above = above
        self._page, self._running = page, set(running)
        first = page.tables[0] if page.tables else None
        self._continued = None
        if self._above and first and not first.head:
            before = _count_lines(page.text[: first.start], 0, self._running)
            self._continued = first if before <= MAX_LINES_BEFORE else None

    def find(self, start: int, end: int) -> str:
        """Return the heads, in one line, of all tables with rows in this span of the page whose heads are not in it."""
        lines: dict[str, None] = {}
        for table in self._page.tables:
            if table.body >= end or table.end <= start:
                continue
            if table is self._continued:
                lines[self._above] = None
            for first, behind in table.head:
                if (first < start or behind > end) and (first, behind) not in self._running:
                    lines[self._page.text[first:behind]] = None
        return self._shorten(list(lines))

    def _read(self, table: Table, page: Page) -> str:
        if table is self._continued:
            return self._above
        return self._shorten([page.text[slice(*span)] for span in table.head if span not in self._running])

    def _shorten(self, lines: list[str]) -> str:
        while len(lines) > 1 and self._count(" ".join(lines)) > self._max_tokens:
            lines.pop(0)
        words = " ".join(lines).split()[: self._max_tokens]
        while words and self._count(" ".join(words)) > self._max_tokens:
            words.pop()
        return " ".join(words)

    def _count(self, text: str) -> int:
        return self._count_tokens([text])[0]


def _count_lines(part: str, offset: int, running: set[Span]) -> int:
    """How many lines a part of a page has, its running ones not counted."""
    count = 0
    for line in part.split("\n"):
        count += bool(line.strip()) and (offset, offset + len(line)) not in running
        offset += len(line) + 1
    return count
