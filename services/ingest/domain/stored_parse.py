"""The stored parse: what was read of a PDF, as bytes, so that nobody has to read the PDF again.

    MAGIC, then for each page a block with its text and one with its layout, then the index, then the index's length
    (unsigned, 4 bytes). Each block, and the index, is a zlib stream of its own: whoever wants the boxes of one page
    reads that page alone, and whoever wants the texts no boxes.

    text     JSON {"text", "headings": [[start, end], …], "tables": [[start, body, end, [[start, end], …]], …]}, and
             where some of it was recognized "recognition": [[start, end], confidence in percent]
    layout   width and height of the page in points (doubles) and the number of boxes (unsigned, 4 bytes), then five
             columns of unsigned 16 bits: how many words further than the last box's, from its right edge to the left
             one, from its top to this one's (both modulo 65536), width, height; in units of `_find_unit`
    index    JSON {"title", "headline", "language", "unread": {code: [page, …]},
             "blocks": [[bytes of text, bytes of layout], …], "running": {page: [[start, end], …], …}}

All numbers are little-endian. What is read back is checked against bounds: a damaged or hostile one is a
DamagedParseError.
"""

import json
import re
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

from services.ingest.domain.pages import Box, Layout, Page, Recognition, Span, Table, WordBox
from services.ingest.domain.tables import MAX_TABLES
from services.ingest.domain.text import WORD
from services.ingest.domain.unread import DETAILS, Unread

PARSER_VERSION = "7"
"""Raised whenever the same PDF is to be read in another way than before, or this format changes: what is stored under
another version is not read, and chunks that count on it are made anew."""

MAX_PAGE_CHARS = 4_000_000
"""Of text on a page. The largest of 781 in real filings has 12,000; a hostile file may bring gigabytes."""
MAX_TEXT_CHARS = 40_000_000
"""Of all pages together: more than the most passages that are allowed by default can hold."""
MAX_PARSE_BYTES = 64 * 1024 * 1024
"""A stored parse: some 18,000 pages of real filings. A worker has it in memory twice while it reads a PDF."""
MAX_SIDE = 1_000_000.0
"""Points that a page may be wide or high; viewers end at 14,400."""

_MAGIC = b"PWPARSE\x01"
_COUNT = struct.Struct("<I")
_LAYOUT_HEAD = struct.Struct("<ddI")
_COLUMNS = 5
_BYTES_PER_CHAR = 8
"""Most that JSON takes for a character and its share of the headings."""
_BYTES_PER_TABLE = 512
"""Most that JSON takes for a table and the lines of its head."""
_MAX_INDEX_BYTES = 16 * 1024 * 1024
"""Of more pages than there are in any file, each with some running lines."""
_MAX_TEXT_BYTES = MAX_PAGE_CHARS * _BYTES_PER_CHAR + MAX_TABLES * _BYTES_PER_TABLE
_LEVEL = 6
_FINEST = 0.1
"""Points. Boxes are rounded to it, outwards."""
_STEPS = 0xFFFF
_HALF_PAIR = re.compile("[\ud800-\udfff]")


class DamagedParseError(Exception):
    """These bytes are not a stored parse as it was written."""


@dataclass(frozen=True)
class DocumentFacts:
    """What is known of a PDF as a whole.

    Attributes:
        title: what its metadata say.
        headline: the largest print of the first page with text, empty where nothing stands out.
        language: two letters (ISO 639-1); None where it cannot be told.
        unread: what of it was not read.
    """

    title: str | None = None
    headline: str = ""
    language: str | None = None
    unread: Unread = field(default_factory=dict)


class ParseWriter:
    """Makes a stored parse piece by piece: `begin`, `add_page` for each in order, `end`, one behind the other."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int]] = []

    def begin(self) -> bytes:
        """Return the first bytes."""
        return _MAGIC

    def add_page(
        self,
        text: str,
        headings: Sequence[Span],
        layout: Layout,
        recognition: Recognition | None = None,
        tables: Sequence[Table] = (),
    ) -> bytes:
        """Return the bytes of the next page."""
        rows = [(table.start, table.body, table.end, table.head) for table in tables]
        body: dict[str, Any] = {"text": text, "headings": headings, "tables": rows}
        if recognition is not None:
            body["recognition"] = [[recognition.start, recognition.end], round(recognition.confidence * 100)]
        text_block = _pack(_dump(body))
        layout_block = _pack(_dump_layout(layout, text))
        self._blocks.append((len(text_block), len(layout_block)))
        return text_block + layout_block

    def end(self, facts: DocumentFacts, running: Mapping[int, Sequence[Span]] | None = None) -> bytes:
        """Return the last bytes. `running`: the running heads and feet of each page that has any."""
        index = _pack(_dump({**vars(facts), "blocks": self._blocks, "running": running or {}}))
        return index + _COUNT.pack(len(index))


class StoredParse:
    """Reads a stored parse. All of it raises DamagedParseError where the bytes are not as they were written."""

    def __init__(
        self, content: bytes, facts: DocumentFacts, blocks: Sequence[tuple[Span, Span]], running: Mapping[str, Any]
    ) -> None:
        self._content = content
        self._blocks = blocks
        self._running = running
        self.facts = facts

    @classmethod
    def open(cls, content: bytes) -> Self:
        """Read the index."""
        with_index = len(content) - _COUNT.size
        if with_index < len(_MAGIC) or not content.startswith(_MAGIC):
            raise DamagedParseError("it does not begin as one")
        first = with_index - _COUNT.unpack_from(content, with_index)[0]
        if first < len(_MAGIC):
            raise DamagedParseError("its index is longer than all of it")
        index = _load(_unpack(content[first:with_index], _MAX_INDEX_BYTES))
        facts = DocumentFacts(
            title=None if index.get("title") is None else _check_text(index["title"]),
            headline=_check_text(index.get("headline")),
            language=None if index.get("language") is None else _check_text(index["language"]),
            unread=_check_unread(index.get("unread"), len(_check_list(index.get("blocks")))),
        )
        lengths = [_check_pair(pair, with_index) for pair in _check_list(index.get("blocks"))]
        ends = [len(_MAGIC)]
        for length in (length for pair in lengths for length in pair):
            ends.append(ends[-1] + length)
        if ends[-1] != first:
            raise DamagedParseError("its pages do not fill it")
        blocks = list(pairwise(ends))
        running = index.get("running")
        if not isinstance(running, dict):
            raise DamagedParseError("there are no running lines")
        return cls(content, facts, list(zip(blocks[::2], blocks[1::2], strict=True)), running)

    @property
    def page_count(self) -> int:
        """How many pages there are."""
        return len(self._blocks)

    def read_pages(self) -> Iterator[Page]:
        """Read every page's text, in order."""
        chars = 0
        for number in range(1, self.page_count + 1):
            page = self.read_page(number)
            chars += len(page.text)
            if chars > MAX_TEXT_CHARS:
                raise DamagedParseError("it has more text than is ever written")
            yield page

    def read_page(self, number: int) -> Page:
        """Read one page's text; pages are counted from 1."""
        span = self._blocks[number - 1][0]
        body = _load(_unpack(self._content[slice(*span)], _MAX_TEXT_BYTES))
        text = _check_text(body.get("text"))
        if len(text) > MAX_PAGE_CHARS:
            raise DamagedParseError("a page has more text than is ever written")
        headings = [_check_pair(pair, len(text)) for pair in _check_list(body.get("headings"))]
        tables = [_check_table(row, len(text)) for row in _check_list(body.get("tables"))]
        running = [_check_pair(pair, len(text)) for pair in _check_list(self._running.get(str(number), []))]
        return Page(number, text, headings, _load_recognition(body, len(text)), tables, running)

    def read_layout(self, number: int) -> Layout:
        """Read the boxes of one page's words; pages are counted from 1."""
        text = self.read_page(number).text
        span = self._blocks[number - 1][1]
        most = _LAYOUT_HEAD.size + 2 * _COLUMNS * 2 * (len(text) + 1)
        return _load_layout(_unpack(self._content[slice(*span)], most), text)


def _load_recognition(body: dict[str, Any], chars: int) -> Recognition | None:
    if "recognition" not in body:
        return None
    read = _check_list(body["recognition"])
    if len(read) != 2 or type(read[1]) is not int or not 0 <= read[1] <= 100:
        raise DamagedParseError("there is no share")
    return Recognition(*_check_pair(read[0], chars), read[1] / 100)


def _dump_layout(layout: Layout, text: str) -> bytes:
    """The layout as bytes; its boxes are rounded outwards."""
    steps = 1 / _find_unit(layout.width, layout.height)
    starts = [match.start() for match in WORD.finditer(text)]
    columns = tuple(array("H") for _ in range(_COLUMNS))
    add_step, add_left, add_top, add_width, add_height = (column.append for column in columns)
    number = before = right = top = 0
    for start, _, box in layout.words:
        while starts[number] != start:
            number += 1
        left, next_top = int(box.left * steps), int(box.top * steps)
        add_step(number - before)
        add_left((left - right) & _STEPS)
        add_top((next_top - top) & _STEPS)
        before, right, top = number, int(box.right * steps) + 1, next_top
        add_width(right - left)
        add_height(int(box.bottom * steps) + 1 - top)
    head = _LAYOUT_HEAD.pack(layout.width, layout.height, len(layout.words))
    return head + b"".join(_to_little_endian(column).tobytes() for column in columns)


def _load_layout(body: bytes, text: str) -> Layout:
    if len(body) < _LAYOUT_HEAD.size:
        raise DamagedParseError("a layout is too short")
    width, height, count = _LAYOUT_HEAD.unpack_from(body)
    if not (0 <= width <= MAX_SIDE and 0 <= height <= MAX_SIDE):
        raise DamagedParseError("a page has no such size")
    if len(body) != _LAYOUT_HEAD.size + 2 * _COLUMNS * count:
        raise DamagedParseError("a layout has another length than it says")
    values = array("H")
    values.frombytes(body[_LAYOUT_HEAD.size :])
    values = _to_little_endian(values)
    columns = [values[column * count : (column + 1) * count] for column in range(_COLUMNS)]
    spans: list[Span] = [match.span() for match in WORD.finditer(text)]
    unit = _find_unit(width, height)
    words: list[WordBox] = []
    number = right = top = 0
    for step, from_right, from_top, wide, high in zip(*columns, strict=True):
        number += step
        left, top = (right + from_right) & _STEPS, (top + from_top) & _STEPS
        right = left + wide
        if number >= len(spans) or right * unit > width + 1.5 * unit or (top + high) * unit > height + 1.5 * unit:
            raise DamagedParseError("a box is not on its page")
        box = Box(left * unit, top * unit, min(right * unit, width), min((top + high) * unit, height))
        start, end = spans[number]
        words.append(WordBox(start, end, box))
    return Layout(width, height, words)


def _find_unit(width: float, height: float) -> float:
    """Points per step of a box: the finest, or so many that the page's longer side has 65,534 steps."""
    return max(_FINEST, width / (_STEPS - 1), height / (_STEPS - 1))


def _to_little_endian(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _load(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DamagedParseError("a block is no JSON") from error
    if not isinstance(value, dict):
        raise DamagedParseError("a block is no object")
    return value


def _pack(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL)


def _unpack(block: bytes, max_bytes: int) -> bytes:
    """The content of a zlib stream that fills the block and unpacks to no more than so many bytes."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(block, max_bytes)
    except zlib.error as error:
        raise DamagedParseError("a block cannot be unpacked") from error
    if not unpacker.eof or unpacker.unused_data:
        raise DamagedParseError("a block is not as long as it says")
    return body


def _check_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DamagedParseError("there is no list")
    return value


def _check_pair(value: Any, most: int) -> Span:
    if not isinstance(value, list) or len(value) != 2 or not all(type(number) is int for number in value):
        raise DamagedParseError("there is no pair of numbers")
    if not all(0 <= number <= most for number in value):
        raise DamagedParseError("a number is out of bounds")
    return value[0], value[1]


def _check_unread(value: Any, page_count: int) -> Unread:
    if not isinstance(value, dict) or not DETAILS.keys() >= value.keys():
        raise DamagedParseError("there is no list of what was not read")
    for number in (number for pages in value.values() for number in _check_list(pages)):
        if type(number) is not int or not 1 <= number <= page_count:
            raise DamagedParseError("there is no such page")
    return value


def _check_table(value: Any, most: int) -> Table:
    if not isinstance(value, list) or len(value) != 4:
        raise DamagedParseError("there is no table")
    start, body = _check_pair(value[:2], most)
    _, end = _check_pair(value[1:3], most)
    if not start <= body <= end:
        raise DamagedParseError("a table ends before it begins")
    return Table(start, body, end, [_check_pair(pair, most) for pair in _check_list(value[3])])


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise DamagedParseError("there is no text")
    if not value.isascii() and _HALF_PAIR.search(value):
        raise DamagedParseError("a text cannot be encoded")
    return value
