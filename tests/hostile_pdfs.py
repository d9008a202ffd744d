"""PDFs that are broken in the ways of files from the wild and of fuzzers: cut, damaged, contradictory, circular."""

import random
import re
from collections.abc import Iterator

from tests.pdfs import make_pdf
from tests.standalone_process import ROOT

SAMPLE = ROOT / "samples" / "meridian-field-guide.pdf"
_KEYWORDS = (
    b"endobj",
    b"endstream",
    b"xref",
    b"trailer",
    b"startxref",
    b"/Kids",
    b"/Type",
    b"/Length",
    b"/Root",
    b"ET",
)


def make_hostile_pdfs() -> Iterator[tuple[str, bytes]]:
    """Name and content of each; the same ones each time."""
    chance = random.Random(20251128)
    originals = {"text": make_pdf(["some text", "more text", ""]), "guide": SAMPLE.read_bytes()}
    for name, content in originals.items():
        for damage in (_replace_bytes, _leave_bytes_out, _cut_off, _point_elsewhere, _repeat_a_part):
            for number in range(4):
                yield f"{name}-{damage.__name__.strip('_')}-{number}", damage(content, chance)
        for keyword in _KEYWORDS:
            yield f"{name}-without-{keyword.decode().strip('/')}", content.replace(keyword, b"x" * len(keyword))
    for name, text in _HAND_MADE.items():
        yield name, text
    yield "password", make_pdf(["secret"], password="sesame")
    yield "half-encrypted", _cut_off(make_pdf(["secret"], password="sesame"), chance)


def _replace_bytes(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(20):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def _leave_bytes_out(content: bytes, chance: random.Random) -> bytes:
    first = chance.randrange(len(content))
    return content[:first] + content[first + chance.randrange(1, 500) :]


def _cut_off(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _point_elsewhere(content: bytes, chance: random.Random) -> bytes:
    """A third of the references name another object: parents that are their own children, fonts that are pages."""

    def redirect(match: re.Match[bytes]) -> bytes:
        return b"%d 0 R" % chance.randrange(1, 12) if chance.random() < 1 / 3 else match[0]

    return re.sub(rb"\d+ 0 R", redirect, content)


def _repeat_a_part(content: bytes, chance: random.Random) -> bytes:
    first = chance.randrange(len(content))
    part = content[first : first + chance.randrange(1, 2000)]
    return content[:first] + part * 5 + content[first:]


def _make_by_hand(
    kids: str, page: str = "/MediaBox[0 0 99 99]", stream: str = "BT (text) Tj ET", length: str = ""
) -> bytes:
    return (
        f"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages{kids}>>endobj\n"
        f"3 0 obj<</Type/Page/Parent 2 0 R/Contents 4 0 R{page}>>endobj\n"
        f"4 0 obj<</Length {length or len(stream)}>>stream\n{stream}\nendstream endobj\n"
        "trailer<</Root 1 0 R/Size 5>>\n%%EOF\n"
    ).encode()


_ONE_PAGE = "/Kids[3 0 R]/Count 1"
_HAND_MADE: dict[str, bytes] = {
    "empty": b"",
    "header-only": b"%PDF-1.7\n",
    "no-pdf": b'{"json": true}',
    "zeros": b"%PDF-1.7\n" + bytes(100_000),
    "no-kids": _make_by_hand("/Count 1"),
    "a-tree-that-is-its-own-child": _make_by_hand("/Kids[2 0 R 3 0 R]/Count 2"),
    "kids-that-are-not-there": _make_by_hand("/Kids[3 0 R 77 0 R 78 0 R]/Count 3"),
    "more-pages-than-there-are": _make_by_hand("/Kids[3 0 R]/Count 900"),
    "fewer-pages-than-none": _make_by_hand("/Kids[3 0 R]/Count -1"),
    "two-billion-pages": _make_by_hand("/Kids[3 0 R]/Count 2147483647"),
    "no-size": _make_by_hand(_ONE_PAGE, page=""),
    "a-size-beyond-all-numbers": _make_by_hand(_ONE_PAGE, page="/MediaBox[0 0 1e99 -1e99]"),
    "contents-that-are-the-page": _make_by_hand(_ONE_PAGE, page="/Contents 3 0 R/MediaBox[0 0 9 9]"),
    "a-length-below-nothing": _make_by_hand(_ONE_PAGE, length="-5"),
    "a-length-beyond-the-file": _make_by_hand(_ONE_PAGE, length="99999999"),
    "a-length-that-is-itself": _make_by_hand(_ONE_PAGE, length="4 0 R"),
    "arrays-in-arrays": _make_by_hand(_ONE_PAGE, stream="[" * 20_000),
    "states-never-restored": _make_by_hand(_ONE_PAGE, stream="q " * 20_000),
    "unknown-operators": _make_by_hand(_ONE_PAGE, stream="BT /F9 -1 Tf (text) XX <zz> Tj (never closed ET"),
    "filters-without-end": _make_by_hand(_ONE_PAGE).replace(
        b"<</Length", b"<</Filter[" + b"/FlateDecode" * 99 + b"]/Length"
    ),
    "an-unknown-cipher": _make_by_hand(_ONE_PAGE).replace(b"/Size", b"/Encrypt<</Filter/None/V 9>>/Size"),
}
