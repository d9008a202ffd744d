"""Finds running heads and feet: lines that stand at the same place of several pages near each other.

Two lines are the same when they say the same, or when all that differs is the page's number. Looked at are the lines
at the top and at the bottom of a page, from its edge inwards, and only as long as they recur: a heading or the head of
a table that happens to recur below something else is none. Three pages make a running head, of which each is at most
two from the last, as on facing pages: fewer prove nothing.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from services.ingest.domain.pages import Layout, Span, Table
from services.ingest.domain.printed_lines import PrintedLine, list_printed_lines

MIN_PAGES = 3
MAX_PAGES_APART = 2
EDGE = 0.15
"""Share of the page's height at its top, and at its bottom, in which running lines stand."""
MAX_LINES = 3
"""That are left out at each edge: more is a form, which says something on each page."""
SAME_PLACE = 4.0
"""Points that a line may stand higher or lower than on the last page."""
MAX_CHARS = 300
"""Of a running line. The longest of 37 documents has 90."""

_NUMBER = re.compile(r"(?<![\d.,])\d{1,5}(?![\d.,]*\d)")
_BEFORE_PAGE_NUMBER = re.compile(
    r"(?:^|[|·•:–—-]|\b(?:page|seite|p\.|pg\.?|página|pagina|pág\.|pag\.|sida|side|strona|str\.|стр\.|[A-Z])\s*-?)\s*$",
    re.IGNORECASE,
)
_BEHIND_PAGE_NUMBER = re.compile(r"\s*(?:(?:of|von|de|di|av|z|из|/)\s*\d+\s*)?[-–—]?\s*(?:$|[|·•–—])", re.IGNORECASE)
_OF_ALL = re.compile(r"\s*(?:of|von|de|di|av|z|из|/)\s*\d+(?=\s|$)", re.IGNORECASE)
"""Behind a page's number, how many there are: `8 / 89`."""
_APART = 1.5
"""Heights of a line between a page's number and the rest of the line, where nothing else parts them."""


@dataclass(frozen=True)
class _Candidate:
    page: int
    place: float
    span: Span
    keys: tuple[int, ...]
    """One for what the line says, and one for each number in it that may be the page's."""


class RunningLineFinder:
    """Looks at a document's pages one after the other: `add_page` for each in order, then `find`."""

    def __init__(self) -> None:
        self._edges: dict[str, list[list[_Candidate]]] = {"top": [], "bottom": []}

    def add_page(self, number: int, text: str, layout: Layout, tables: Sequence[Table] = ()) -> None:
        """Look at a page; its number counts from 1. Rows and the heads of columns are no running lines."""
        lines = list_printed_lines(text, layout)
        heads = {span for table in tables for span in table.head}
        tops = sorted((line for line in lines if line.box.bottom < EDGE * layout.height), key=lambda line: line.box.top)
        feet = [line for line in lines if line.box.top > (1 - EDGE) * layout.height]
        feet.sort(key=lambda line: -line.box.bottom)
        for edge, chosen in (("top", tops), ("bottom", feet)):
            candidates = [
                _Candidate(
                    number,
                    line.box.top if edge == "top" else layout.height - line.box.bottom,
                    line.span,
                    () if _is_tabular(line, tables, heads) else tuple(map(hash, _make_keys(line, number))),
                )
                for line in chosen[:MAX_LINES]
            ]
            self._edges[edge].append(candidates)

    def find(self) -> Mapping[int, Sequence[Span]]:
        """Return the running lines of each page that has any, in the order of its text."""
        found: dict[int, list[Span]] = defaultdict(list)
        for pages in self._edges.values():
            recurring = {id(candidate) for candidate in _find_recurring([line for lines in pages for line in lines])}
            for lines in pages:
                for candidate in lines:
                    if id(candidate) not in recurring:
                        break
                    found[candidate.page].append(candidate.span)
        return {page: sorted(spans) for page, spans in found.items()}


def _is_tabular(line: PrintedLine, tables: Sequence[Table], heads: Set[Span]) -> bool:
    in_head = line.span in heads and line.has_columns
    return in_head or any(table.body <= line.start < table.end for table in tables)


def _find_recurring(candidates: Sequence[_Candidate]) -> Iterator[_Candidate]:
    by_key: dict[int, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        for key in candidate.keys:
            by_key[key].append(candidate)
    for same in by_key.values():
        runs: list[list[_Candidate]] = []
        for candidate in same:
            for run in runs:
                last = run[-1]
                if candidate.page - last.page <= MAX_PAGES_APART and abs(candidate.place - last.place) <= SAME_PLACE:
                    run.append(candidate)
                    break
            else:
                runs = [
                    run for run in runs if len(run) >= MIN_PAGES or candidate.page - run[-1].page <= MAX_PAGES_APART
                ]
                runs.append([candidate])
        for run in runs:
            if len({candidate.page for candidate in run}) >= MIN_PAGES:
                yield from run


def _make_keys(line: PrintedLine, page: int) -> Iterator[str]:
    text = " ".join(line.text.split()).casefold()[:MAX_CHARS]
    if any(map(str.isalpha, text)):
        yield text  # letters: a figure that recurs, such as the 0 of a table, proves nothing
    for match in _NUMBER.finditer(line.text, 0, MAX_CHARS):
        before, after = line.text[: match.start()], line.text[match.end() : MAX_CHARS]
        if _may_be_page_number(line, match, before, after):
            # What is printed counts from anywhere, but by one a page.
            yield f"{before}\0{int(match[0]) - page}\0{after}".casefold()


def _may_be_page_number(line: PrintedLine, match: "re.Match[str]", before: str, after: str) -> bool:
    """Whether a number stands alone in its line, or apart from the rest of it at one of its ends, or after `page`."""
    if _BEFORE_PAGE_NUMBER.search(before) and _BEHIND_PAGE_NUMBER.match(after):
        return True
    total = _OF_ALL.match(after)
    start, end = line.start + match.start(), line.start + match.end() + (total.end() if total else 0)
    left = [word.box.right for word in line.words if word.end <= start]
    right = [word.box.left for word in line.words if word.start >= end]
    own = [word.box for word in line.words if word.end > start and word.start < end]
    if not own or bool(left) == bool(right):
        return False
    return (own[0].left - left[-1] if left else right[0] - own[-1].right) > _APART * line.height
