"""Cuts pages into chunks: token-aware, along lines, never across pages, each a verbatim span of its page.

A page is a list of lines as they are printed. Lines are packed into a chunk until the next one would make it longer
than the target; a heading starts a new chunk once the current one has some size, so that it stays with the text below
it. The last lines of a chunk are repeated at the start of the next one, so that a fact that straddles the border is
whole in one of them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
MAX_CHUNKS = 20_000
"""Some 5,000 full pages. A small file may hold far more text: every page may draw the same stream."""

_NUMBERED_HEADING = re.compile(r"^(\d+(\.\d+)*\.?|[A-Z]\.|(chapter|section|part|appendix|item)\b)\s*\S", re.IGNORECASE)
_ENDS_LIKE_PROSE = re.compile(r"[.,;:!?…]['\"”’)\]]*$")
_HAS_VALUE = re.compile(r"\d.*\d|[€$£%]")


class TooManyChunksError(Exception):
    """The document is longer than is allowed."""


@dataclass(frozen=True)
class Page:
    """A page's number, counted from 1, and its cleaned text."""

    number: int
    text: str


@dataclass(frozen=True)
class Chunk:
    """A passage: `text` is `page.text[start:end]`; `section` is the heading above it, or empty."""

    chunk_id: int
    page: int
    start: int
    end: int
    text: str
    section: str


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str
    tokens: int
    heading: bool


def chunk_pages(
    pages: Sequence[Page], count_tokens: CountTokens, max_tokens: int, *, max_chunks: int = MAX_CHUNKS
) -> list[Chunk]:
    """All chunks of a document, in reading order. Raises TooManyChunksError on the page that brings too many.

    Parameters:
        count_tokens: word pieces of each text, without the model's special ones.
        max_tokens: the model's window. No chunk with its header line and the special tokens is longer.
    """
    limit = max_tokens - SPECIAL_TOKENS - HEADER_TOKENS
    if limit < 1:
        raise ValueError(f"a window of {max_tokens} tokens leaves no room for text")
    target = min(TARGET_TOKENS, limit)
    chunks: list[Chunk] = []
    section = ""
    for page in pages:
        lines = _split_lines(page.text, count_tokens, target)
        for group in _pack_lines(lines, target):
            # The first heading of a chunk is its section; without one, the last heading seen before it.
            own = next((line.text for line in group if line.heading), "")
            start, end = group[0].start, group[-1].end
            chunks.append(Chunk(len(chunks), page.number, start, end, page.text[start:end], own or section))
            section = next((line.text for line in reversed(group) if line.heading), section)
        if len(chunks) > max_chunks:
            raise TooManyChunksError
    return chunks


def make_header(title: str, section: str, count_tokens: CountTokens) -> str:
    """The line that is embedded before a chunk's text: `title › section`, at most HEADER_TOKENS long."""
    header = f"{title} › {section}" if section else title
    words = header.split()
    while words and count_tokens([" ".join(words)])[0] > HEADER_TOKENS:
        words.pop()
    return " ".join(words)


def _measure(texts: Sequence[str], count_tokens: CountTokens) -> list[int]:
    """What each text costs: its tokens, or more where these stand for too many characters."""
    counts = count_tokens(texts)
    return [max(count, len(text) // CHARS_PER_TOKEN) for text, count in zip(texts, counts, strict=True)]


def _split_lines(text: str, count_tokens: CountTokens, limit: int) -> list[_Line]:
    """The page's non-empty lines; one longer than the limit is cut between words, or inside a monstrous one."""
    spans = [(match.start(), match.end()) for match in re.finditer(r"[^\n]+", text)]
    counts = _measure([text[start:end] for start, end in spans], count_tokens)
    lines: list[_Line] = []
    for index, ((start, end), tokens) in enumerate(zip(spans, counts, strict=True)):
        following = text[spans[index + 1][0] : spans[index + 1][1]] if index + 1 < len(spans) else ""
        heading = _looks_like_heading(text[start:end], following)
        if tokens <= limit:
            lines.append(_Line(start, end, text[start:end], tokens, heading))
            continue
        for piece_start, piece_end, count in _cut_line(text, (start, end), count_tokens, limit):
            lines.append(_Line(piece_start, piece_end, text[piece_start:piece_end], count, heading=False))
    return lines


def _looks_like_heading(line: str, following: str) -> bool:
    """Short, starts like a title, does not end like a sentence and has something below it.

    A line with several digits or a currency is a table row. Wrong guesses cost little: a heading only decides where a
    chunk starts and what its header line says.
    """
    if not following or len(line) > 90 or _ENDS_LIKE_PROSE.search(line):
        return False
    if _NUMBERED_HEADING.match(line) and len(line.split()) <= 12 and line[-1:].isalpha():
        return True
    words = line.split()
    if not 1 <= len(words) <= 8 or not line[0].isupper() or _HAS_VALUE.search(line):
        return False
    return len(following) > 1.5 * len(line)


def _cut_line(
    text: str, span: tuple[int, int], count_tokens: CountTokens, limit: int
) -> Iterator[tuple[int, int, int]]:
    """Pieces (start, end, tokens) of a long line, each within the limit."""
    atoms = list(_split_atoms(text, span))
    counts = _measure([text[start:end] for start, end in atoms], count_tokens)
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
