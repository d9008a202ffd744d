"""An upload is received the same however its body is cut, and a hostile body costs little and is refused."""

import hashlib
import io
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.api import multipart_file
from services.gateway.api.multipart_file import BLOCK_BYTES, MAX_PARTS, receive_file
from shared.errors import PagewireError, find_status

HEADERS = {"content-type": "multipart/form-data; boundary=B"}
MAX_BYTES = 1000
FILE = b'Content-Disposition: form-data; name="file"; filename="a.pdf"'
PIECES = [
    b"--B",
    b"\r\n",
    b"\r\n\r\n",
    b"--",
    b"\r",
    b"\n",
    b"B",
    b"%PDF-1.7",
    b"x" * 70,
    FILE,
    b"A: b",
    b"\r\n--B--\r\n",
]
BODIES = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)
CONTENTS = (
    st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join).filter(lambda content: b"\r\n--B" not in content)
)


async def yield_pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    """The body in portions, some of them empty."""
    places = sorted(cut % (len(body) + 1) for cut in cuts)
    for start, end in zip([0, *places], [*places, len(body)], strict=True):
        yield body[start:end]


async def receive(body: bytes, cuts: list[int] | None = None) -> tuple[object, ...]:
    """What comes of a body: name, bytes and head of the file, or the refusal: class of status, and code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        try:
            received = await receive_file(yield_pieces(body, cuts or []), HEADERS, path, MAX_BYTES)
        except PagewireError as error:
            return (find_status(error) // 100, error.error_code)
        content = path.read_bytes()
    assert received.size_bytes == len(content)
    assert received.sha256 == hashlib.sha256(content).hexdigest()
    return (received.filename, content, received.head)


@given(BODIES, st.lists(st.integers(0, 2000), max_size=10))
@example(b"x--B\r\n" + FILE + b"\r\n\r\n%PDF-1.7\r\n--B--\r\n", [3])
async def test_any_split_of_a_body_gives_the_same_result(body: bytes, cuts: list[int]) -> None:
    """Whatever the body is, and also where it is longer than a block."""
    with patch.object(multipart_file, "BLOCK_BYTES", 32):
        assert await receive(body, cuts) == await receive(body)


@given(CONTENTS, st.integers(40, 200), st.sampled_from([b"", b"preamble\r\n"]), st.sampled_from([b"", b"\r\nepilogue"]))
async def test_every_byte_of_the_file_arrives(content: bytes, block: int, before: bytes, behind: bytes) -> None:
    """Also what looks like half a boundary, wherever a block ends."""
    form = before + b"--B\r\n" + FILE + b"\r\n\r\n%%PDF" + content + b"\r\n--B--\r\n" + behind
    with patch.object(multipart_file, "BLOCK_BYTES", block):
        assert await receive(form) == ("a.pdf", b"%%PDF" + content, b"%%PDF" + content)


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        (rb'form-data; name="file"; filename="a \"b\".pdf"', 'a "b".pdf'),
        ('form-data; name="file"; filename="é.pdf"'.encode("latin-1"), "\ufffd.pdf"),
        ("form-data; name=file; filename=日.pdf".encode(), None),
        ('FORM-DATA; NAME="file"; FILENAME="日.pdf"'.encode(), "日.pdf"),
        (b"form-data; name=\"file\"; filename*=utf-8'en'%E6%97%A5.pdf", "日.pdf"),
        (b"form-data; name=\"file\"; filename*=iso-8859-1''%E9.pdf", "é.pdf"),
        (b'form-data; name="file"; filename="x\x00y\x1b[2J.pdf"', "xy[2J.pdf"),
        (b'form-data; name="file"; filename=".."', ".."),
    ],
)
async def test_a_name_is_read_in_any_spelling(disposition: bytes, filename: str | None) -> None:
    """Whoever wrote it, in whatever encoding; one that cannot be read is no reason to lose the file."""
    form = b"--B\r\nContent-Disposition: " + disposition + b"\r\n\r\n%PDF-\r\n--B--\r\n"
    assert await receive(form) == ((filename, b"%PDF-", b"%PDF-") if filename else (4, "missing_file"))


@pytest.mark.parametrize(("others", "result"), [(MAX_PARTS - 1, b"%PDF-"), (MAX_PARTS, "form_too_complex")])
async def test_a_form_has_few_parts(others: int, result: object) -> None:
    """A few fields beside the file are fine."""
    field = b'--B\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n'
    form = field * others + b"--B\r\n" + FILE + b"\r\n\r\n%PDF-\r\n--B--\r\n"
    assert (await receive(form))[1] == result


HOSTILE = [
    # What is repeated, what comes before it, the code
    pytest.param(b"--B\r\n" + FILE.replace(b"file", b"x") + b"\r\n\r\n\r\n", b"", "form_too_complex", id="parts"),
    pytest.param(b"--B\r\n\r\n", b"", "broken_form", id="boundaries"),
    pytest.param(b"A: b\r\n", b"--B\r\n", "form_too_complex", id="headers"),
    pytest.param(b"a", b"--B\r\nContent-Disposition: ", "form_too_complex", id="a header without end"),
    pytest.param(b" a\r\n", b"--B\r\nA: b\r\n", "broken_form", id="continued headers"),
    pytest.param(b"\n", b"--B\r\nA: b", "broken_form", id="wrong line ends"),
    pytest.param(b"x\r\n", b"", "broken_form", id="a preamble"),
    pytest.param(b"\r\n--", b"--B\r\n" + FILE + b"\r\n\r\n", "broken_form", id="half boundaries"),
    pytest.param(b"\r", b"--B\r\n" + FILE + b"\r\n\r\n", "broken_form", id="carriage returns"),
    pytest.param(b'; a="', b"--B\r\nContent-Disposition: form-data", "form_too_complex", id="options"),
    pytest.param(b"\r\n", b"--B\r\n" + FILE + b"\r\n\r\n%PDF-\r\n--B--", None, id="an epilogue"),
]


def count_calls(body: bytes) -> tuple[int, str | None]:
    """How many calls it takes to parse a body as `receive_file` has it done, and how it is refused."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    form = multipart_file._Form("B", io.BytesIO(), 1 << 40)
    sys.setprofile(count)
    try:
        for start in range(0, len(body), BLOCK_BYTES):
            form.feed(body[start : start + BLOCK_BYTES])
        form.finish(b"")
    except PagewireError as error:
        return calls, error.error_code
    finally:
        sys.setprofile(None)
    return calls, None


@pytest.mark.parametrize(("repeated", "beginning", "code"), HOSTILE)
def test_a_hostile_body_costs_little(repeated: bytes, beginning: bytes, code: str | None) -> None:
    """Whatever 8 MB consist of, they take no more steps than their blocks, and are refused with a code."""
    body = beginning + repeated * (32 * BLOCK_BYTES // len(repeated))
    calls, refused = count_calls(body)
    honest, _ = count_calls(b"--B\r\n" + FILE + b"\r\n\r\n" + b"%PDF" * (8 * BLOCK_BYTES) + b"\r\n--B--")

    assert refused == code
    assert calls < 5 * honest
