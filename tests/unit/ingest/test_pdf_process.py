"""Each PDF is read in a process of its own; whatever is in it, the worker gets pages or a clear failure."""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from reportlab.pdfgen.canvas import Canvas

from benchmarks.hostile_pdfs import read_all
from services.ingest.adapters import pdf_process
from services.ingest.adapters.pdf_failures import OUT_OF_MEMORY
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.pages import boxes_of_span
from services.ingest.domain.stored_parse import StoredParse
from services.ingest.ports import ParseProgress, UnreadablePdfError
from shared.contracts.documents import DocumentFailure
from shared.errors import DependencyUnavailable
from shared.settings import MEGABYTE
from tests.hostile_pdfs import make_hostile_pdfs
from tests.pdfs import make_pdf, make_pdf_without_pages

LIMITS = ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=1000)


async def tell(content: bytes, folder: Path, limits: ParseLimits = LIMITS) -> list[ParseProgress | bytes]:
    """All that is said about a file with this content."""
    path = folder / "test.pdf"
    await asyncio.to_thread(path.write_bytes, content)
    return [message async for message in ProcessPdfParser(limits).parse(path)]


async def parse(content: bytes, folder: Path, limits: ParseLimits = LIMITS) -> StoredParse:
    """What was read of a file with this content."""
    stored = (await tell(content, folder, limits))[-1]
    assert isinstance(stored, bytes)
    return StoredParse.open(stored)


async def fail(content: bytes, folder: Path, limits: ParseLimits = LIMITS) -> DocumentFailure:
    """The failure of a file that cannot be read."""
    with pytest.raises(UnreadablePdfError) as caught:
        await parse(content, folder, limits)
    assert len(caught.value.failure.detail) > 20
    return caught.value.failure


async def test_progress_page_by_page_then_all_that_was_read(tmp_path: Path) -> None:
    """Title and pages, each with its text and with the boxes of its words; an empty page is a page without text."""
    *progress, stored = await tell(make_pdf(["first page", "", "third page"], title="A title"), tmp_path)

    assert progress == [ParseProgress(pages_total=3, pages_done=done) for done in range(4)]
    assert isinstance(stored, bytes)
    read = StoredParse.open(stored)
    assert read.facts.title == "A title"
    assert [(page.number, page.text) for page in read.read_pages()] == [(1, "first page"), (2, ""), (3, "third page")]
    layout = read.read_layout(3)
    assert len(layout.words) == 2
    assert len(boxes_of_span(layout, 0, len("third page"))) == 1


async def test_the_language_is_that_of_the_text(tmp_path: Path) -> None:
    """As far as it can be told."""
    prose = "Die Anlage ist für den Betrieb in der Halle gebaut und wird von einer Person mit dem Pult gesteuert.\n" * 3

    assert (await parse(make_pdf([prose]), tmp_path)).facts.language == "de"
    assert (await parse(make_pdf(["Crane 40 t"]), tmp_path)).facts.language is None


def make_printed(lines: Sequence[tuple[int, str]]) -> bytes:
    """An empty page, then one with lines of these sizes in points."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.showPage()
    for number, (size, line) in enumerate(lines):
        canvas.setFont("Helvetica", size)
        canvas.drawString(50, 800 - 30 * number, line)
    canvas.save()
    return buffer.getvalue()


async def test_the_largest_print_of_the_first_page_with_text_is_its_headline(tmp_path: Path) -> None:
    """Lines that follow each other in it are one headline; a drop cap or a number is none."""
    body = [(10, "The crane lifts forty tonnes at ten metres, and less at twenty.")] * 5
    pdf = make_printed(
        [(9, "Running head"), (22, "Crane: Service"), (22, "Handbook"), *body, (30, "42"), (16, "Safety")]
    )

    assert (await parse(pdf, tmp_path)).facts.headline.splitlines() == ["Crane: Service", "Handbook"]


async def test_a_page_in_one_size_has_no_headline(tmp_path: Path) -> None:
    """Its first line is not larger than the others."""
    read = await parse(make_pdf(["Crane\nThe crane lifts forty tonnes.\nIt does so at ten metres."]), tmp_path)

    assert read.facts.headline == ""


async def test_a_password_is_said(tmp_path: Path) -> None:
    """An encrypted PDF fails with a code that names the reason."""
    assert (await fail(make_pdf(["secret"], password="sesame"), tmp_path)).code == "encrypted"


async def test_a_certificate_is_said(tmp_path: Path) -> None:
    """A PDF that is encrypted for the owner of a certificate is not damaged."""
    content = make_pdf(["secret"], password="sesame").replace(b"/Standard", b"/PubSec.1")
    assert (await fail(content, tmp_path)).code == "encrypted"


@pytest.mark.parametrize("kept", [9, 200, 600])
async def test_a_truncated_file_is_damaged_or_read(tmp_path: Path, kept: int) -> None:
    """A file that broke off is repaired where PDFium can, else it fails as damaged."""
    content = make_pdf(["some text"] * 3)[:kept]

    assert (await fail(content, tmp_path)).code in ("damaged", "no_pages")


async def test_no_pages_is_said(tmp_path: Path) -> None:
    """A valid PDF without pages is told apart from a damaged one."""
    assert (await fail(make_pdf_without_pages(), tmp_path)).code == "no_pages"


async def test_too_many_pages_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """The limit on pages is checked first and named."""
    limits = ParseLimits(memory_mb=2048, cpu_s=30, wall_s=60, max_pages=2)

    failure = await fail(make_pdf(["a", "b", "c"]), tmp_path, limits)

    assert failure.code == "too_many_pages"
    assert "2" in failure.detail


@pytest.fixture(scope="module")
def long_pdf() -> bytes:
    """A file that takes more than a second of CPU to read."""
    return make_pdf(["\n".join(["words and more words " * 6] * 60)] * 600)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(ParseLimits(memory_mb=2048, cpu_s=30, wall_s=0, max_pages=10_000), id="wall time"),
        pytest.param(ParseLimits(memory_mb=2048, cpu_s=1, wall_s=120, max_pages=10_000), id="CPU time"),
    ],
)
async def test_a_file_that_takes_too_long_ends_alone(long_pdf: bytes, tmp_path: Path, limits: ParseLimits) -> None:
    """Past a limit the child is ended, the failure says so, and this process goes on."""
    assert (await fail(long_pdf, tmp_path, limits)).code == "too_costly"
    assert (await parse(make_pdf(["still here"]), tmp_path)).page_count == 1


MEASURED_PARSE = """
import asyncio, json, resource, sys
from pathlib import Path
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.stored_parse import StoredParse
from services.ingest.ports import UnreadablePdfError

async def parse():
    try:
        limits = ParseLimits(**json.loads(sys.argv[2]))
        *_, stored = [message async for message in ProcessPdfParser(limits).parse(Path(sys.argv[1]))]
        return [page.text for page in StoredParse.open(stored).read_pages()]
    except UnreadablePdfError as error:
        return error.failure.code

outcome = asyncio.run(parse())
print(json.dumps([outcome, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""
"""Prints the outcome and the most memory in bytes that the child has held. In a process of its own: the kernel counts a
child's peak over all children so far, and from the fork on, so inside pytest it would be pytest's own size."""


async def test_a_decompression_bomb_ends_alone(tmp_path: Path) -> None:
    """1 MB that unpacks to 1 GB: the child may not take more memory than it is given, and says what it has."""
    bomb = tmp_path / "bomb.pdf"
    await asyncio.to_thread(lambda: bomb.write_bytes(make_bomb(1024 * MEGABYTE)))
    limits = ParseLimits(memory_mb=400, cpu_s=60, wall_s=120, max_pages=10)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MEASURED_PARSE, str(bomb), json.dumps(asdict(limits))),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()

    outcome, peak = json.loads(printed.splitlines()[-1])
    assert outcome in ("too_costly", "damaged", [""])
    assert 0 < peak < 450 * MEGABYTE


def make_bomb(size: int) -> bytes:
    """A page whose content stream unpacks to `size` spaces."""
    packer = zlib.compressobj(9)
    stream = b"".join(packer.compress(b" " * MEGABYTE) for _ in range(size // MEGABYTE)) + packer.flush()
    head = (
        b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n" % len(stream)
    )
    return head + stream + b"\nendstream endobj\ntrailer<</Root 1 0 R/Size 5>>\n%%EOF\n"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param("os.abort()", "too_costly", id="PDFium and C++ abort when they get no more memory"),
        pytest.param(f"os._exit({OUT_OF_MEMORY})", "too_costly", id="Python gets no more memory"),
        pytest.param("os.kill(os.getpid(), signal.SIGXCPU)", "too_costly", id="no more CPU time"),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", "damaged", id="a crash"),
        pytest.param("raise ZeroDivisionError", "damaged", id="a bug of ours"),
    ],
)
async def test_how_a_reader_ended_says_what_the_file_did(end: str, code: str) -> None:
    """What it costs is one thing, what it makes the reader do another: their owners have to do other things."""
    command = (sys.executable, "-c", f"import os, signal; {end}")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)

    assert (await pdf_process._explain_death(process, last_page=3)).failure.code == code


async def test_a_child_that_gets_no_memory_says_so(tmp_path: Path) -> None:
    """Here it has less than its own libraries need; Python's MemoryError is no crash."""
    limits = ParseLimits(memory_mb=1, cpu_s=30, wall_s=60, max_pages=10)

    assert (await fail(make_pdf(["some text"]), tmp_path, limits)).code == "too_costly"


async def test_a_page_of_megabytes_is_too_costly(tmp_path: Path) -> None:
    """Some text on a page is no page any more; which page it is, is said."""
    line = "words and more words " * 100
    content = make_pdf(["first page", "\n".join([line] * 2000)])

    failure = await fail(content, tmp_path)

    assert (failure.code, failure.page) == ("too_costly", 2)


PARSE = """
import asyncio, sys
from pathlib import Path
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser

async def parse():
    return [message async for message in ProcessPdfParser(ParseLimits(2048, 30, 600, 1000)).parse(Path(sys.argv[1]))]

asyncio.run(parse())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
def test_a_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """Also in the midst of its work: here it waits for a pipe in a file's place, which nobody ever writes to."""
    pipe = tmp_path / "pipe.pdf"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", PARSE, str(pipe)]) as parent:
        child = wait_for_sleeping_child(parent.pid)
        parent.kill()

    while Path(f"/proc/{child}").exists():
        time.sleep(0.01)


def wait_for_sleeping_child(parent: int) -> int:
    """A child that waits for something, and not only for a moment."""
    asleep = 0
    while asleep < 20:
        time.sleep(0.01)
        states = [status for status in read_states() if f"PPid:\t{parent}\n" in status]
        asleep = asleep + 1 if states and "State:\tS" in states[0] else 0
    return int(states[0].split("\nPid:\t")[1].split()[0])


def read_states() -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                yield (folder / "status").read_text()


async def test_a_child_that_does_not_get_to_the_file_says_nothing_about_it(tmp_path: Path) -> None:
    """Here the file was deleted meanwhile; it may also be memory or file descriptors. It is no verdict on the PDF."""
    with pytest.raises(DependencyUnavailable):
        _ = [message async for message in ProcessPdfParser(LIMITS).parse(tmp_path / "gone.pdf")]


async def test_the_child_gets_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads hostile files must not have the provider's key in its environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    assert "OPENAI_API_KEY" not in pdf_process._make_environment()


@pytest.mark.timeout(600)
async def test_no_hostile_file_does_more_than_fail_itself(tmp_path: Path) -> None:
    """Broken, encrypted and fuzzed PDFs: each ends as pages or as a failure with a code; nothing hangs."""
    files = {tmp_path / f"{name}.pdf": content for name, content in make_hostile_pdfs()}
    await asyncio.to_thread(lambda: [path.write_bytes(content) for path, content in files.items()])

    outcomes = await read_all(files)

    assert sum(outcomes.values()) == len(files) > 80
    assert outcomes["pages"] > len(files) / 2
