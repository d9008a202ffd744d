"""The first page, in a real browser: on the real standalone server, and on streams that a test lets out bit by bit.

Every test ends by checking that the page raised no error, opened no dialog and called no other host.
"""

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    FilePayload,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)
from reportlab.lib.pagesizes import A5
from reportlab.pdfgen.canvas import Canvas

from tests.patience import PATIENT_S

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium")]

SCREENSHOTS = Path(__file__).parents[2] / "test-output"
INGEST_MS = 120_000
PATIENT_MS = 1000 * PATIENT_S
DESKTOP, PHONE = (1280, 900), (390, 844)
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"

HELD_STREAMS = """
// Answers questions with streams that the test fills, byte by byte, and ends as it likes.
window.answers = [];
const fetchFromServer = window.fetch;
window.fetch = (path, options) => {
  if (path !== "/query/stream") return fetchFromServer(path, options);
  const answer = { query: JSON.parse(options.body), aborted: false };
  const body = new ReadableStream({ start: (controller) => { answer.controller = controller; } });
  answer.push = (text) => {
    for (const byte of new TextEncoder().encode(text)) answer.controller.enqueue(Uint8Array.of(byte));
  };
  options.signal.addEventListener("abort", () => {
    answer.aborted = true;
    answer.controller.error(options.signal.reason);
  });
  window.answers.push(answer);
  return Promise.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
};
"""

RECORD_WRITES = """
window.writes = [];
new MutationObserver((records) => window.writes.push(...records)).observe(
  document.getElementById("answer"), { childList: true, characterData: true, subtree: true });
"""


class Visit:
    """A page and everything about it that must not happen."""

    def __init__(self, page: Page, url: str) -> None:
        page.set_default_timeout(PATIENT_MS)
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.expected_status = ""
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("dialog", self._note_dialog)
        page.on("request", self._note_request)

    def _note_console(self, message: ConsoleMessage) -> None:
        # Chromium itself logs every response with a status of 400 or more; a test that provokes one says so.
        expected = self.expected_status and f"status of {self.expected_status}" in message.text
        if message.type in {"error", "warning"} and not expected:
            self.problems.append(f"console: {message.text} {message.location}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note_request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.problems.append(f"request: {request.url}")

    def check(self) -> None:
        """Fails if anything happened that must not, or if markup became elements."""
        assert self.problems == []
        assert self.page.locator("main img, main script, main iframe").count() == 0

    def open(self) -> None:
        """Loads the page and waits for its first list of documents."""
        with self.page.expect_response(lambda response: "/documents?" in response.url):
            self.page.goto(self.url)
        expect(self.page.locator("#scope")).not_to_be_empty()

    def add(self, name: str, content: bytes) -> Locator:
        """Chooses a file as a person would; returns its row."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose PDFs").click()
        chooser.value.set_files([make_payload(name, content)])
        return self.find_row(name)

    def add_until_ready(self, name: str, content: bytes) -> Locator:
        """The same, and waits until the document can be asked."""
        row = self.add(name, content)
        expect(row).to_have_attribute("data-status", "ready", timeout=INGEST_MS)
        return row

    def find_row(self, name: str) -> Locator:
        """The row of a document or upload."""
        return self.page.locator(".row").filter(has_text=name)

    def ask(self, question: str) -> None:
        """Types the question and presses Enter."""
        self.page.get_by_label("Your question").fill(question)
        self.page.keyboard.press("Enter")

    def push(self, event: str, data: object) -> None:
        """Lets one event of the held stream out."""
        self.push_text(f"event: {event}\r\ndata: {json.dumps(data, ensure_ascii=False)}\r\n\r\n")

    def push_text(self, text: str) -> None:
        """Lets any text of the held stream out."""
        self.page.wait_for_function("answers.length > 0")
        self.page.evaluate("text => answers.at(-1).push(text)", text)

    def end(self, how: str) -> None:
        """Ends the held stream: `close()` as a proxy would, `error()` as a lost network does."""
        self.page.evaluate(f"answers.at(-1).controller.{how}")


def make_pdf(*pages: str) -> bytes:
    """A PDF with one text per page, each line of it short enough for the paper."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A5)
    for page in pages:
        text = canvas.beginText(40, 520)
        text.setFont("Helvetica", 9)
        text.textLines(page)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def make_payload(name: str, content: bytes) -> FilePayload:
    """A file to choose, whatever is in it."""
    return {"name": name, "mimeType": "application/pdf", "buffer": content}


def make_list(url: str) -> dict[str, Any]:
    """A part of a list of 150 documents; the second part begins with one that the first part had already."""
    first = "cursor=" not in url
    moment = "2025-01-01T00:00:00Z"
    record = {"title": "t", "status": "ready", "size_bytes": 1, "sha256": "0", "created_at": moment}
    counters = {"pages_total": 1, "pages_done": 1, "chunks_total": 1, "chunks_done": 1, "warnings": [], "failure": None}
    numbers = range(100) if first else range(99, 150)
    documents = [{"document_id": f"d{n}", "filename": f"{n}.pdf", **record, **counters} for n in numbers]
    return {"documents": documents, "total": 150, "next_cursor": "1-d99" if first else None}


def make_source(n: int, text: str, *, cited: bool = False) -> dict[str, Any]:
    """A source as the stream carries it."""
    return {
        "n": n,
        "chunk_id": n,
        "document_id": "d",
        "title": f"Title {n} {HOSTILE}",
        "page": 10 + n,
        "text": text,
        "score": 0.5,
        "cited": cited,
    }


def make_span(text: str, part: str) -> dict[str, int]:
    return {"start": text.index(part), "end": text.index(part) + len(part)}


def make_end(*sources: dict[str, Any]) -> dict[str, Any]:
    """The data of the last event."""
    return {
        "sources": list(sources),
        "run_id": "r",
        "usage": {"provider": "extractive", "model": "extractive", "input_tokens": None, "output_tokens": None},
        "timings_ms": {"retrieval": 12.3, "rerank": None, "first_token": 15.0, "total": 1234.0},
    }


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path, before any server starts: a skip on a laptop without one, a failure where CI promises one."""
    if path := shutil.which("chromium"):
        return path
    message = "needs Chromium: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for all tests here; each test has a context of its own."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENT_MS)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=2 * PATIENT_MS)
        yield browser
        browser.close()


@pytest.fixture
def visit(standalone_url: str, browser: Browser) -> Iterator[Visit]:
    """The page on the real server."""
    width, height = DESKTOP
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        visit = Visit(context.new_page(), standalone_url)
        visit.open()
        yield visit
        visit.check()


@pytest.fixture
def held(standalone_url: str, browser: Browser) -> Iterator[Visit]:
    """The page with answers that the test lets out itself."""
    with browser.new_context() as context:
        visit = Visit(context.new_page(), standalone_url)
        visit.page.add_init_script(HELD_STREAMS)
        visit.open()
        yield visit
        visit.check()


def test_pdf_goes_in_and_an_answer_with_its_page_comes_out(visit: Visit) -> None:
    """From a PDF to the right sentence, written in pieces, with a link to the right page of the right document."""
    name = f"pump-{uuid4().hex[:8]}.pdf"
    facts = "The Aurora pump has a warranty of 36 months from the day of delivery.\nIts motor is sealed."
    row = visit.add_until_ready(name, make_pdf("The company was founded in Bergen in 1974.", facts))
    expect(row).to_contain_text("2 pages")
    row.get_by_role("checkbox").check()
    expect(visit.page.locator("#scope")).to_have_text(f"Asks only {name}.")
    visit.page.evaluate(RECORD_WRITES)
    with visit.page.expect_request("**/query/stream") as request:
        visit.ask("How long is the warranty of the Aurora pump?")
    assert len(json.loads(request.value.post_data or "")["document_ids"]) == 1
    expect(visit.page.locator("#timings")).to_contain_text("done in")
    answer = visit.page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("36 months")
    assert visit.page.evaluate("writes.length") > 3
    link = answer.get_by_role("link").first
    source = visit.page.locator(link.get_attribute("href") or "")
    link.click()
    expect(source).to_be_in_viewport()
    expect(source).to_contain_text("page 2")
    expect(source).to_contain_text("36 months")
    expect(source.get_by_text("cited")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    visit.page.screenshot(path=SCREENSHOTS / "page.png", full_page=True)


def test_follow_ups_work_until_a_new_conversation_begins(visit: Visit) -> None:
    """A tab has one conversation, also after a reload; another tab has none of it, and a new one knows nothing."""
    page, name = visit.page, f"rates-{uuid4().hex[:8]}.pdf"
    years = [f"In {year} the toll of the Ferrand bridge was {year - 2000} euro." for year in (2019, 2020)]
    visit.add_until_ready(name, make_pdf(*years)).get_by_role("checkbox").check()
    answer, earlier = page.get_by_role("region", name="Answer"), page.get_by_label("Earlier in this conversation")
    visit.ask("What was the toll of the Ferrand bridge in 2019?")
    expect(answer).to_contain_text("19 euro")
    expect(earlier).to_be_hidden()
    visit.ask("and in 2020?")
    expect(answer).to_contain_text("20 euro")
    expect(page.locator("#searched")).to_have_text(
        "Searched for: What was the toll of the Ferrand bridge, and in 2020?"
    )
    expect(earlier.get_by_role("listitem")).to_have_count(1)
    expect(earlier).to_contain_text("19 euro")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "page-conversation.png", full_page=True)

    with page.expect_response("**/conversations/*"):
        visit.open()
    expect(earlier.get_by_role("listitem")).to_have_count(2)
    with page.expect_request("**/query/stream") as request:
        visit.ask("Who built it?")
    name = json.loads(request.value.post_data or "")["conversation_id"]
    expect(page.locator("#searched")).to_have_text("Searched for: Who built it (Ferrand, 2020)?")
    page.get_by_role("button", name="New conversation").click()
    expect(earlier).to_be_hidden()
    expect(page.get_by_role("heading", name="From PDF to answer in three steps")).to_be_visible()
    with page.expect_request("**/query/stream") as request:
        visit.ask("and in 2020?")
    assert json.loads(request.value.post_data or "")["conversation_id"] != name
    expect(page.locator("#timings")).to_contain_text("done in")
    expect(page.locator("#searched")).to_have_text("")


def test_an_answer_that_failed_is_no_part_of_the_conversation(held: Visit) -> None:
    """One that was stopped is; the next question shows both where they belong."""
    page, earlier = held.page, held.page.get_by_label("Earlier in this conversation")
    held.ask("First?")
    held.push("token", {"token": "Half of it"})
    expect(page.locator("#answer")).to_have_text("Half of it")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_contain_text("Stopped")
    held.ask("Second?")
    expect(earlier.get_by_role("listitem")).to_have_text(["First?Half of it"])
    held.page.wait_for_function("answers.length > 1")
    held.push("token", {"token": "Broken"})
    error = {"code": "llm_timeout", "message": "Too slow.", "retryable": True, "partial": True}
    held.push("error", {"error": error})
    page.get_by_role("button", name="Ask again").click()
    held.page.wait_for_function("answers.length > 2")
    expect(earlier.get_by_role("listitem")).to_have_count(1)
    names = page.evaluate("answers.map((answer) => answer.query.conversation_id)")
    assert len(set(names)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_fits_the_screen(standalone_url: str, browser: Browser, scheme: Any, size: tuple[int, int]) -> None:
    """Nothing sticks out sideways, not even an unbroken word; both colour schemes differ."""
    width, height = size
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        visit = Visit(context.new_page(), standalone_url)
        visit.page.add_init_script(HELD_STREAMS)
        visit.open()
        visit.expected_status = "415"
        expect(visit.add(f"{'long' * 40}.pdf", b"no PDF")).to_contain_text("not added")
        visit.ask("w" * 300)
        visit.push("passages", {"passages": [make_source(n, "Passage " * 90 + "x" * 200) for n in (1, 2)]})
        visit.push("token", {"token": "y" * 300})
        visit.push("sources", make_end(make_source(1, "p", cited=True), make_source(2, "p")))
        expect(visit.page.locator("#timings")).to_contain_text("1.2 s")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 26)"
        assert dark == (scheme == "dark")
        SCREENSHOTS.mkdir(exist_ok=True)
        visit.page.screenshot(path=SCREENSHOTS / f"page-{width}-{scheme}.png", full_page=True)
        visit.check()


def test_empty_page_says_what_to_do_first(standalone_url: str, browser: Browser) -> None:
    """Nobody has to guess how to begin."""
    with browser.new_context() as context:
        page = context.new_page()
        empty = {"documents": [], "total": 0, "next_cursor": None}
        page.route("**/documents?*", lambda route: route.fulfill(json=empty))
        page.goto(standalone_url)
        expect(page.get_by_text("No documents yet. Add a PDF to begin.")).to_be_visible()
        expect(page.get_by_text("Add a PDF first.")).to_be_visible()
        expect(page.get_by_role("heading", name="From PDF to answer in three steps")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / "page-empty.png", full_page=True)


def test_long_list_comes_in_parts(standalone_url: str, browser: Browser) -> None:
    """Documents behind the first part of the list are one click away, and none is shown twice."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/documents?*", lambda route: route.fulfill(json=make_list(route.request.url)))
        page.goto(standalone_url)
        expect(page.locator(".row")).to_have_count(100)
        page.get_by_role("button", name="Show more").click()
        expect(page.locator(".row")).to_have_count(150)
        expect(page.get_by_role("button", name="Show more")).to_be_hidden()
        expect(page.locator("#scope")).to_contain_text("Asks all 150 ready documents.")


def test_documents_are_there_after_a_reload_until_they_are_deleted(visit: Visit) -> None:
    """The list is the server's; deleting asks once more and is for good."""
    name = f"kept-{uuid4().hex[:8]}.pdf"
    visit.add_until_ready(name, make_pdf(f"This page is about {name}."))
    visit.open()
    row = visit.find_row(name)
    expect(row).to_have_attribute("data-status", "ready")
    row.get_by_role("button", name="Delete").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Really delete?").click()
    expect(row).to_have_count(0)
    visit.open()
    expect(visit.find_row(name)).to_have_count(0)


def test_several_files_and_one_that_is_no_pdf(visit: Visit) -> None:
    """A file that is refused says why and what to do, and the others go in all the same."""
    visit.expected_status = "415"
    good, bad = f"good-{uuid4().hex[:8]}.pdf", f"bad-{uuid4().hex[:8]}.pdf"
    files = [make_payload(bad, b"just text"), make_payload(good, make_pdf(f"About {good}."))]
    visit.page.locator("#files").set_input_files(files)
    expect(visit.find_row(bad)).to_contain_text("not added")
    expect(visit.find_row(bad).get_by_role("list")).to_contain_text("PDF")
    expect(visit.find_row(good)).to_have_attribute("data-status", "ready", timeout=INGEST_MS)
    visit.find_row(bad).get_by_role("button", name="Delete").click()
    expect(visit.find_row(bad)).to_have_count(0)


def test_dropped_file_is_added(visit: Visit) -> None:
    """Drag and drop does what the button does."""
    name = f"dropped-{uuid4().hex[:8]}.pdf"
    transfer = visit.page.evaluate_handle(
        """([name, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(bytes)], name, { type: "application/pdf" }));
          return transfer;
        }""",
        [name, list(make_pdf(f"About {name}."))],
    )
    for event in ("dragover", "drop"):
        visit.page.locator("#drop").dispatch_event(event, {"dataTransfer": transfer})
    expect(visit.find_row(name)).to_have_attribute("data-status", "ready", timeout=INGEST_MS)


def test_document_that_cannot_be_read_says_why(visit: Visit) -> None:
    """A damaged PDF ends as failed, with a reason, and cannot be ticked."""
    name = f"damaged-{uuid4().hex[:8]}.pdf"
    row = visit.add(name, b"%PDF-1.7\n" + uuid4().bytes * 40)
    expect(row).to_have_attribute("data-status", "failed", timeout=INGEST_MS)
    expect(row.get_by_role("listitem")).not_to_be_empty()
    expect(row.locator("input")).to_be_disabled()


def test_hostile_document_is_shown_as_text(visit: Visit) -> None:
    """Markup in a file's name and text is text on the page: no element, no dialog, no call to another host."""
    token = uuid4().hex[:8]
    name = f"<img src=x onerror=alert({token})>.pdf"
    remote = '<img src="http://203.0.113.1/p.png"><a href="javascript:alert(3)">x</a>'
    row = visit.add_until_ready(name, make_pdf(f"The zebra code is {token} {HOSTILE}\n{remote}"))
    row.get_by_role("checkbox").check()
    visit.ask("What is the zebra code?")
    expect(visit.page.locator("#timings")).to_contain_text("done in")
    expect(visit.page.locator("#sources .passage").first).to_contain_text(HOSTILE)
    expect(visit.page.locator("#sources .title").first).to_contain_text("<img src=x onerror=")
    links = visit.page.locator("main a:not(.cite)")  # titles, which open the PDF at the page
    hrefs = [links.nth(n).get_attribute("href") or "" for n in range(links.count())]
    assert hrefs
    assert all(re.fullmatch(r"/documents/doc_[0-9a-f]{32}/file#page=1", href) for href in hrefs)


def test_tokens_are_on_the_page_while_the_stream_is_open(held: Visit) -> None:
    """Passages first, then each token at once, whatever portions the bytes come in."""
    page = held.page
    held.ask("When?")
    held.push_text(": ping\r\n\r\nevent: something-new\r\ndata: not json\r\n\r\n")
    held.push("passages", {"passages": [make_source(1, "First passage 🙂"), make_source(2, "Second")]})
    expect(page.locator("#source-1")).to_contain_text("First passage 🙂")
    expect(page.locator("#source-1")).to_contain_text("page 11")
    for token, shown in [("On", "On"), (" day ü\u2028🙂", "On day ü\u2028🙂"), ("\n<b>", "On day ü\u2028🙂\n<b>")]:
        held.push("token", {"token": token})
        expect(page.locator("#answer")).to_have_js_property("textContent", shown)
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "true")
    held.push_text('event: token\ndata: {"token": "\\ud83d"}\n\nevent: token\ndata: {"token": "\\ude42"}\n\n')
    expect(page.get_by_text("cited", exact=True).first).to_be_hidden()
    for token in ("[", "2", "] and [7].", f" {HOSTILE} [x"):
        held.push("token", {"token": token})
    held.push("sources", make_end(make_source(1, "First passage 🙂"), make_source(2, "Second", cited=True)))
    expect(page.locator("#timings")).to_have_text(
        "passages in 12 ms · first word after 15 ms · done in 1.2 s · extractive"
    )
    expect(page.locator("#answer")).to_have_js_property(
        "textContent", f"On day ü\u2028🙂\n<b>🙂[2] and [7]. {HOSTILE} [x"
    )
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("link", name="Source 2")).to_have_attribute("href", "#source-2")
    expect(page.locator("#answer a")).to_have_count(1)
    expect(page.locator("#source-2").get_by_text("cited", exact=True)).to_be_visible()
    expect(page.locator("#source-1").get_by_text("cited", exact=True)).to_be_hidden()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_what_was_read_from_a_picture_is_marked(held: Visit) -> None:
    """It may be misread; the PDF's own text bears no such mark."""
    held.ask("When?")
    scanned = make_source(2, "Second") | {"ocr": True, "ocr_confidence": 0.914}
    held.push("passages", {"passages": [make_source(1, "First"), scanned]})

    expect(held.page.locator("#source-2")).to_contain_text("read from a picture, 91 % sure")
    expect(held.page.locator("#source-1")).not_to_contain_text("picture")


def test_an_unsupported_citation_is_told_from_a_supported_one(held: Visit) -> None:
    """Its link says what the passage lacks, its source says so, and in the passage stands marked what was found."""
    text = "🙂 It was 12 % [1], or 17 % [2]."
    supported = {"n": 1, **make_span(text, "[1]"), "claim": make_span(text, "It was 12 %"), "supported": True}
    wrong = {"n": 2, **make_span(text, "[2]"), "claim": make_span(text, "or 17 %"), "supported": False}
    passage = "🙂🙂 It rose to 12 % then."
    citations = [
        supported | {"evidence": [make_span(passage, "12 %")], "missing": []},
        wrong | {"evidence": [], "missing": [make_span(text, "17 %")]},
    ]
    sources = [
        make_source(1, passage, cited=True) | {"supported": True},
        make_source(2, "Nothing.", cited=True) | {"supported": False},
        make_source(3, "Nothing."),
    ]
    held.ask("When?")
    held.push("token", {"token": text})
    held.push("sources", make_end(*sources) | {"citations": citations})
    expect(held.page.locator("#timings")).to_contain_text("done in")
    expect(held.page.locator("#answer")).to_have_js_property("textContent", text)
    links = held.page.locator("#answer a.cite")
    expect(links.nth(0)).to_have_attribute("class", "cite")
    expect(links.nth(1)).to_have_attribute("class", "cite unsupported")
    expect(links.nth(1)).to_have_attribute("title", "Not in the passage: “17 %”")
    expect(held.page.locator("#sources mark")).to_have_text(["12 %"])
    expect(held.page.locator("#passage-1")).to_have_js_property("textContent", passage)
    for n, label in ((1, "supported"), (2, "not supported")):
        expect(held.page.locator(f"#source-{n}").get_by_text(label, exact=True)).to_be_visible()
    expect(held.page.get_by_text("supported", exact=True)).to_have_count(3)
    expect(held.page.locator("#source-3").get_by_text("supported", exact=True)).to_be_hidden()


def test_every_form_of_a_marker_is_linked(held: Visit) -> None:
    """The text stays as it came; each number that counts is a link to its source, and nothing else is one."""
    text = (
        "A [1], [1, 2], [1][3], [2–3], 【3†source】, ［２］, [٣], [^1], [ 1 ], [Source 2], [1, page 3], [2 and 3]; "
        "no links: `a[1]`, a[1], x[1], [1](x), [2024], [4], [sic], [1.5], (1)\n```\n[1]\n```\nend [2]."
    )
    expected = ["1", "1", "2", "1", "3", "2", "3", "3", "2", "3", "1", "1", "2", "1", "2", "3", "2"]
    held.ask("When?")
    held.push("passages", {"passages": [make_source(n, "p") for n in (1, 2, 3, 4)]})
    held.push("token", {"token": text[:90]})
    held.push("token", {"token": text[90:]})
    held.push("sources", make_end(*(make_source(n, "p", cited=n < 4) for n in (1, 2, 3, 4))))
    expect(held.page.locator("#timings")).to_contain_text("done in")
    expect(held.page.locator("#answer")).to_have_js_property("textContent", text)
    links = held.page.locator("#answer a.cite")
    assert [link.get_attribute("href") for link in links.all()] == [f"#source-{n}" for n in expected]
    assert held.page.get_by_role("link", name="Source 3").first.get_attribute("href") == "#source-3"


def test_stop_ends_the_stream_and_keeps_what_is_there(held: Visit) -> None:
    """Stopping closes the connection, so that the server stops too, and is no error."""
    held.ask("When?")
    held.push("token", {"token": "Half"})
    expect(held.page.locator("#answer")).to_have_text("Half")
    held.page.get_by_role("button", name="Stop").click()
    expect(held.page.get_by_text("Stopped. The answer is not complete.")).to_be_visible()
    expect(held.page.locator("#answer")).to_have_text("Half")
    expect(held.page.locator("#answer-problem")).to_be_hidden()
    assert held.page.evaluate("answers[0].aborted")


def test_next_question_replaces_the_one_that_is_running(held: Visit) -> None:
    """Tokens of an abandoned answer never get into the next one."""
    held.ask("First?")
    held.push("token", {"token": "First"})
    expect(held.page.locator("#answer")).to_have_text("First")
    held.ask("Second?")
    held.page.wait_for_function("answers.length === 2")
    held.push("token", {"token": "Second"})
    expect(held.page.locator("#answer")).to_have_text("Second")
    assert held.page.evaluate("answers.map(answer => answer.aborted)") == [True, False]
    expect(held.page.get_by_role("button", name="Stop")).to_be_visible()


@pytest.mark.parametrize("how", ["close()", "error(new TypeError('network error'))"])
def test_broken_stream_is_shown_as_broken(held: Visit, how: str) -> None:
    """A stream that ends without its last event never passes for a whole answer."""
    held.ask("When?")
    held.push("token", {"token": "Half an"})
    held.push_text('event: sources\r\ndata: {"sources": []}\r\n')  # cut before the line that completes it
    expect(held.page.locator("#answer")).to_have_text("Half an")
    held.end(how)
    alert = held.page.locator("#answer-problem")
    expect(alert).to_contain_text("The connection broke off before the answer was complete.")
    expect(held.page.get_by_text("The answer is not complete.", exact=True)).to_be_visible()
    alert.get_by_role("button", name="Ask again").click()
    held.page.wait_for_function("answers.length === 2")
    assert held.page.evaluate("answers[1].query.question") == "When?"
    expect(alert).to_be_hidden()


def test_answer_that_was_cut_off_says_so(held: Visit) -> None:
    """It is shown with its sources, and beside it stands that it is not the whole answer."""
    held.ask("When?")
    held.push("token", {"token": "Half"})
    held.push("sources", make_end(make_source(1, "p")) | {"finish_reason": "length"})
    expect(held.page.locator("#answer-problem")).to_contain_text("The answer was cut off")
    expect(held.page.locator("#answer")).to_have_text("Half")
    expect(held.page.locator("#timings")).to_contain_text("done in")


@pytest.mark.parametrize("retryable", [True, False])
def test_error_event_is_shown_beside_the_answer(held: Visit, retryable: bool) -> None:
    """An error is never answer text; asking again is offered where it can help."""
    held.ask("When?")
    held.push("token", {"token": f"{HOSTILE} Half"})
    error = {"code": "llm_busy", "message": f"Too busy {HOSTILE}", "retryable": retryable, "partial": True}
    held.push("error", {"error": error})
    alert = held.page.locator("#answer-problem")
    expect(alert.get_by_role("paragraph")).to_have_text(f"Too busy {HOSTILE}")
    expect(alert.get_by_role("button", name="Ask again")).to_have_count(int(retryable))
    expect(held.page.locator("#answer")).to_have_text(f"{HOSTILE} Half")
    expect(held.page.get_by_role("button", name="Stop")).to_be_hidden()


def test_refusal_is_shown_in_the_servers_words(visit: Visit) -> None:
    """An error before the stream begins is the JSON error body, and its message is for people."""
    visit.expected_status = "503"
    error = {"code": "dependency_unavailable", "message": "The index does not answer.", "request_id": "r"}
    visit.page.route("**/query/stream", lambda route: route.fulfill(status=503, json={"error": error}))
    visit.ask("When?")
    expect(visit.page.get_by_role("alert").get_by_text("The index does not answer.")).to_be_visible()


def test_server_that_is_gone_is_named(standalone_url: str, browser: Browser) -> None:
    """Without a connection the page says so and offers to try again, for documents and for questions."""
    with browser.new_context() as context:
        page = context.new_page()
        for path in ("**/documents?*", "**/query/stream"):
            page.route(path, lambda route: route.abort("connectionrefused"))
        page.goto(standalone_url)
        expect(page.locator("#documents-problem")).to_contain_text("Pagewire cannot be reached.")
        page.get_by_label("Your question").fill("When?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answer-problem")).to_contain_text("Pagewire cannot be reached.")
        page.unroute("**/documents?*")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#documents-problem")).to_be_hidden()


def test_event_parser_gives_the_same_events_for_any_split(visit: Visit) -> None:
    """Every way to cut a stream in three gives what the whole gives, with each of the three line ends."""
    stream = ": ping\n\nevent: token\ndata: a\n data: x\ndata:b\n\ndata\n\nevent: lost\n\ndata: 🙂\nid: 1\n\ndata: cut"
    result = visit.page.evaluate(
        """async (stream) => {
          const { createEventParser } = await import("/static/page.js");
          const read = (portions) => {
            const events = [];
            const feed = createEventParser((name, data) => events.push([name, data]));
            portions.forEach(feed);
            return JSON.stringify(events);
          };
          const seen = new Set();
          for (const end of ["\\n", "\\r", "\\r\\n"]) {
            const text = stream.replaceAll("\\n", end);
            for (let a = 0; a <= text.length; a++) {
              for (let b = a; b <= text.length; b++) {
                seen.add(read([text.slice(0, a), text.slice(a, b), text.slice(b)]));
              }
            }
          }
          return [...seen];
        }""",
        stream,
    )
    assert [json.loads(events) for events in result] == [
        [["token", "a\nb"], ["message", ""], ["message", "🙂"]],
    ]
