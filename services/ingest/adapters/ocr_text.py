"""Makes a page's text and the boxes of its words of what tesseract writes as TSV.

Tesseract tells words by block, paragraph and line, and takes the columns of a table for blocks of their own: a row's
label comes at one place and its figures at others. Here the lines of such blocks are put together to rows again, as
the rest of the ingest expects them; columns of prose stay columns.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import atan2, degrees
from statistics import median

from services.ingest.domain.pages import Box, Layout, WordBox, unite
from services.ingest.domain.text import WORD, clean_text, find_raw_words

_COLUMNS = 12
_WORD_LEVEL = "5"
MIN_WORD_CONFIDENCE = 0.2
"""What tesseract is less sure of than that is mostly no text, but a logo or dirt."""
_PROSE_WORDS = 3.5
"""Words per line from which a block may be prose: tables mostly have one to three in a column."""
_FIGURES = 0.4
"""Share of a block's words that have a digit in them, from which on it is columns of figures, with their signs."""
_LINE_HEIGHTS = 4
"""How many usual lines a line of a row may be high: rules are read as letters as high as their table."""
_LINE_WORDS = 4
"""From which on a line says how the page is turned: in a short one tall letters count too much."""
_LINES = 3
_ROWS_AT_ONCE = 4
"""The last ones, of which one may go on: the lines of a row do not begin at quite the same height."""
_SAME_ROW = 0.5
"""Share of the lower line's height in which two lines have to meet to be of one row."""


@dataclass(frozen=True)
class OcrWord:
    """A word as it was recognized: `box` in pixels of the picture, `line` names block, paragraph and line."""

    text: str
    confidence: float
    box: Box
    line: tuple[int, int, int]


@dataclass(frozen=True)
class _Line:
    block: int
    box: Box
    words: list[OcrWord]


@dataclass(frozen=True)
class RecognizedText:
    """The text of a picture; `confidence` is the mean of its letters, 0 to 1, and 0 where there are none."""

    text: str
    layout: Layout
    confidence: float


def read_words(tsv: str) -> list[OcrWord]:
    """Return the words of tesseract's TSV, in its order."""
    words = []
    for row in tsv.splitlines():
        columns = row.split("\t", _COLUMNS - 1)
        if len(columns) < _COLUMNS or columns[0] != _WORD_LEVEL or not columns[11].strip():
            continue
        block, paragraph, line, _, left, top, width, height = map(int, columns[2:10])
        confidence = float(columns[10]) / 100
        if confidence >= MIN_WORD_CONFIDENCE:
            box = Box(left, top, left + width, top + height)
            words.append(OcrWord(columns[11].strip(), min(confidence, 1.0), box, (block, paragraph, line)))
    return words


def measure_confidence(words: Iterable[OcrWord]) -> float:
    """Return how sure tesseract is of the words, each by its length; 0 where there are none."""
    letters = sure = 0.0
    for word in words:
        letters += len(word.text)
        sure += len(word.text) * word.confidence
    return sure / letters if letters else 0.0


def measure_turn(words: Iterable[OcrWord]) -> float:
    """Return by how many degrees the lines fall to the right: the middle of all lines; 0 where there are too few."""
    turns = []
    for line in _split_lines(words).values():
        first, last = (_find_middle(word.box) for word in (line[0], line[-1]))
        if len(line) >= _LINE_WORDS:
            turns.append(degrees(atan2(last[1] - first[1], last[0] - first[0])))
    return median(turns) if len(turns) >= _LINES else 0.0


def _split_lines(words: Iterable[OcrWord]) -> dict[tuple[int, int, int], list[OcrWord]]:
    lines: dict[tuple[int, int, int], list[OcrWord]] = defaultdict(list)
    for word in words:
        lines[word.line].append(word)
    return lines


def _find_middle(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def make_text(words: Sequence[OcrWord], page: Layout, find_on_page: Callable[[Box], Box]) -> RecognizedText:
    """Return the cleaned text of a page, and where its words stand.

    Parameters:
        words: of the whole page.
        page: its size.
        find_on_page: from a box in the picture to that in points of the page.
    """
    raw = ""
    starts: list[int] = []
    printed: list[OcrWord] = []
    rows = list(_make_rows(words))
    for row, following in zip_longest(rows, rows[1:]):
        for place, word in enumerate(row):
            starts.append(len(raw))
            printed.append(word)
            raw += word.text + " " * (place < len(row) - 1)
        if _is_parted(row[-1].text) and following is not None and following[0].line[:2] == row[-1].line[:2]:
            raw = raw[:-1] + "\ufffe"  # as PDFium marks it, so that the cleaning decides
        raw += "\n"
    text = clean_text(raw)
    spans = [match.span() for match in WORD.finditer(text)]
    boxes = []
    for number, (first, behind) in find_raw_words(raw, text):
        touched = range(max(bisect_right(starts, first) - 1, 0), bisect_right(starts, behind - 1))
        box = find_on_page(unite([printed[index].box for index in touched]))
        if box.left < box.right and box.top < box.bottom:
            boxes.append(WordBox(*spans[number], box))
    return RecognizedText(text, replace(page, words=boxes), measure_confidence(words))


def _is_parted(word: str) -> bool:
    return len(word) > 1 and word[-1] == "-" and word[-2].isalnum()


def _make_rows(words: Sequence[OcrWord]) -> Iterator[list[OcrWord]]:
    """Lines as tesseract has them, but those of neighbouring columns of a table as one row, from top to bottom."""
    lines = [_Line(line[0].line[0], unite([word.box for word in line]), line) for line in _split_lines(words).values()]
    groups = _join_blocks(lines)
    for group in dict.fromkeys(groups.values()):
        members = [line for line in lines if groups[line.block] == group]
        if len({line.block for line in members}) == 1:
            yield from (line.words for line in members)
        else:
            yield from _merge_lines(members)


def _join_blocks(lines: Sequence[_Line]) -> dict[int, int]:
    """To which group each block belongs, by the number of the group's first.

    Blocks are of one where they stand side by side, and hold figures or nothing but short lines.
    """
    counts = Counter(line.block for line in lines)
    words = Counter(line.block for line in lines for _ in line.words)
    digits = Counter(line.block for line in lines for word in line.words if any(map(str.isdigit, word.text)))
    groups = {block: block for block in counts}
    short = {block for block in counts if words[block] / counts[block] < _PROSE_WORDS}
    figures = {block for block in counts if digits[block] / words[block] >= _FIGURES}
    by_top = sorted(_leave_out_rules(lines), key=lambda line: line.box.top)
    for place, line in enumerate(by_top):
        for other in by_top[place + 1 :]:
            if other.box.top >= line.box.bottom:
                break
            of_table = {line.block, other.block} <= short or line.block in figures or other.block in figures
            if of_table and groups[line.block] != groups[other.block] and _are_level(line.box, other.box):
                old, new = sorted((groups[line.block], groups[other.block]), reverse=True)
                groups = {block: new if group == old else group for block, group in groups.items()}
    return groups


def _leave_out_rules(lines: Sequence[_Line]) -> list[_Line]:
    """The lines that are about as high as most are."""
    highest = _LINE_HEIGHTS * median(line.box.bottom - line.box.top for line in lines) if lines else 0
    return [line for line in lines if line.box.bottom - line.box.top <= highest]


def _merge_lines(lines: Sequence[_Line]) -> Iterator[list[OcrWord]]:
    """Rows from top to bottom, each from left to right."""
    rows: list[tuple[Box, list[OcrWord]]] = []
    level = _leave_out_rules(lines)
    yield from (line.words for line in lines if line not in level)
    for line in sorted(level, key=lambda line: line.box.top):
        row = next((words for box, words in rows[-_ROWS_AT_ONCE:] if _are_level(box, line.box)), None)
        if row is None:
            rows.append((line.box, [*line.words]))
        else:
            row += line.words
    for _, row in rows:
        yield sorted(row, key=lambda word: word.box.left)


def _are_level(first: Box, second: Box) -> bool:
    height = min(first.bottom - first.top, second.bottom - second.top)
    return min(first.bottom, second.bottom) - max(first.top, second.top) >= _SAME_ROW * height
