"""The whole system in the test's own event loop, with the blocking detector on: what a document and a question do."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.embedding.dense import DenseEmbedder
from tests.integration.conftest import ask_stream
from tests.loaded_system import run_loaded_system
from tests.pdfs import make_pdf, make_pdf_without_pages
from tests.scans import bind, print_page, turn

PAGES = [
    "The heron drone\nThe heron is a survey drone for wetlands. It was released on 3 May 2024.",
    "Technical data\nMaximum wind speed 14 m/s\nFlight time 47 minutes\nList price 12,900 euro",
]


@pytest.fixture
async def client(
    redis_url: str, tmp_path: Path, settings: GatewaySettings, embedder: DenseEmbedder
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole system on an empty data folder."""
    standalone = StandaloneSettings(
        gateway=settings.model_copy(update={"max_upload_mb": 1}),
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path, ocr="on", ocr_languages="eng+deu"),
    )
    async with run_loaded_system(standalone, embedder) as client:
        yield client


async def upload(client: httpx.AsyncClient, content: bytes, name: str = "heron.pdf", wait: int = 60) -> httpx.Response:
    return await client.post("/documents", params={"wait": wait}, files={"file": (name, content)})


async def test_a_document_is_found_until_it_is_deleted(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Uploaded, ready, answered with its page, listed, deleted, gone from answers and from disk."""
    response = await upload(client, make_pdf(PAGES))
    accepted = response.json()
    assert response.status_code == 202
    assert (accepted["status"], accepted["pages_processed"], accepted["duplicate"]) == ("ready", 2, False)
    assert accepted["chunks_indexed"] >= 2
    document_id = accepted["document_id"]

    answer = (await client.post("/query", json={"question": "What is the list price of the heron?"})).json()
    cited = [source for source in answer["sources"] if source["cited"]]
    assert "12,900" in answer["answer"]
    assert {source["page"] for source in cited} == {2}
    assert {source["document_id"] for source in cited} == {document_id}
    assert {source["title"] for source in cited} == {"The heron drone"}
    assert {(source["ocr"], source["ocr_confidence"]) for source in cited} == {(False, None)}

    record = (await client.get(f"/documents/{document_id}")).json()
    assert (record["pages_done"], record["pages_total"], record["status"]) == (2, 2, "ready")
    assert record["chunks_done"] == record["chunks_total"] == accepted["chunks_indexed"]
    assert [item["document_id"] for item in (await client.get("/documents")).json()["documents"]] == [document_id]

    other = (await upload(client, make_pdf(["Nothing but otters here."]), "otters.pdf")).json()["document_id"]
    assert (await client.delete(f"/documents/{document_id}")).status_code == 204
    events = await ask_stream(client, "What is the list price of the heron?")
    assert {source["document_id"] for source in events[-1].data["sources"]} == {other}
    assert (await client.get(f"/documents/{document_id}")).status_code == 404
    assert (await client.delete(f"/documents/{document_id}")).status_code == 404
    await wait_until_purged(tmp_path, document_id)


async def wait_until_purged(folder: Path, document_id: str) -> None:
    """Returns when the purge has removed the bytes; pytest's timeout is the limit."""
    while await asyncio.to_thread(lambda: list((folder / "blobs").rglob(f"*{document_id}*"))):
        await asyncio.sleep(0.05)


async def test_the_same_upload_is_the_same_document(client: httpx.AsyncClient) -> None:
    """Same bytes and name: one document, said to be a duplicate, ready at once; another name: another document."""
    content = make_pdf(PAGES)
    first = (await upload(client, content)).json()
    again = (await upload(client, content, wait=0)).json()
    renamed = (await upload(client, content, "copy.pdf")).json()

    assert again == {"document_id": first["document_id"], "status": "ready", "duplicate": True}
    assert renamed["duplicate"] is False
    assert renamed["document_id"] != first["document_id"]
    assert (await client.get("/documents")).json()["total"] == 2


async def test_questions_can_be_narrowed_to_documents(client: httpx.AsyncClient) -> None:
    """`document_ids` limits the sources; unknown, empty and unfinished ones are said."""
    one = (await upload(client, make_pdf(["The otter weighs nine kilograms."]), "one.pdf")).json()["document_id"]
    two = (await upload(client, make_pdf(["The beaver weighs thirty kilograms."]), "two.pdf")).json()["document_id"]

    body = {"question": "How heavy is the animal?", "document_ids": [two]}
    answer = (await client.post("/query", json=body)).json()
    assert {source["document_id"] for source in answer["sources"]} == {two}

    unknown = await client.post("/query", json={"question": "x", "document_ids": [one, "doc_unknown"]})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    empty = await client.post("/query", json={"question": "x", "document_ids": []})
    assert (empty.status_code, empty.json()["error"]["code"]) == (422, "invalid_value")
    failed = (await upload(client, make_pdf([""]), "empty.pdf")).json()["document_id"]
    unfinished = await client.post("/query/stream", json={"question": "x", "document_ids": [failed]})
    assert (unfinished.status_code, unfinished.json()["error"]["code"]) == (409, "document_failed")


async def test_what_is_not_there_is_said(client: httpx.AsyncClient) -> None:
    """No document: an error that says what to do. No answer: the fixed sentence, and nothing cited."""
    nothing = await client.post("/query", json={"question": "How much?"})
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (400, "no_documents")

    await upload(client, make_pdf(PAGES))
    events = await ask_stream(client, "Who is the chief financial officer?")

    assert "".join(event.data["token"] for event in events[:-1]) == NOT_FOUND_ANSWER
    assert not any(source["cited"] for source in events[-1].data["sources"])


async def test_what_is_asked_in_other_words_is_answered(client: httpx.AsyncClient) -> None:
    """The glossary that the search knows is the answer's, too."""
    page = (
        "Cash flows\nNet cash provided by operating activities 6,439\nPurchases of property, plant and equipment 1,577"
    )
    await upload(client, make_pdf([*PAGES, page]))

    answer = (await client.post("/query", json={"question": "What was capex?"})).json()

    assert "Purchases of property, plant and equipment 1,577" in answer["answer"]
    assert [source["page"] for source in answer["sources"] if source["cited"]] == [3]


async def test_pages_without_text_are_a_warning(client: httpx.AsyncClient) -> None:
    """A scan between pages of text does not fail the document and is not passed over in silence."""
    document_id = (await upload(client, make_pdf([PAGES[0], "", PAGES[1], ""]))).json()["document_id"]

    record = (await client.get(f"/documents/{document_id}")).json()

    assert record["status"] == "ready"
    assert [(warning["code"], warning["pages"]) for warning in record["warnings"]] == [("pages_without_text", [2, 4])]


async def test_a_scan_is_found_by_what_is_printed_on_it(client: httpx.AsyncClient) -> None:
    """On the right page, askew and in German, too. That it was a picture is said, and the empty page named."""
    german = "Der Reiher wird in Köln gebaut und kostet ohne Akku 9.900 Euro."
    pages = [turn(print_page(PAGES[0]), 2.5), print_page(""), print_page(PAGES[1]), print_page(german)]
    document_id = (await upload(client, bind(pages), "scan.pdf", wait=120)).json()["document_id"]

    record = (await client.get(f"/documents/{document_id}")).json()
    assert (record["status"], record["pages_done"], record["title"]) == ("ready", 4, "The heron drone")
    assert [(warning["code"], warning["pages"]) for warning in record["warnings"]] == [("pages_without_text", [2])]

    for question, expected, page in (
        ("What is the list price of the heron?", "12,900", 3),
        ("When was the heron released?", "3 May 2024", 1),
        ("Was kostet der Reiher ohne Akku?", "9.900", 4),
    ):
        events = await ask_stream(client, question)
        assert expected in "".join(event.data["token"] for event in events[:-1])
        cited = [source for source in events[-1].data["sources"] if source["cited"]]
        assert {(source["page"], source["ocr"]) for source in cited} == {(page, True)}
        assert all(source["ocr_confidence"] > 0.8 for source in cited)


BAD_FILES = [
    pytest.param(make_pdf(["secret"], password="x"), "encrypted", id="encrypted"),
    pytest.param(make_pdf(["some text"] * 5)[:300], "damaged", id="truncated"),
    pytest.param(make_pdf(["", ""]), "no_text", id="no text layer"),
    pytest.param(make_pdf_without_pages(), "no_pages", id="no pages"),
]


@pytest.mark.parametrize(("content", "code"), BAD_FILES)
async def test_a_pdf_that_cannot_be_read_fails_with_a_reason(
    client: httpx.AsyncClient, content: bytes, code: str
) -> None:
    """The record says `failed`, a code and what to do; the service goes on; a new try is possible."""
    accepted = (await upload(client, content, "bad.pdf")).json()

    assert accepted["status"] == "failed"
    assert accepted["failure"]["code"] == code
    assert len(accepted["failure"]["detail"]) > 20
    record = (await client.get(f"/documents/{accepted['document_id']}")).json()
    assert (record["status"], record["failure"]["code"]) == ("failed", code)
    again = (await upload(client, content, "bad.pdf")).json()
    assert (again["document_id"], again["duplicate"], again["status"]) == (accepted["document_id"], True, "failed")
    assert (await upload(client, make_pdf(PAGES))).json()["status"] == "ready"


async def test_a_document_whose_bytes_were_lost_is_healed_by_uploading_it_again(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """`blob_missing` says to upload again, and that is all it takes."""
    content = make_pdf(["", ""])
    document_id = (await upload(client, content, "scan.pdf")).json()["document_id"]
    lost = await asyncio.to_thread(lambda: next((tmp_path / "blobs").rglob(f"*{document_id}*")))
    await asyncio.to_thread(lost.unlink)

    again = (await upload(client, content, "scan.pdf")).json()

    assert (again["document_id"], again["failure"]["code"]) == (document_id, "no_text")
    assert await asyncio.to_thread(lost.exists)


def make_form(*parts: tuple[bytes, str], preamble: bytes = b"") -> dict[str, object]:
    """A request with a hand-made form, by content and disposition of its parts."""
    form = "--B\r\nContent-Disposition: form-data; %s\r\n\r\n"
    body = preamble + b"".join((form % disposition).encode() + content + b"\r\n" for content, disposition in parts)
    body += b"--B--\r\n"
    return {"content": body, "headers": {"Content-Type": "multipart/form-data; boundary=B"}}


BAD_UPLOADS = [
    pytest.param({"files": {"file": ("a.pdf", b"hello")}}, 415, "not_a_pdf", id="not a PDF"),
    pytest.param({"files": {"file": ("a.pdf", b"")}}, 400, "empty_file", id="empty"),
    pytest.param({"files": {"document": ("a.pdf", b"%PDF-1.4")}}, 422, "missing_file", id="wrong field"),
    pytest.param({"json": {"file": "x"}}, 422, "missing_file", id="not a form"),
    pytest.param({}, 422, "missing_file", id="nothing"),
    pytest.param({"data": {"file": "%PDF-1.4"}}, 422, "missing_file", id="urlencoded"),
    pytest.param(make_form((b"%PDF-1.4", 'name="file"')), 422, "missing_file", id="a text field"),
    pytest.param(make_form((b"", 'name="file"; filename=""')), 422, "missing_file", id="nothing chosen"),
    pytest.param(
        {"files": [("file", ("a.pdf", b"%PDF-1.4")), ("file", ("b.pdf", b"%PDF-1.4"))]},
        422,
        "several_files",
        id="two files",
    ),
    pytest.param(
        make_form((b"%PDF-1.4", 'name="file"; filename=""'), (b"%PDF-1.4", 'name="file"; filename=""')),
        422,
        "several_files",
        id="two files without names",
    ),
    pytest.param({"files": {"file": ("a.pdf", b"%PDF-1.4" + b"x" * 3 * 1024 * 1024)}}, 413, "too_large", id="3 MB"),
    pytest.param(
        {"content": b"--B\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=B"}},
        400,
        "broken_form",
        id="broken form",
    ),
    pytest.param(
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "B" * 5000}},
        422,
        "missing_file",
        id="endless boundary",
    ),
    pytest.param({"files": {"file": ("a.pdf", b"%PDF-1.4")}, "params": {"wait": -1}}, 422, "invalid_value", id="wait"),
]


async def test_an_upload_that_breaks_off_is_refused(client: httpx.AsyncClient) -> None:
    """A form without its last boundary lacks bytes of the PDF: it is no document, not half of one."""
    whole = client.build_request("POST", "/documents", files={"file": ("a.pdf", make_pdf(PAGES))})
    body = whole.read()

    for kept in (len(body) - 10, len(body) // 2):
        response = await client.post(
            "/documents", content=body[:kept], headers={"Content-Type": whole.headers["content-type"]}
        )
        assert (response.status_code, response.json()["error"]["code"]) == (400, "broken_form")
    assert (await client.get("/documents")).json()["total"] == 0


async def test_an_upload_of_unknown_length_is_refused_when_it_is_too_large(client: httpx.AsyncClient) -> None:
    """A client that cannot say the length beforehand gets the same answer, later."""

    async def drip() -> AsyncIterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        for _ in range(3):
            yield b"x" * 1024 * 1024

    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    response = await client.post("/documents", content=drip(), headers=headers)

    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(("request_parts", "status", "code"), BAD_UPLOADS)
async def test_an_upload_that_is_none_is_refused(
    client: httpx.AsyncClient, request_parts: dict[str, object], status: int, code: str
) -> None:
    """Each with its status, a code and what to do; nothing is recorded and nothing is left on disk."""
    response = await client.post("/documents", **request_parts)  # type: ignore[arg-type]

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert len(error["message"]) > 10
    assert error["request_id"] == response.headers["x-request-id"]
    assert (await client.get("/documents")).json()["total"] == 0


async def test_a_name_in_any_spelling_is_kept(client: httpx.AsyncClient) -> None:
    """Accents, paths, escapes, nothing: a readable name, never a path and never too long."""
    names = {
        'filename="naïve plan.pdf"': "naïve plan.pdf",
        'filename="C:\\\\temp\\\\plan.pdf"': "plan.pdf",
        'filename="../../etc/plan.pdf"': "plan.pdf",
        'filename=""': "document.pdf",
        'filename="می\u200cخواهم \u202e2\u200b.pdf"': "می\u200cخواهم 2.pdf",
        'filename="a %22b%22%0D%0A.pdf"': 'a "b".pdf',
        "filename*=UTF-8''na%C3%AFve%20copy.pdf": "naïve copy.pdf",
        "filename=\"plain.pdf\"; filename*=UTF-8''other.pdf": "plain.pdf",
        f'filename="{"x" * 5000}.pdf"': "x" * 196 + ".pdf",
    }
    for number, (given, kept) in enumerate(names.items()):
        form = make_form((make_pdf([f"page {number}"]), f'name="file"; {given}'))
        response = await client.post("/documents", **form)  # type: ignore[arg-type]
        assert response.status_code == 202, given
        assert (await client.get(f"/documents/{response.json()['document_id']}")).json()["filename"] == kept


async def test_a_form_may_have_more_around_its_file(client: httpx.AsyncClient) -> None:
    """A preamble, text fields, and the part that a browser sends for a field in which nothing was chosen."""
    nothing, file = (b"", 'name="file"; filename=""'), (make_pdf(PAGES), 'name="file"; filename="a.pdf"')
    form = make_form(nothing, (b"x", 'name="note"'), file, nothing, preamble=b"To whom it may concern:\r\n")

    response = await client.post("/documents", **form)  # type: ignore[arg-type]

    assert response.status_code == 202
    assert (await client.get("/documents")).json()["documents"][0]["filename"] == "a.pdf"


async def test_the_same_text_in_two_documents_is_still_found(client: httpx.AsyncClient) -> None:
    """A revised copy beside the original: what both say on the same lines is no page header of either."""
    for name in ("first.pdf", "second.pdf", "third.pdf"):
        await upload(client, make_pdf(PAGES), name)

    answer = (await client.post("/query", json={"question": "What is the list price of the heron?"})).json()

    assert "12,900" in answer["answer"]


BAD_QUESTIONS = [
    pytest.param({"question": ""}, 422, "invalid_value", id="empty"),
    pytest.param({"question": " \n\t "}, 422, "invalid_value", id="blank"),
    pytest.param({"question": "\u200b\u0000\u2800 "}, 422, "invalid_value", id="invisible"),
    pytest.param({"question": "x", "pad": "x" * 2_000_000}, 413, "too_large", id="2 MB"),
    pytest.param({"question": "x" * 4001}, 422, "invalid_value", id="too long"),
    pytest.param({"question": "x", "top_k": 0}, 422, "invalid_value", id="top_k 0"),
    pytest.param({"question": "x", "top_k": 51}, 422, "invalid_value", id="top_k 51"),
    pytest.param({"question": "x", "provider": "skynet"}, 422, "unknown_provider", id="unknown provider"),
    pytest.param({"question": "x", "include": ["everything"]}, 422, "invalid_value", id="unknown include"),
    pytest.param({"question": "x", "document_ids": ["\ud800"]}, 422, "invalid_value", id="half a character"),
    pytest.param({"question": "x\ud800"}, 422, "invalid_value", id="half a character in the question"),
    pytest.param({}, 422, "invalid_value", id="no question"),
    pytest.param([], 422, "invalid_value", id="no object"),
]


@pytest.mark.parametrize("route", ["/query", "/query/stream"])
@pytest.mark.parametrize(("body", "status", "code"), BAD_QUESTIONS)
async def test_a_question_that_is_none_is_refused(
    client: httpx.AsyncClient, route: str, body: object, status: int, code: str
) -> None:
    """A status and a code before any stream begins, and never the input itself in the answer."""
    headers = {"Content-Type": "application/json"}
    response = await client.post(route, content=json.dumps(body), headers=headers)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert "xxxx" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/documents/doc_unknown", 404),
        ("DELETE", "/documents/doc_unknown", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/query", 405),
        ("GET", "/documents?limit=0", 422),
        ("GET", "/documents?offset=9223372036854775807", 422),
        ("GET", "/static/../settings.py", 404),
    ],
)
async def test_unknown_ids_and_routes_have_the_error_body(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """One JSON shape for every error, also for those that the framework finds."""
    response = await client.request(method, path)

    assert response.status_code == status
    assert set(response.json()["error"]) >= {"code", "message", "request_id"}


async def test_readiness_names_every_part(client: httpx.AsyncClient) -> None:
    """Health says what is on and what is off, reranking included; the old /health still answers."""
    ready = await client.get("/health/ready")

    assert ready.status_code == 200
    assert ready.json()["parts"] == {
        "embedder": "ok",
        "index": "ok",
        "registry": "ok",
        "reranker": "offline",
        "llm": "extractive",
    }
    assert (await client.get("/health")).json()["status"] == "ok"


async def test_timings_tell_the_reranking(client: httpx.AsyncClient) -> None:
    """There is one also where no cross-encoder is to be had."""
    await upload(client, make_pdf(PAGES))

    body = (await client.post("/query", json={"question": "How long does it fly?"})).json()

    assert body["timings_ms"]["rerank"] > 0
    assert body["timings_ms"]["retrieval"] > 0


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    """The page and its two files come from here, under a policy that forbids everything else."""
    page = await client.get("/")

    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("style.css", "page.js"):
        assert f"/static/{name}" in page.text
        assert (await client.get(f"/static/{name}")).status_code == 200
