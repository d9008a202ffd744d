"""Puts columns in order that a file prints row by row, so that each line of one would be followed by one of the other.

What tells them from a table are the sentences: lines that fill their column and go on in the next one. Where that is
not plain the text stays as it is, because a table's rows must stay rows.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.ingest.domain.pages import SAME_LINE, Box, Layout, WordBox, unite
from services.ingest.domain.right_to_left import is_mostly_right_to_left
from services.ingest.domain.text import HYPHENATED_PAGE

GUTTER = 0.8
"""Heights of a line that are free between two columns. Spaces of justified lines hardly ever are so wide."""
A_SPACE = 1.0
"""Times what is free at a gutter that the spaces of a row have; where most have more it is one of them."""
_BACK = 2.5
"""Heights of a line by which a word may begin before the end of the one before, as small raised figures do."""
MAX_COLUMNS = 6
"""Of a page; a hostile one may have thousands."""
MIN_PART = 2
"""Characters of a word before it is parted, its hyphen among them."""
MIN_ROWS = 5
"""Rows of two columns; with fewer it may be anything."""
ALTERNATING = 0.25
"""Share of a block's rows that have both columns: the last one may end early."""
MIN_WORDS = 3.5
"""Of a line of a column, on average; characters of scripts without spaces count as half a word."""
MIN_LETTERS = 0.8
"""Share of a column's characters, spaces apart."""
MIN_FILLED = 0.7
"""Of a column's width, by its lines in the middle."""
MIN_GOING_ON_ROWS = 3
"""Rows in which the right column begins so."""
MIN_GOING_ON = 0.2
"""Share of a column's lines that begin in the midst of a sentence, with a small letter. In prose it is 0.7 and more."""
BAND = 0.6
"""Heights of a row that more is free below it than usual, where one band of columns ends and another begins."""


@dataclass(frozen=True)
class _Piece:
    """A part of a line without a wide gap in it, with the numbers of its words among the layout's."""

    start: int
    end: int
    box: Box
    first_word: int
    behind_word: int


_Row = tuple[list[_Piece], list[_Piece]]
"""What stands left and right of a gutter in a row."""


def order_columns(text: str, layout: Layout) -> tuple[str, Layout]:
    """Return the text with columns one after the other where they are printed row by row, and the layout with it."""
    from_right = is_mostly_right_to_left(text)
    if not _may_have_columns(text, layout.words, from_right):
        return text, layout
    pieces = _cut_into_pieces(text, layout.words, from_right)
    ordered = _order(text, pieces, MAX_COLUMNS)
    if ordered == pieces:
        return text, layout
    return _write(text, layout, ordered)


def _may_have_columns(text: str, words: Sequence[WordBox], from_right: bool) -> bool:
    """Whether enough words, not figures, stand beyond the same free strip, and some of them go on with a sentence.

    It is asked of every page, and takes a tenth of a millisecond.
    """
    gaps: list[tuple[float, float]] = []
    going_on = 0
    for (start_before, _, before), (start, _, box) in pairwise(words):
        left, right = (box.right, before.left) if from_right else (before.right, box.left)
        if right - left <= GUTTER * (box.bottom - box.top) or box.top >= before.bottom or before.top >= box.bottom:
            continue
        if text[start].isalpha() and text[start_before].isalpha():
            gaps.append((left, right))
            going_on += not text[start].isupper()
    return going_on >= MIN_GOING_ON_ROWS and _find_most_free(gaps) is not None


def _cut_into_pieces(text: str, words: Sequence[WordBox], from_right: bool) -> list[_Piece]:
    """The parts of all lines in the order of the text; from the right they are mirrored, so that left comes first.

    Together they are the whole text: a word without a box belongs to the one before.
    """
    cuts: list[int] = []
    boxes: list[list[Box]] = []
    start_before, end_before, right = -1, 0, 0.0
    for number, (start, end, box) in enumerate(words):
        if start == start_before:
            continue  # the rest of a parted word: it is in the next line, and goes with this one
        if from_right:
            box = Box(-box.right, box.top, -box.left, box.bottom)
        height = box.bottom - box.top
        near = -_BACK * height < box.left - right < GUTTER * height
        if not near or not boxes or "\n" in text[end_before:start]:
            cuts.append(number)
            boxes.append([])
        boxes[-1].append(box)
        start_before, end_before, right = start, end, box.right
    starts = [0, *(words[cut].start for cut in cuts[1:])]
    ends = [*(_skip_spaces_back(text, start) for start in starts[1:]), len(text)]
    behind = [*cuts[1:], len(words)]
    return [
        _Piece(start, end, unite(part), first, last)
        for start, end, part, first, last in zip(starts, ends, boxes, cuts, behind, strict=True)
    ]


def _skip_spaces_back(text: str, end: int) -> int:
    while text[end - 1].isspace():
        end -= 1
    return end


def _order(text: str, pieces: Sequence[_Piece], columns: int) -> list[_Piece]:
    """The pieces with those of a left column before those of the ones right of it, wherever there are such."""
    gutter = _find_gutter(pieces) if columns > 1 else None
    if gutter is None:
        return list(pieces)
    ordered: list[_Piece] = []
    block: list[_Row] = []
    for row in _find_rows(pieces):
        if _crosses(row, gutter):
            ordered += [*_order_block(text, block, columns), *row]
            block = []
        else:
            left = [piece for piece in row if piece.box.right <= gutter]
            block.append((left, row[len(left) :]))
    return ordered + _order_block(text, block, columns)


def _find_rows(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces that follow each other and stand beside each other, from left to right."""
    row: list[_Piece] = []
    for piece in pieces:
        if row and not _are_beside(row[-1], piece):
            yield row
            row = []
        row.append(piece)
    yield row


def _crosses(row: Sequence[_Piece], gutter: float) -> bool:
    """Whether something stands across the gutter, or what is free there is a mere space, as wide as others there."""
    if any(piece.box.left < gutter < piece.box.right for piece in row):
        return True
    gaps = [(left.box.right, right.box.left) for left, right in pairwise(row)]
    spaces = sorted(right - left for left, right in gaps)
    usual = spaces[len(spaces) // 2] if len(spaces) >= MAX_COLUMNS else 0.0
    return any(left <= gutter < right and A_SPACE * (right - left) < usual for left, right in gaps)


def _find_gutter(pieces: Sequence[_Piece]) -> float | None:
    """Where the rows have most free space, if so many have any that there may be columns."""
    return _find_most_free(
        [(left.box.right, right.box.left) for left, right in pairwise(pieces) if _are_beside(left, right)]
    )


def _find_most_free(gaps: Sequence[tuple[float, float]]) -> float | None:
    """The place with most free space in gaps of rows, if there are enough."""
    if len(gaps) < MIN_ROWS:
        return None
    edges = sorted([(start, start - end, 1) for start, end in gaps] + [(end, end - start, -1) for start, end in gaps])
    free = most = best = 0.0
    rows = 0
    for (place, width, step), (behind, _, _) in pairwise(edges):
        rows += step
        free -= width
        if rows >= MIN_ROWS and free > most:
            most, best = free, (place + behind) / 2
    return best if most else None


def _are_beside(left: _Piece, right: _Piece) -> bool:
    """Whether a piece stands right of another, on the same row."""
    return left.box.right < right.box.left and _are_in_row(left.box, right.box)


def _are_in_row(box: Box, other: Box) -> bool:
    height = min(box.bottom - box.top, other.bottom - other.top)
    return min(box.bottom, other.bottom) - max(box.top, other.top) >= SAME_LINE * height


def _order_block(text: str, block: Sequence[_Row], columns: int) -> list[_Piece]:
    """What stands between two rows that cross the gutter."""
    lefts = [left for left, _ in block if left]
    rights = [right for _, right in block if right]
    rows = len(lefts) + len(rights) - len(block)
    if rows < MIN_ROWS or rows < ALTERNATING * len(block) or not _hold_prose(text, (lefts, rights), columns):
        return [piece for left, right in block for piece in (*left, *right)]
    ordered: list[_Piece] = []
    for band in _cut_into_bands(block):
        ordered += _order(text, [piece for left, _ in band for piece in left], columns - 1)
        ordered += _order(text, [piece for _, right in band for piece in right], columns - 1)
    return ordered


def _hold_prose(text: str, sides: Iterable[Sequence[Sequence[_Piece]]], columns: int) -> bool:
    """Whether each side of a gutter is a column of sentences, or has such columns itself.

    Of three columns two are one side. Where their lines do not stand beside each other, its lines are of any width.
    """
    return all(_is_prose(text, side) or _has_columns(text, side, columns - 1) for side in sides)


def _has_columns(text: str, side: Sequence[Sequence[_Piece]], columns: int) -> bool:
    gutter = _find_gutter([piece for line in side for piece in line]) if columns > 1 else None
    if gutter is None:
        return False
    lines = [line for line in side if not _crosses(line, gutter)]
    lefts = [[piece for piece in line if piece.box.right <= gutter] for line in lines]
    rights = [line[len(left) :] for line, left in zip(lines, lefts, strict=True)]
    parts = [[line for line in part if line] for part in (lefts, rights)]
    return all(parts) and _hold_prose(text, parts, columns)


def _is_prose(text: str, column: Sequence[Sequence[_Piece]]) -> bool:
    """Whether the lines of a column are those of sentences."""
    lines = [text[line[0].start : line[-1].end] for line in column]
    printed = "".join("".join(lines).split())
    words = sum(len(line.split()) + sum(map(_is_of_small_script, line)) / 2 for line in lines)
    widths = [line[-1].box.right - line[0].box.left for line in column]
    going_on = sum(line[0].islower() or _is_of_small_script(line[0]) for line in lines)
    return (
        words >= MIN_WORDS * len(lines)
        and sum(map(str.isalpha, printed)) >= MIN_LETTERS * len(printed)
        and statistics.median(widths) >= MIN_FILLED * max(widths)
        and going_on >= MIN_GOING_ON * len(lines)
    )


def _is_of_small_script(char: str) -> bool:
    """Whether it is a letter of a script that has no capitals."""
    return char >= "\u0590" and char.isalpha() and char.lower() == char.upper()


def _cut_into_bands(block: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """The rows of a block, parted where more than usual is free right across both columns, as between cells of text.

    Not where a column has free rows of its own: then both have paragraphs, and some end beside each other by chance.
    """
    boxes = [unite([piece.box for piece in (*left, *right)]) for left, right in block]
    free = [below.top - above.bottom for above, below in pairwise(boxes)]
    usual = statistics.median(free)
    ends = [gap - usual > BAND * (box.bottom - box.top) for gap, box in zip(free, boxes, strict=False)]
    whole = [bool(left and right) for left, right in block]
    if any(not whole[number] and whole[number + 1] and not end for number, end in enumerate(ends)):
        ends = []
    start = 0
    for number in (number for number, end in enumerate(ends, start=1) if end):
        yield block[start:number]
        start = number
    yield block[start:]


def _write(text: str, layout: Layout, pieces: Sequence[_Piece]) -> tuple[str, Layout]:
    """The text in the order of the pieces; between those that still follow each other it is as it was.

    A word that is parted between two lines is one again, with or without its hyphen, as `clean_text` has it.
    """
    parted = [_is_parted(text, layout, before, piece) for before, piece in pairwise(pieces)]
    hyphenated = sum(parted) >= HYPHENATED_PAGE
    written = ""
    words: list[WordBox] = []
    before: _Piece | None = None
    for piece, joins in zip(pieces, [False, *parted], strict=True):
        if joins:
            written = written.removesuffix("-") if hyphenated else written
        elif before is not None:
            written += text[before.end : piece.start] if before.behind_word == piece.first_word else "\n"
        shift = len(written) - piece.start
        moved = [WordBox(s + shift, e + shift, box) for s, e, box in layout.words[piece.first_word : piece.behind_word]]
        words = _join_words(words, moved) if joins else words + moved
        written += text[piece.start : piece.end]
        before = piece
    return written, Layout(layout.width, layout.height, words)


def _is_parted(text: str, layout: Layout, before: _Piece, piece: _Piece) -> bool:
    """Whether a word goes on from one piece in the next one, which has not followed it until now."""
    if before.behind_word == piece.first_word or text[before.end - 1] != "-":
        return False
    last, first = layout.words[before.behind_word - 1], layout.words[piece.first_word]
    if last.end != before.end or first.start != piece.start or last.end - last.start < MIN_PART:
        return False
    return text[before.end - 2].islower() and text[piece.start].islower()


def _join_words(words: list[WordBox], moved: list[WordBox]) -> list[WordBox]:
    """All of them; the last of the first ones and the first of the others are parts of one word, and have its span."""
    start, (second, end, _) = words[-1].start, moved[0]
    first = len(words)
    while first and words[first - 1].start == start:
        first -= 1
    words[first:] = [WordBox(start, end, word.box) for word in words[first:]]
    return words + [WordBox(start, end, word.box) if word.start == second else word for word in moved]
