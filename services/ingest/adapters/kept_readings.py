"""What tesseract has read of pages, as bytes that a later process goes on from: recognizing a page takes a second.

    for each page its number (from 0) and the length of a block (unsigned, 4 bytes each, little-endian), then the block:
    a zlib stream of JSON {"angle", "spent_s", "words": [[text, confidence, left, top, right, bottom, block, paragraph,
    line], …]}

Pages follow each other, so that parts can be put together. What cannot be read back counts as not there.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.ingest.adapters.ocr_text import OcrWord
from services.ingest.domain.pages import Box

_HEAD = struct.Struct("<II")
_MAX_BYTES = 64 * 1024 * 1024
"""Of one page's block when it is unpacked: some hundred times a page full of words."""


@dataclass(frozen=True)
class KeptReading:
    """The words of a page, the angle at which it was looked at, and the seconds that it took of the document's."""

    words: Sequence[OcrWord]
    angle: float
    spent_s: float


def dump_reading(index: int, reading: KeptReading) -> bytes:
    """Return a page's reading as bytes; pages are counted from 0."""
    words = [[word.text, word.confidence, *word.box, *word.line] for word in reading.words]
    body = json.dumps({"angle": reading.angle, "spent_s": reading.spent_s, "words": words}, separators=(",", ":"))
    block = zlib.compress(body.encode())
    return _HEAD.pack(index, len(block)) + block


def find_readings(content: bytes) -> dict[int, bytes]:
    """Return the blocks of pages by their numbers, up to where the bytes do not go on."""
    found: dict[int, bytes] = {}
    start = 0
    while start + _HEAD.size <= len(content):
        index, length = _HEAD.unpack_from(content, start)
        start += _HEAD.size + length
        if start <= len(content):
            found[index] = content[start - length : start]
    return found


def load_reading(block: bytes) -> KeptReading | None:
    """Return what a block says; None where it is damaged."""
    try:
        body = json.loads(zlib.decompressobj().decompress(block, _MAX_BYTES))
        words = [
            OcrWord(str(text), float(confidence), Box(left, top, right, bottom), (block, paragraph, line))
            for text, confidence, left, top, right, bottom, block, paragraph, line in body["words"]
        ]
        return KeptReading(words, float(body["angle"]), float(body["spent_s"]))
    except (zlib.error, ValueError, KeyError, TypeError):
        return None
