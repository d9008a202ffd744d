"""Scanned pages are read by tesseract: what they say and where, and what becomes of pages that cannot be read."""

import asyncio
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from services.ingest.adapters import pdf_process
from services.ingest.adapters.ocr_engine import find_engine
from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.pages import Box, Page, boxes_of_span
from services.ingest.domain.stored_parse import StoredParse
from services.ingest.domain.unread import NO_TEXT, OCR_BUDGET, OCR_EMPTY, OCR_FAILED, UNMAPPED, Unread
from services.ingest.ports import ParseProgress
from services.ingest.settings import IngestSettings
from shared.errors import DependencyUnavailable
from tests.pdfs import make_pdf
from tests.printed_pdfs import print_unmapped_pdf
from tests.scans import DPI, bind, make_scan, print_page, turn

LIMITS = ParseLimits(memory_mb=2048, cpu_s=60, wall_s=120, max_pages=100)
TEXT = """The heron is a survey drone for wetlands and shallow lakes.
It was released on 3 May 2024 and flies for 47 minutes with one battery.
Its greatest wind speed is 14 metres per second in any direction.
The list price is 12,900 euro, without the case and the second battery.
Each rotor is changed after 300 hours, or at once when it is chipped."""


@pytest.fixture(scope="module")
def options() -> OcrOptions:
    """The pinned package's engine with both of its languages. That it is missing is no reason to skip."""
    engine = find_engine("on", "eng+deu")
    assert engine is not None
    return replace(IngestSettings().make_ocr_options(engine), languages="eng", dpi=DPI)


async def parse(content: bytes, folder: Path, options: OcrOptions | None) -> StoredParse:
    path = folder / "scan.pdf"
    await asyncio.to_thread(path.write_bytes, content)
    *_, stored = [message async for message in ProcessPdfParser(LIMITS, options).parse(path)]
    assert isinstance(stored, bytes)
    return StoredParse.open(stored)


def make_drawn_pdf(pages: Sequence[str]) -> bytes:
    """A page per text; where that is empty there is only a drawing on it, which might say something."""
    canvas = Canvas(buffer := io.BytesIO(), pagesize=A4, invariant=1)
    for page in pages:
        if page:
            canvas.drawString(50, 700, page)
        else:
            canvas.rect(50, 700, 100, 50, fill=1)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


async def read(content: bytes, folder: Path, options: OcrOptions | None) -> tuple[list[Page], Unread]:
    parsed = await parse(content, folder, options)
    return list(parsed.read_pages()), parsed.facts.unread


def find(parsed: StoredParse, words: str, number: int = 1) -> Box:
    """The box of these words on a page."""
    start = parsed.read_page(number).text.index(words)
    (box,) = boxes_of_span(parsed.read_layout(number), start, start + len(words))
    return box


async def test_a_scanned_page_says_what_is_printed_on_it_and_where(options: OcrOptions, tmp_path: Path) -> None:
    """Word by word, in lines, each word in the place that it has in the original."""
    original = await parse(make_pdf([TEXT]), tmp_path, options)
    scanned = await parse(make_scan([TEXT]), tmp_path, options)

    page = scanned.read_page(1)
    assert page.text.splitlines() == TEXT.splitlines()
    assert page.recognition is not None
    assert page.recognition.start == 0
    assert page.recognition.confidence > 0.9
    assert original.read_page(1).recognition is None
    assert are_near(find(scanned, "12,900 euro"), find(original, "12,900 euro"), 3.0)


def are_near(one: Box, other: Box, points: float) -> bool:
    return all(abs(mine - theirs) <= points for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("degrees", [2.5, -3.0, 90, 180, 270, 92])
async def test_a_page_that_lay_askew_is_read_all_the_same(degrees: float, options: OcrOptions, tmp_path: Path) -> None:
    """A little, on its side, or on its head. Its boxes are those of the page as it is shown, askew as it is."""
    text = f"{TEXT}\n{TEXT}"
    upright = print_page(text)
    picture = turn(upright, degrees)
    scanned = await parse(bind([picture]), tmp_path, options)

    assert scanned.read_page(1).text.split() == text.split()
    box = find(scanned, "12,900")
    middle = (box.left + box.right) / 2 / 72 * 200, (box.top + box.bottom) / 2 / 72 * 200
    straight = find(await parse(make_pdf([text]), tmp_path, None), "12,900")
    there = turn(mark(upright, straight), degrees)
    assert there.getpixel((round(middle[0]), round(middle[1]))) == 0


def mark(picture: Image.Image, box: Box) -> Image.Image:
    """The picture with nothing on it but this box, in points, in black."""
    marked = Image.new("L", picture.size, 255)
    left, top, right, bottom = (round(side / 72 * 200) for side in box)
    marked.paste(0, (left, top, right, bottom))
    return marked


async def test_a_page_on_which_nothing_stands_is_said_to_be_empty(options: OcrOptions, tmp_path: Path) -> None:
    """White paper, a black copy and noise hold no text, and no rubbish is made of them."""
    size = (800, 1100)
    noise = Image.effect_noise(size, 80)
    pages, unread = await read(bind([Image.new("L", size, 255), Image.new("L", size, 0), noise]), tmp_path, options)

    assert [page.text for page in pages] == [""] * 3
    assert unread == {OCR_EMPTY: [1, 2, 3]}


async def test_a_page_as_long_as_a_receipt_is_read(options: OcrOptions, tmp_path: Path) -> None:
    """At as many dpi as the engine takes of its length."""
    width, height = 600, 40_000
    paper = Image.new("L", (width, height), 255)
    lines = print_page("Two rotors\nTotal 47 euro").crop((0, 0, width, 800))
    for top in range(0, height, 8_000):
        paper.paste(lines, (0, top))
    ((page,), _) = await read(bind([paper]), tmp_path, options)

    assert page.text.splitlines() == ["Two rotors", "Total 47 euro"] * 5


async def test_german_is_read_with_its_own_data(options: OcrOptions, tmp_path: Path) -> None:
    """Umlauts and ß, which the data of English have not."""
    text = (
        "Die Prüfung der Geschwindigkeit erfolgt außerhalb großer Städte.\nDas Gerät ist über Köln bei Düren geprüft."
    )
    (page,), _ = await read(make_scan([text]), tmp_path, replace(options, languages="deu+eng"))

    assert page.text == text


async def test_without_an_engine_the_page_is_left_as_it_is(tmp_path: Path) -> None:
    """Nothing is read, and nothing is said about why: nobody tried."""
    (page,), unread = await read(make_scan([TEXT]), tmp_path, None)

    assert (page.text, page.recognition, unread) == ("", None, {NO_TEXT: [1]})


def know_nothing(char: str) -> str:
    return "\ufffd"


def know_their_own(char: str) -> str:
    """As fonts of symbols do, of which the letters of old systems are some."""
    return chr(0xF000 + ord(char))


def know_numbers(char: str) -> str:
    return char if char.isdigit() else "\ufffd"


@pytest.mark.parametrize("to", [know_nothing, know_their_own, know_numbers])
async def test_a_page_whose_font_does_not_say_its_letters_is_read_as_a_picture(
    to: Callable[[str], str], options: OcrOptions, tmp_path: Path
) -> None:
    """It has characters, and nobody can search for them; nothing of them stays beside what was read."""
    content = print_unmapped_pdf(TEXT.splitlines(), to=to)
    (page,), unread = await read(content, tmp_path, options)

    assert page.text.splitlines() == TEXT.splitlines()
    assert page.recognition is not None
    assert unread == {}


@pytest.mark.parametrize(("to", "left"), [(know_nothing, ""), (know_their_own, ""), (know_numbers, "12,900")])
async def test_without_an_engine_it_is_said_that_its_font_is_at_fault(
    to: Callable[[str], str], left: str, tmp_path: Path
) -> None:
    """What of it can be read stays, the figures of a table as an example."""
    content = print_unmapped_pdf([*TEXT.splitlines(), "12,900" if left else ""], to=to)
    (page,), unread = await read(content, tmp_path, None)

    assert unread == {UNMAPPED: [1]}
    assert left.replace(",", "\ufffd") in page.text
    assert bool(page.text) == bool(left)


async def test_a_page_with_some_symbols_keeps_its_text(options: OcrOptions, tmp_path: Path) -> None:
    """Bullets, boxes to tick and icons are in fonts that say of them what no other font knows."""
    lines = ["* The heron is a survey drone", "* for wetlands", "**** ****"]
    content = print_unmapped_pdf(lines, to=lambda char: "\uf0b7" if char == "*" else char)
    (page,), unread = await read(content, tmp_path, options)

    assert (page.text.split(), page.recognition, unread) == (" ".join(lines).replace("*", "").split(), None, {})


def make_page(text: str, *pictures: tuple[Image.Image, Box]) -> bytes:
    """A page with print at its top, and pictures in these boxes, counted from its bottom."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    for picture, (left, bottom, right, top) in pictures:
        canvas.drawImage(ImageReader(picture), left, bottom, right - left, top - bottom)
    if text:
        printed = canvas.beginText(50, 820)
        printed.textLines(text)
        canvas.drawText(printed)
    canvas.save()
    return buffer.getvalue()


async def test_a_scan_with_a_stamp_on_it_is_read(options: OcrOptions, tmp_path: Path) -> None:
    """A number on a page must not hide that the rest of it is a picture; the stamp stays, and is there once."""
    stamped = make_page("MERIDIAN 000417", (print_page(TEXT), Box(0, 0, *A4)))
    (page,), _ = await read(stamped, tmp_path, options)

    assert page.text.startswith("MERIDIAN 000417\n")
    assert page.text.count("000417") == 1
    assert page.recognition is not None
    assert page.text[page.recognition.start :].splitlines() == TEXT.splitlines()


async def test_pictures_beside_text_are_read_where_that_is_wanted(options: OcrOptions, tmp_path: Path) -> None:
    """By default they are not: a page takes a hundred times as long with it. Own words come first, and once."""
    lines = "\n".join(["The text of the report goes on and on about the weather in the north."] * 10)
    picture = print_page("Rainfall 417 mm\nin the wettest month").crop((100, 90, 800, 230))
    content = make_page(lines, (picture, Box(50, 300, 400, 370)))

    (without,), _ = await read(content, tmp_path, options)
    (page,), _ = await read(content, tmp_path, replace(options, pictures=True))

    assert without.recognition is None
    assert page.recognition is not None
    assert page.text == f"{without.text}\n\nRainfall 417 mm\nin the wettest month"
    assert page.text[page.recognition.start :] == "Rainfall 417 mm\nin the wettest month"


async def test_rows_of_a_table_stay_rows(options: OcrOptions, tmp_path: Path) -> None:
    """Label and figures of a row are one line, however wide the gaps between its columns are."""
    rows = [(f"Net sales of division {name}", f"{n},4{n}7", f"{n},80{n}") for n, name in enumerate("ABCDEFGH", start=1)]
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    for number, row in enumerate(rows):
        for x, cell in zip((50, 330, 450), row, strict=True):
            canvas.drawString(x, 700 - 22 * number, cell)
    canvas.save()
    (page,), _ = await read(bind([render(buffer.getvalue())]), tmp_path, options)

    assert page.text.splitlines() == [" ".join(row) for row in rows]


async def test_columns_of_prose_stay_columns(options: OcrOptions, tmp_path: Path) -> None:
    """The left one is read to its end before the right one."""
    left = [
        "The survey of the northern lakes",
        "was begun in spring, as soon as",
        "the ice had gone from all bays",
        "and boats could leave the town.",
    ]
    right = [
        "Herons were counted every week",
        "from the same seven towers, by",
        "the same people, and with the",
        "same glasses, to be comparable.",
    ]
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    for x, column in ((50, left * 4), (310, right * 4)):
        for number, line in enumerate(column):
            canvas.drawString(x, 700 - 16 * number, line)
    canvas.save()
    (page,), _ = await read(bind([render(buffer.getvalue())]), tmp_path, options)

    assert page.text.casefold().split() == " ".join(left * 4 + right * 4).casefold().split()


def render(content: bytes) -> Image.Image:
    """A picture of the only page of a PDF."""
    import pypdfium2

    picture: Image.Image = pypdfium2.PdfDocument(content)[0].render(scale=200 / 72, grayscale=True).to_pil()
    return picture


@pytest.fixture
def make_engine(options: OcrOptions, tmp_path: Path) -> Callable[[str], OcrOptions]:
    """Makes options with another program in tesseract's place."""

    def make(script: str) -> OcrOptions:
        program = tmp_path / "engine"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return replace(options, program=str(program))

    return make


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("cat >/dev/null; while :; do :; done", OCR_BUDGET, id="takes too long"),
        pytest.param("exit 1", OCR_FAILED, id="gives up"),
        pytest.param("kill -SEGV $$", OCR_FAILED, id="crashes"),
    ],
)
async def test_a_page_that_cannot_be_read_costs_the_document_no_other(
    script: str, code: str, make_engine: Callable[[str], OcrOptions], tmp_path: Path
) -> None:
    """The pages behind it are there, and it is said why this one is not."""
    content = make_drawn_pdf(["first page", "", "third page"])
    options = make_engine(script)
    pages, unread = await read(content, tmp_path, replace(options, page_s=1) if code == OCR_BUDGET else options)

    assert [page.text for page in pages] == ["first page", "", "third page"]
    assert unread == {code: [2]}


async def test_a_blank_page_costs_nothing(make_engine: Callable[[str], OcrOptions], tmp_path: Path) -> None:
    """No picture is made of a page with nothing on it: books have many, and a hostile file only those."""
    pages, unread = await read(make_pdf(["first page", "", "third page"]), tmp_path, make_engine("exit 1"))

    assert [page.text for page in pages] == ["first page", "", "third page"]
    assert unread == {OCR_EMPTY: [2]}


async def test_a_document_may_cost_so_much_and_no_more(options: OcrOptions, tmp_path: Path) -> None:
    """What is left when its seconds are spent is left unread, pages with text of their own are not."""
    content = make_drawn_pdf(["", "", "third page"])
    pages, unread = await read(content, tmp_path, replace(options, document_s=0))

    assert pages[2].text == "third page"
    assert unread == {OCR_BUDGET: [1, 2]}


async def test_a_picture_that_takes_too_long_to_make_is_a_page_that_was_not_read(
    options: OcrOptions, tmp_path: Path
) -> None:
    """It is made in a process of its own: here one with hundreds of thousands of transparent shapes."""
    canvas = Canvas(buffer := io.BytesIO(), pagesize=A4, invariant=1)
    canvas.setFillAlpha(0.5)
    for _ in range(1500):
        canvas.rect(0, 0, *A4, fill=1)
    canvas.showPage()
    canvas.drawString(50, 700, "second page")
    canvas.save()
    pages, unread = await read(buffer.getvalue(), tmp_path, replace(options, page_s=1))

    assert [page.text for page in pages] == ["", "second page"]
    assert unread == {OCR_BUDGET: [1]}


async def test_an_engine_that_is_gone_is_no_fault_of_the_document(options: OcrOptions, tmp_path: Path) -> None:
    """It is tried again, as when the machine has no processes left."""
    with pytest.raises(DependencyUnavailable):
        await read(make_drawn_pdf([""]), tmp_path, replace(options, program="/nowhere/tesseract"))


async def test_every_page_that_is_read_is_progress(options: OcrOptions, tmp_path: Path) -> None:
    """Told when it is read, not when all are."""
    path = tmp_path / "scan.pdf"
    await asyncio.to_thread(path.write_bytes, make_scan(["one page", "another page"]))
    told = [message async for message in ProcessPdfParser(LIMITS, options).parse(path)]

    assert told[:-1] == [ParseProgress(pages_total=2, pages_done=done) for done in range(3)]


async def test_what_was_told_of_a_page_saves_reading_it(options: OcrOptions, tmp_path: Path) -> None:
    """The same is made of it, though the engine is not asked; what is damaged of it is read once more."""
    path = tmp_path / "scan.pdf"
    await asyncio.to_thread(path.write_bytes, make_scan([TEXT, "another page"], degrees=2))

    async def parse_with(recognized: bytes, options: OcrOptions) -> tuple[list[bytes], StoredParse]:
        *told, stored = [message async for message in ProcessPdfParser(LIMITS, options).parse(path, recognized)]
        assert isinstance(stored, bytes)
        parts = [message.recognized for message in told if isinstance(message, ParseProgress)]
        return [part for part in parts if part], StoredParse.open(stored)

    parts, first = await parse_with(b"", options)
    assert len(parts) == 2
    silent = replace(options, program="/nowhere/tesseract")
    again, second = await parse_with(b"".join(parts), silent)
    assert again == []
    assert list(second.read_pages()) == list(first.read_pages())
    assert [second.read_layout(n) for n in (1, 2)] == [first.read_layout(n) for n in (1, 2)]

    damaged = parts[0][:-1] + bytes([parts[0][-1] ^ 1])
    for kept in (damaged + parts[1], parts[1] + parts[0][:-1], parts[1] + b"\0\0\0"):
        again, third = await parse_with(kept, options)
        assert len(again) == 1
        assert list(third.read_pages()) == list(first.read_pages())


async def test_what_was_recognized_takes_no_room_of_the_parse(
    options: OcrOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told beside the parse, as far as there is room for it; without, the document is read all the same."""
    path = tmp_path / "scan.pdf"
    await asyncio.to_thread(path.write_bytes, make_scan([TEXT, TEXT]))

    async def tell() -> tuple[list[int], bytes]:
        *told, stored = [message async for message in ProcessPdfParser(LIMITS, options).parse(path)]
        assert isinstance(stored, bytes)
        return [len(message.recognized) for message in told if isinstance(message, ParseProgress)], stored

    sizes, whole = await tell()
    room = max(len(whole), 100 + max(sizes))  # that it takes so many seconds is told, in more or fewer digits
    assert sum(sizes) > room
    monkeypatch.setattr(pdf_process, "MAX_PARSE_BYTES", room)
    again, stored = await tell()

    assert stored == whole
    assert 0 < sum(again) <= room


KEPT_WAITING = """
import asyncio, json, sys
from pathlib import Path
from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser

async def parse():
    parser = ProcessPdfParser(ParseLimits(2048, 30, 600, 1000), OcrOptions(**json.loads(sys.argv[2])))
    return [message async for message in parser.parse(Path(sys.argv[1]))]

asyncio.run(parse())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_the_engine_ends_with_the_worker(how: str, make_engine: Callable[[str], OcrOptions], tmp_path: Path) -> None:
    """Be it killed: nothing goes on reading for nobody."""
    import json

    note = tmp_path / "note"
    os.mkfifo(note)
    options = replace(make_engine(f"echo $$ >{note}; exec sleep 600"), page_s=1000)
    path = tmp_path / "scan.pdf"
    path.write_bytes(make_drawn_pdf([""]))
    with subprocess.Popen([sys.executable, "-c", KEPT_WAITING, str(path), json.dumps(vars(options))]) as worker:
        engine = int(note.read_text())
        getattr(worker, how)()

    while Path(f"/proc/{engine}").exists():
        time.sleep(0.01)


async def test_the_engine_ends_with_whoever_does_not_want_the_rest(
    make_engine: Callable[[str], OcrOptions], tmp_path: Path
) -> None:
    """A document that is deleted while it is read, or a worker that lost its lease."""
    note = tmp_path / "note"
    os.mkfifo(note)
    options = replace(make_engine(f"echo $$ >{note}; exec sleep 600"), page_s=1000)
    path = tmp_path / "scan.pdf"
    await asyncio.to_thread(path.write_bytes, make_drawn_pdf([""]))
    messages = ProcessPdfParser(LIMITS, options).parse(path)
    assert await anext(messages) == ParseProgress(1, 0)
    engine = int(await asyncio.to_thread(note.read_text))
    await messages.aclose()

    while await asyncio.to_thread(Path(f"/proc/{engine}").exists):
        await asyncio.sleep(0.01)
