"""Cuts pages into chunks: token-aware, along lines, never across pages, each a verbatim span of its page.

A page is a list of lines as they are printed. Lines are packed into a chunk until the next one would make it longer
than the target; a heading starts a new chunk once the current one has some size, so that it stays with the text below
it, and so does a table that fits into one. The last lines of a chunk are repeated at the start of the next one, so that
a fact that straddles the border is whole in one of them.

What is searched of a chunk is not quite its text: a part of a table has the table's head before it, and running heads
and feet are left out, and so are the dots that lead from a heading to its page. Passages of a table of contents would
else hold three lines of it and hundreds of dots, and be found before the text that they point at.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.ingest.domain.pages import Page, Span, Table
from services.ingest.domain.table_heads import TableHeads
from services.ingest.domain.text import leave_out_leaders
from shared.languages import find_language

CountTokens = Callable[[Sequence[str]], list[int]]

TARGET_TOKENS = 180
"""Chunks of 200 to 400 tokens did best in public comparisons; MiniLM was trained on 128 and reads 256 at most."""
OVERLAP_TOKENS = 30
"""About one or two lines."""
CHARS_PER_TOKEN = 10
"""Most that count as one token. A tokenizer takes a word of any length that it does not know for a single one."""
SPECIAL_TOKENS = 2
"""The model's own start and end marks."""
HEADER_TOKENS = 32
"""Most that the header line may take of the model's window."""
TABLE_HEAD_TOKENS = 40
"""Most that a table's head may take of it: the caption and three or four columns with their periods."""
MEASURED_AT_ONCE = 1000
"""Lines or words per call of the tokenizer: 1.8 million characters at most, and hardly ever more than a page's."""
MAX_CHUNKS = 20_000
"""Some 5,000 full pages. A small file may hold far more text: every page may draw the same stream."""


class TooManyChunksError(Exception):
    """The document is longer than is allowed."""


@dataclass(frozen=True)
class Chunk:
    """A passage.

    Attributes:
        text: `page.text[start:end]`.
        section: the heading above it, or empty.
        table_head: the heads of the columns of a table that began before this chunk, one line; or empty.
        searched: the text without the running heads and feet in it, and without rows of dots.
        ocr_confidence: 0 to 1, says that some of it was recognized in pictures, and how surely; None: none of it was.
        language: what the text is in (ISO 639-1) or, where it does not tell, the document.
    """

    chunk_id: int
    page: int
    start: int
    end: int
    text: str
    section: str
    table_head: str
    searched: str
    ocr_confidence: float | None = None
    language: str | None = None


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str
    tokens: int
    heading: bool
    table_tokens: int = 0
    """Of the table that begins with this line."""


def chunk_pages(
    pages: Sequence[Page],
    count_tokens: CountTokens,
    max_tokens: int,
    *,
    language: str | None = None,
    max_chunks: int = MAX_CHUNKS,
) -> list[Chunk]:
    """All chunks of a document, in reading order. Raises TooManyChunksError on the page that brings too many.

    Parameters:
        count_tokens: word pieces of each text, without the model's special ones.
        max_tokens: the model's window. No chunk with its header line and the special tokens is longer.
        language: of the document.
    """
    limit = max_tokens - SPECIAL_TOKENS - HEADER_TOKENS
    if limit < 1:
        raise ValueError(f"a window of {max_tokens} tokens leaves no room for text")
    target = min(TARGET_TOKENS, max(limit - TABLE_HEAD_TOKENS, (limit + 1) // 2))
    chunks: list[Chunk] = []
    section = ""
    seen: set[str] = set()
    heads = TableHeads(count_tokens, limit - target)
    for page in pages:
        running = [span for span in page.running if not _is_first(page.text[slice(*span)], seen)]
        heads.turn_page(page, running)
        lines = _split_lines(page, running, count_tokens, target)
        for group in _pack_lines(lines, target):
            # The first heading of a chunk is its section; without one, the last heading seen before it.
            own = next((line.text for line in group if line.heading), "")
            start, end = group[0].start, group[-1].end
            text, confidence = page.text[start:end], _find_confidence(page, start, end)
            searched = leave_out_leaders(_leave_out(page.text, (start, end), running))
            head = heads.find(start, end)
            spoken = find_language(searched) or language
            chunks.append(
                Chunk(len(chunks), page.number, start, end, text, own or section, head, searched, confidence, spoken)
            )
            section = next((line.text for line in reversed(group) if line.heading), section)
        if len(chunks) > max_chunks:
            raise TooManyChunksError
    return chunks


def _find_confidence(page: Page, start: int, end: int) -> float | None:
    """How sure the recognized text is that a passage has; None where it has none."""
    read = page.recognition
    return read.confidence if read is not None and start < read.end and read.start < end else None


def _is_first(text: str, seen: set[str]) -> bool:
    """Whether a running line is the first that says this: what it says is to be found, once."""
    key = re.sub(r"\d+", "#", text.casefold())
    first = key not in seen
    seen.add(key)
    return first


def _leave_out(text: str, span: Span, running: Sequence[Span]) -> str:
    """The part of a text without the running lines in it."""
    start, end = span
    parts = []
    for first, behind in running:
        if start <= first and behind <= end:
            parts.append(text[start:first].rstrip("\n"))
            start = behind
    return "".join([*parts, text[start:end]])


def make_embedded_text(title: str, chunk: Chunk, count_tokens: CountTokens) -> str:
    """Return what stands for a chunk in the index: its header line, the head of its table, and its text."""
    header = make_header(title, chunk.section, count_tokens)
    return "\n".join((header, chunk.table_head, chunk.searched) if chunk.table_head else (header, chunk.searched))


def make_header(title: str, section: str, count_tokens: CountTokens) -> str:
    """The line that is embedded before a chunk's text: `title › section`, at most HEADER_TOKENS long."""
    header = f"{title} › {section}" if section else title
    words = header.split()
    while words and count_tokens([" ".join(words)])[0] > HEADER_TOKENS:
        words.pop()
    return " ".join(words)


def _measure(text: str, spans: Sequence[Span], count_tokens: CountTokens, limit: int) -> list[int]:
    """What each part of a text costs: its tokens, or more where these stand for too many characters.

    A part that is over the limit by its length alone is not given to the tokenizer, and the others in batches: it takes
    some 240 times the memory of what it is given, and one page of a hostile file may hold megabytes.
    """
    costs = [(end - start) // CHARS_PER_TOKEN for start, end in spans]
    short = [index for index, cost in enumerate(costs) if cost <= limit]
    for first in range(0, len(short), MEASURED_AT_ONCE):
        batch = short[first : first + MEASURED_AT_ONCE]
        counts = count_tokens([leave_out_leaders(text[slice(*spans[index])]) for index in batch])
        for index, count in zip(batch, counts, strict=True):
            costs[index] = max(costs[index], count)
    return costs


def _split_lines(page: Page, running: Sequence[Span], count_tokens: CountTokens, limit: int) -> list[_Line]:
    """The page's non-empty lines without its running ones; one longer than the limit is cut between words, or inside a
    monstrous one."""
    text, headings = page.text, set(page.headings).difference(page.running)
    left_out = set(running)
    spans = [span for match in re.finditer(r"[^\n]+", text) if (span := match.span()) not in left_out]
    lines: list[_Line] = []
    for span, tokens in zip(spans, _measure(text, spans, count_tokens, limit), strict=True):
        if tokens <= limit:
            lines.append(_Line(*span, text[slice(*span)], tokens, span in headings))
            continue
        for start, end, count in _cut_line(text, span, count_tokens, limit):
            lines.append(_Line(start, end, text[start:end], count, heading=False))
    return _mark_tables(lines, page.tables)


def _mark_tables(lines: list[_Line], tables: Sequence[Table]) -> list[_Line]:
    """The same lines; the first of each table knows how long the table is."""
    starts = [line.start for line in lines]
    for table in tables:
        first, behind = bisect_left(starts, table.start), bisect_left(starts, table.end)
        if first < behind:
            lines[first] = replace(lines[first], table_tokens=sum(line.tokens for line in lines[first:behind]))
    return lines


def _cut_line(
    text: str, span: tuple[int, int], count_tokens: CountTokens, limit: int
) -> Iterator[tuple[int, int, int]]:
    """Pieces (start, end, tokens) of a long line, each within the limit."""
    atoms = list(_split_atoms(text, span))
    counts = _measure(text, atoms, count_tokens, limit)
    start, total = span[0], 0
    end = start
    for (atom_start, atom_end), count in zip(atoms, counts, strict=True):
        if total and total + count > limit:
            yield start, end, total
            start, total = atom_start, 0
        total += count
        end = atom_end
    if total or end > start:
        yield start, end, total


def _split_atoms(text: str, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Words; those without any space in sight are cut every 40 characters (a word piece has at least one)."""
    for match in re.compile(r"\S+").finditer(text, *span):
        for start in range(match.start(), match.end(), 40):
            yield start, min(start + 40, match.end())


def _pack_lines(lines: Sequence[_Line], target: int) -> Iterator[list[_Line]]:
    """Groups of consecutive lines, each within the target; a group's tail may be repeated in the next one."""
    group: list[_Line] = []
    total = 0
    for line in lines:
        full = total + line.tokens > target
        if line.table_tokens and total > target // 3:  # else what is cut off before it is hardly a passage
            full = full or total + line.table_tokens > target
        new_section = line.heading and total > target // 2
        if group and (full or new_section):
            yield group
            group = _pick_overlap(group, target - line.tokens) if full and not new_section else []
            total = sum(kept.tokens for kept in group)
        group.append(line)
        total += line.tokens
    if group:
        yield group


def _pick_overlap(group: Sequence[_Line], room: int) -> list[_Line]:
    """The last lines of a group, up to OVERLAP_TOKENS and what the next line leaves free; never the whole group."""
    kept: list[_Line] = []
    total = 0
    for line in reversed(group[1:]):
        total += line.tokens
        if total > min(OVERLAP_TOKENS, room) or line.heading:
            break
        kept.insert(0, line)
    return kept
