"""What was read of a PDF comes back as it was written; what is damaged is said to be, whatever is in it."""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.headings import find_headings
from services.ingest.domain.pages import Layout, Page, Recognition, Span
from services.ingest.domain.stored_parse import (
    MAX_PAGE_CHARS,
    DamagedParseError,
    DocumentFacts,
    ParseWriter,
    StoredParse,
)
from services.ingest.domain.tables import find_tables
from tests.unit.ingest.printed_pages import TEXTS, printed_pages

FACTS = st.builds(DocumentFacts, st.none() | TEXTS, TEXTS, st.sampled_from([None, "en", "de"]))
UNREAD = {"attachments_not_read": [], "notes_not_read": [1]}
Printed = Sequence[tuple[str, Layout]]


def write(pages: Printed, facts: DocumentFacts) -> bytes:
    writer = ParseWriter()
    parts = [writer.begin()]
    parts += [
        writer.add_page(text, find_headings(text), layout, None, find_tables(text, layout)) for text, layout in pages
    ]
    return b"".join([*parts, writer.end(facts, find_running(pages))])


def find_running(pages: Printed) -> Mapping[int, Sequence[Span]]:
    """Of each page the first heading."""
    first = {number: find_headings(text)[:1] for number, (text, _) in enumerate(pages, start=1)}
    return {number: spans for number, spans in first.items() if spans}


@given(st.lists(printed_pages(), max_size=3), FACTS)
def test_what_is_written_comes_back(pages: Printed, facts: DocumentFacts) -> None:
    """Texts, facts and all that was found in the texts to the letter; boxes in order, rounded by less than a step."""
    parse = StoredParse.open(write(pages, facts))

    assert parse.facts == facts
    if pages:
        with_unread = StoredParse.open(write(pages, replace(facts, unread=UNREAD)))
        assert with_unread.facts.unread == UNREAD
    assert list(parse.read_pages()) == [
        Page(number, text, find_headings(text), None, find_tables(text, layout), find_running(pages).get(number, []))
        for number, (text, layout) in enumerate(pages, start=1)
    ]
    for number, (_, layout) in enumerate(pages, start=1):
        read = parse.read_layout(number)
        assert (read.width, read.height) == (layout.width, layout.height)
        assert [(word.start, word.end) for word in read.words] == [(word.start, word.end) for word in layout.words]
        finest = max(0.1, max(layout.width, layout.height) / 65_534)
        for before, after in zip(layout.words, read.words, strict=True):
            for low in ("left", "top"):
                assert 0 <= getattr(before.box, low) - getattr(after.box, low) + 1e-6 < finest * 1.01 + 2e-6
            for high in ("right", "bottom"):
                assert 0 <= getattr(after.box, high) - getattr(before.box, high) + 1e-6 < finest * 1.01 + 2e-6
            assert 0 <= after.box.left < after.box.right <= layout.width
            assert 0 <= after.box.top < after.box.bottom <= layout.height


def test_what_was_recognized_comes_back() -> None:
    """From which character to which, and how surely, in percent."""
    writer = ParseWriter()
    pages = [
        writer.add_page("own\n\nread", [], Layout(612, 792), Recognition(5, 9, 0.914)),
        writer.add_page("own", [], Layout(612, 792)),
    ]
    parse = StoredParse.open(b"".join([writer.begin(), *pages, writer.end(DocumentFacts())]))

    assert [page.recognition for page in parse.read_pages()] == [Recognition(5, 9, 0.91), None]


def read_all(content: bytes) -> None:
    parse = StoredParse.open(content)
    for page in parse.read_pages():
        parse.read_layout(page.number)


@given(st.lists(printed_pages(), max_size=3), st.data())
def test_what_is_damaged_is_said_to_be(pages: Printed, data: st.DataObject) -> None:
    """Bytes changed, lost, added or cut off: another error than this one would end the worker's job as a bug."""
    content = bytearray(write(pages, DocumentFacts("A title")))
    first = data.draw(st.integers(0, len(content) - 1))
    last = data.draw(st.integers(first, min(len(content), first + 20)))
    content[first:last] = data.draw(st.binary(max_size=20).filter(lambda new: new != content[first:last]))

    with pytest.raises(DamagedParseError):
        read_all(bytes(content))


@given(st.binary(max_size=200))
def test_other_bytes_are_no_parse(content: bytes) -> None:
    """Neither those that begin like one."""
    for candidate in (content, b"PWPARSE\x01" + content):
        with pytest.raises(DamagedParseError):
            read_all(candidate)


def forge(text: bytes, layout: bytes, **index: object) -> bytes:
    """A stored parse of one page with these blocks, as an attacker may write it."""
    blocks = [zlib.compress(text), zlib.compress(layout)]
    whole: dict[str, object] = {
        "title": None,
        "headline": "",
        "language": None,
        "unread": {},
        "running": {},
        "blocks": [[*map(len, blocks)]],
    }
    packed = zlib.compress(json.dumps({**whole, **index}).encode())
    return b"PWPARSE\x01" + b"".join(blocks) + packed + struct.pack("<I", len(packed))


TEXT = b'{"text": "one two", "headings": [], "tables": [[0, 4, 7, [[0, 3]]]]}'
LAYOUT = struct.pack("<ddI5H", 612, 792, 1, 0, 10, 10, 10, 10)


def test_a_forged_one_is_read_as_far_as_it_is_whole() -> None:
    """What the tests below change is what makes them fail."""
    read_all(forge(TEXT, LAYOUT))


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(forge(b"[" * 100_000, LAYOUT), id="nested without end"),
        pytest.param(forge(b'{"text": 1, "headings": []}', LAYOUT), id="no text"),
        pytest.param(forge(b'{"text": "\\ud800", "headings": []}', LAYOUT), id="half a character"),
        pytest.param(forge(b'{"text": "one", "headings": [[0, 4]]}', LAYOUT), id="a heading beyond its page"),
        pytest.param(forge(b'{"text": "one", "headings": [[0, true]]}', LAYOUT), id="a heading that is none"),
        pytest.param(forge(TEXT[:-1] + b',"recognition":[[0,8],90]}', LAYOUT), id="recognized text beyond its page"),
        pytest.param(forge(TEXT[:-1] + b',"recognition":[[0,7],101]}', LAYOUT), id="more than sure"),
        pytest.param(forge(TEXT[:-1] + b',"recognition":[[0,7]]}', LAYOUT), id="who knows how sure"),
        pytest.param(forge(b'{"text": "one", "headings": []}', LAYOUT), id="no tables"),
        pytest.param(forge(TEXT.replace(b"[0, 4, 7,", b"[0, 4, 8,"), LAYOUT), id="a table beyond its page"),
        pytest.param(forge(TEXT.replace(b"[0, 4, 7,", b"[4, 0, 7,"), LAYOUT), id="a table that ends before it begins"),
        pytest.param(forge(TEXT.replace(b"[0, 4, 7,", b"[0, 4,"), LAYOUT), id="a table that is none"),
        pytest.param(forge(TEXT.replace(b"[[0, 3]]", b"[[0, 9]]"), LAYOUT), id="a head beyond its page"),
        pytest.param(forge(TEXT, LAYOUT, running=[]), id="no running lines"),
        pytest.param(forge(TEXT, LAYOUT, running={"1": [[0, 8]]}), id="a running line beyond its page"),
        pytest.param(forge(TEXT, b" " * 10_000), id="more boxes than words"),
        pytest.param(forge(TEXT, struct.pack("<ddI", 612, 792, 0xFFFFFFFF)), id="boxes that are not there"),
        pytest.param(forge(TEXT, struct.pack("<ddI", float("nan"), 792, 0)), id="a page of no width"),
        pytest.param(forge(TEXT, struct.pack("<ddI5H", 612, 792, 1, 2, 0, 0, 1, 1)), id="a box of no word"),
        pytest.param(forge(TEXT, struct.pack("<ddI5H", 612, 792, 1, 0, 6000, 0, 200, 1)), id="a box beyond the page"),
        pytest.param(forge(TEXT, LAYOUT, blocks=[[-1, 5]]), id="a length below nothing"),
        pytest.param(forge(TEXT, LAYOUT, blocks=[[10, 10**9]]), id="a length beyond the end"),
        pytest.param(forge(TEXT, LAYOUT, blocks={}), id="no blocks"),
        pytest.param(forge(TEXT, LAYOUT, headline=None), id="no headline"),
        pytest.param(forge(TEXT, LAYOUT, unread={"lies": []}), id="a warning that there is not"),
        pytest.param(forge(TEXT, LAYOUT, unread={"xfa_form": [2]}), id="a warning of a page that there is not"),
    ],
)
def test_a_hostile_one_is_said_to_be_damaged(forged: bytes) -> None:
    """Nothing else is raised."""
    with pytest.raises(DamagedParseError):
        read_all(forged)


def test_a_page_that_unpacks_to_more_than_a_page_may_have_is_not_unpacked() -> None:
    """A kilobyte may hold a gigabyte of nothing."""
    bomb = forge(b" " * (9 * MAX_PAGE_CHARS), LAYOUT)
    assert len(bomb) < 100_000

    with pytest.raises(DamagedParseError, match="not as long as it says"):
        read_all(bomb)
