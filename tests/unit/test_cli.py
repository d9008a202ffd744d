"""The `pagewire` command against a real HTTP server that speaks the gateway's contract."""

import asyncio
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import Body, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from multipart import MultipartParser, parse_options_header

from services.cli import add
from services.cli.ask import describe_sources
from services.cli.main import main as pagewire
from shared.contracts.questions import Source
from tests.patience import PATIENT_S

ROOT = Path(__file__).parents[2]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 1200
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp"


@dataclass
class Gateway:
    """A stub of the gateway and what it saw."""

    url: str = ""
    uploads: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)


def describe_document(document_id: str, filename: str) -> dict[str, Any]:
    """A queued document's record."""
    moment = "2025-01-01T00:00:00Z"
    return {
        "document_id": document_id,
        "filename": filename,
        "title": filename,
        "status": "queued",
        "size_bytes": 1,
        "sha256": "0",
        "created_at": moment,
        "updated_at": moment,
        "a_key_of_a_later_version": 1,
    }


def describe_source(n: int, *, cited: bool) -> dict[str, Any]:
    """A source as the last event carries it."""
    return {
        "n": n,
        "chunk_id": n,
        "document_id": "d",
        "title": f"Handbook {HOSTILE}",
        "page": 10 + n,
        "text": "text",
        "score": 0.5,
        "cited": cited,
    }


def write_event(name: str, data: object) -> bytes:
    """One event of the stream."""
    return f"event: {name}\r\ndata: {json.dumps(data, ensure_ascii=False)}\r\n\r\n".encode()


def fail(status: int, code: str, message: str) -> JSONResponse:
    """The contract's error body."""
    return JSONResponse({"error": {"code": code, "message": message, "request_id": "r"}}, status)


def move(record: dict[str, Any]) -> None:
    """Takes a document one step further, as a worker would between two polls."""
    if record["status"] == "queued":
        record |= {"status": "parsing", "pages_total": 2, "pages_done": 1}
    elif record["status"] == "parsing":
        record |= {"status": "embedding", "pages_done": 2, "chunks_total": 4, "chunks_done": 1}
    elif record["filename"].startswith("damaged"):
        record |= {"status": "failed", "failure": {"code": "damaged", "detail": "The file is damaged.", "page": 2}}
    else:
        record |= {"status": "ready", "chunks_done": 4}
        record["warnings"] = [{"code": "no_text", "detail": "Pages without text were left out", "pages": [2]}]


async def stream_answer(gateway: Gateway, question: str) -> AsyncIterator[bytes]:
    """The stream that belongs to a question."""
    tokens = ["The ", "answer\u2028 is ", "42", " [1].", "\x1b[2J"]
    error = {"code": "llm_busy", "message": "The model is busy.", "retryable": True, "partial": True}
    yield b": ping\r\n\r\n"
    yield write_event("something_new", "not even an object")
    yield write_event("token", {"token": tokens[0]})
    match question:
        case "wait":
            try:
                await asyncio.Event().wait()
            finally:
                gateway.left.set()
        case "error":
            yield write_event("error", {"error": error})
        case "end early":
            return
        case "drop":
            raise ConnectionAbortedError
        case "nonsense":
            yield b"event: token\r\ndata: {\r\n\r\n"
        case "emoji":
            # The gateway writes ASCII, so that a pair that a model split over two tokens gets through.
            for half in ("\\ud83d", "\\ude42"):
                yield f'event: token\ndata: {{"token": "{half}"}}\n\n'.encode()
    for token in tokens[1:]:
        yield write_event("token", {"token": token})
    timings = {"retrieval": 1.0, "rerank": None, "first_token": 2.0, "total": 3.0}
    sources = [describe_source(1, cited=True), describe_source(2, cited=False)]
    usage = {"provider": "extractive", "model": "extractive"}
    end = {"sources": sources, "run_id": "r", "usage": usage, "timings_ms": timings}
    # Left out where all is well, as by a gateway of an earlier version.
    finish = {"finish_reason": question} if question in ("length", "filtered", "other") else {}
    yield write_event("sources", end | finish)


def build_app(gateway: Gateway) -> FastAPI:
    """The routes that the command uses."""
    app = FastAPI()

    @app.post("/documents", status_code=202, response_model=None)
    async def add(request: Request) -> Response | dict[str, Any]:
        _, options = parse_options_header(request.headers["content-type"])
        body = io.BytesIO(await request.body())
        (file,) = MultipartParser(body, options["boundary"], spool_limit=1 << 20).parts()
        content, name = file.raw, file.filename
        if not content.startswith(b"%PDF-"):
            return fail(415, "not_a_pdf", "This is not a PDF. Choose a PDF file.")
        duplicate = name in gateway.uploads
        gateway.uploads[name] = content
        gateway.documents.setdefault(f"id-{name}", describe_document(f"id-{name}", name))
        return {"document_id": f"id-{name}", "status": "queued", "duplicate": duplicate}

    @app.get("/documents", response_model=None)
    async def show_page(limit: int, cursor: str = "0") -> dict[str, Any]:
        records = [*gateway.documents.values()]
        # Smaller pages than asked for, so that the command has to turn them.
        end = int(cursor) + min(limit, 2)
        following = str(end) if end < len(records) else None
        return {"documents": records[int(cursor) : end], "total": len(records), "next_cursor": following}

    @app.get("/documents/{document_id}", response_model=None)
    async def show(document_id: str) -> Response | dict[str, Any]:
        if document_id not in gateway.documents or document_id.startswith("id-deleted"):
            return fail(404, "not_found", "There is no such document.")
        move(gateway.documents[document_id])
        return gateway.documents[document_id]

    @app.post("/documents/{document_id}/retry", status_code=202, response_model=None)
    async def retry(document_id: str) -> Response | dict[str, Any]:
        record = gateway.documents.get(document_id)
        if record is None:
            return fail(404, "not_found", "There is no such document.")
        if record["status"] != "failed":
            return fail(409, "not_failed", "Only failed documents can be tried again.")
        record |= {"status": "queued", "failure": None}
        return record

    @app.post("/query/stream", response_model=None)
    async def ask(query: Annotated[dict[str, Any], Body()]) -> Response:
        gateway.queries.append(query)
        if query["question"] == "refused":
            return fail(503, "dependency_unavailable", "The index does not answer. Try again in a minute.")
        if query["question"] == "proxy":
            return Response("<html>Bad gateway</html>", 502)
        return StreamingResponse(stream_answer(gateway, query["question"]), media_type="text/event-stream")

    return app


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A running stub whose address the command finds in the environment."""
    stub = Gateway()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(build_app(stub), log_level="critical", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        monkeypatch.setenv("PAGEWIRE_URL", stub.url)
        monkeypatch.setattr(add, "POLL_INTERVAL_S", 0.001)
        yield stub
        server.should_exit = True
        thread.join(timeout=PATIENT_S)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """A file that the stub takes for a PDF."""
    path = tmp_path / "Ünï [red]code.pdf"
    path.write_bytes(PDF)
    return path


def start_command(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """The command in a process of its own, with pipes instead of a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
    )


def test_add_uploads_the_bytes_and_waits_until_ready(
    gateway: Gateway, pdf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway gets every byte under the file's name; the command ends when the document is ready."""
    assert pagewire(["add", str(pdf)]) == 0
    assert gateway.uploads == {pdf.name: PDF}
    out, err = capsys.readouterr()
    assert out == f"{pdf.name}: ready, 2 pages (id-{pdf.name})\n"
    assert err == f"pagewire: {pdf.name}: warning: Pages without text were left out (page 2)\n"


def test_add_says_when_a_document_was_here_already(
    gateway: Gateway, pdf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes again are no failure and no second document."""
    pagewire(["add", str(pdf)])
    capsys.readouterr()
    assert pagewire(["add", str(pdf)]) == 0
    assert "was here already" in capsys.readouterr().out


def test_add_goes_on_after_a_file_that_fails(
    gateway: Gateway, pdf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each failed file gets its line with the reason, the others are added, and the exit code is 1."""
    paths = [tmp_path / name for name in ("missing.pdf", "text.pdf", "damaged.pdf", "deleted.pdf")]
    paths[1].write_text("not a PDF")
    for path in paths[2:]:
        path.write_bytes(PDF)
    paths.append(tmp_path / "pipe.pdf")
    os.mkfifo(paths[-1])  # to read from it would wait for ever
    assert pagewire(["add", *map(str, paths), str(tmp_path), str(pdf)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{pdf.name}: ready")
    assert err.splitlines()[:6] == [
        "pagewire: missing.pdf: cannot be read: No such file or directory.",
        "pagewire: text.pdf: This is not a PDF. Choose a PDF file.",
        "pagewire: damaged.pdf: The file is damaged. (page 2)",
        "pagewire: deleted.pdf: the document was deleted while it was being read.",
        "pagewire: pipe.pdf: is not a regular file. Copy what comes out of it into one, and add that.",
        f"pagewire: {tmp_path.name}: cannot be read: Is a directory.",
    ]


def test_add_gives_up_on_a_document_that_does_not_move(
    gateway: Gateway, pdf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a worker the command ends after a while and says that nothing is lost."""
    monkeypatch.setattr(add, "STALL_LIMIT_S", -1.0)
    assert pagewire(["add", str(pdf)]) == 1
    assert "It is not lost" in capsys.readouterr().err


def test_retry_waits_until_each_document_is_ready(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """One that cannot be tried again, or fails again, has its line with the reason, and the exit code is 1."""
    failure = {"code": "too_costly", "detail": "Too much.", "page": None}
    gateway.documents = {
        name: describe_document(name, f"{name}.pdf") | {"status": "failed", "failure": failure}
        for name in ("mended", "damaged", "a/b")
    }
    gateway.documents["fine"] = describe_document("fine", "fine.pdf") | {"status": "ready"}

    assert pagewire(["retry", "unknown", "fine", "damaged", "mended"]) == 1
    out, err = capsys.readouterr()
    assert out == "mended.pdf: ready, 2 pages (mended)\n"
    assert err.splitlines() == [
        "pagewire: unknown: There is no such document.",
        "pagewire: fine: Only failed documents can be tried again.",
        "pagewire: damaged: The file is damaged. (page 2)",
        "pagewire: mended.pdf: warning: Pages without text were left out (page 2)",
    ]
    assert pagewire(["retry", "a/b"]) == 1  # no id is a path of its own


def test_list_turns_the_pages(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every document has its line, also those behind the first page of the list."""
    gateway.documents = {f"d{n}": describe_document(f"d{n}", f"{n}\t{HOSTILE}.pdf") for n in range(5)}
    assert pagewire(["list"]) == 0
    out = capsys.readouterr().out
    assert [line.split("\t")[:3] for line in out.splitlines()] == [[f"d{n}", "queued", "0"] for n in range(5)]
    assert not CONTROL.search(out)


def test_list_says_how_to_begin(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """No documents are no failure."""
    assert pagewire(["list"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "pagewire add" in err


def test_ask_prints_the_answer_and_its_sources(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """All tokens in order, none of their control characters, then a line for each source."""
    assert pagewire(["ask", " What? ", "--top-k", "7", "--document", "a", "--document", "b"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("The answer\u2028 is 42 [1].[2J\n\nSources\n  [1] Handbook ")
    assert "page 11\n" in out
    assert out.endswith("page 12  (not cited)\n")
    assert not CONTROL.search(out)
    assert err == ""
    (query,) = gateway.queries
    assert query == {
        "question": "What?",
        "top_k": 7,
        "document_ids": ["a", "b"],
        "include": [],
        "on_disconnect": "cancel",
        "cache": True,
    }
    assert pagewire(["ask", "What?", "--fresh"]) == 0
    assert gateway.queries[-1]["cache"] is False


def test_a_source_that_does_not_hold_what_cites_it_is_told() -> None:
    """What cannot be told is not called wrong."""
    sources = [
        Source.model_validate(describe_source(n, cited=True) | {"supported": supported})
        for n, supported in ((1, True), (2, False), (3, "unknown"))
    ]

    assert [line.endswith("(not supported)") for line in describe_sources(sources)][2:] == [False, True, False]


def test_a_source_that_was_read_from_a_picture_is_told() -> None:
    """It may be misread."""
    source = Source.model_validate(describe_source(1, cited=True) | {"ocr": True, "ocr_confidence": 0.9})

    assert list(describe_sources([source]))[-1].endswith("  (read by OCR)")


def test_character_split_over_two_tokens_is_whole(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a surrogate pair waits for its other half: no character of an answer is lost."""
    assert pagewire(["ask", "emoji"]) == 0
    assert capsys.readouterr().out.startswith("The 🙂answer")


@pytest.mark.parametrize(
    ("reason", "message"),
    [("length", "was cut off"), ("filtered", "was cut off"), ("other", "may not be complete")],
)
def test_ask_says_when_the_answer_was_cut_off(
    gateway: Gateway, reason: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text and sources are printed as they are; the exit code says that it is not the whole answer."""
    assert pagewire(["ask", reason]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("page 12  (not cited)\n")
    assert message in err


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("error", "The model is busy. The answer above is not complete. Ask again."),
        ("end early", "the connection broke off: the answer above is not complete. Ask again."),
        ("drop", "the connection broke off: the answer above is not complete. Ask again."),
        ("nonsense", "the answer is not what a Pagewire gateway sends. Check --url and its version."),
    ],
)
def test_ask_says_when_a_stream_goes_wrong(
    gateway: Gateway, question: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half an answer never passes for a whole one: exit code 1, and the reason alone on stderr."""
    assert pagewire(["ask", question]) == 1
    assert capsys.readouterr() == ("The \n", f"pagewire: {message}\n")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("refused", "The index does not answer. Try again in a minute."),
        ("proxy", "answered with status 502. Is --url a Pagewire gateway?"),
    ],
)
def test_ask_says_why_it_was_refused(
    gateway: Gateway, question: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway's own words where it has some; never a traceback."""
    assert pagewire(["ask", question]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(f"{message}\n")
    assert err.count("\n") == 1


def test_unreachable_gateway_is_one_line_that_says_how_to_start_it(
    capsys: pytest.CaptureFixture[str], pdf: Path
) -> None:
    """Nobody listens: every command ends with 1 and the way to a running server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for arguments in (["list"], ["ask", "What?"], ["add", str(pdf)]):
        assert pagewire([*arguments, "--url", url]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "make run" in err
        assert err.count("\n") == 1


def test_loopback_is_asked_directly(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is for other hosts."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert pagewire(["list"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["add"],
        ["ask", "  "],
        ["ask", "x" * 4001],
        ["ask", "\udcff\udcfe"],
        ["ask", "x", "--document", ""],
        ["ask", "x", "--document", "x" * 201],
        ["add", ""],
        ["ask", "x", "--top-k", "0"],
        ["ask", "x", "--top-k", "many"],
        ["list", "--url", "localhost"],
        ["list", "--url", "http://[::1"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be meant asks no server."""
    assert pagewire(arguments) == 2
    err = capsys.readouterr().err
    assert "Error" in err
    assert "pydantic" not in err


def test_tokens_are_printed_as_they_come_and_ctrl_c_stops(gateway: Gateway) -> None:
    """The first token is out while the gateway still writes; Ctrl-C ends with 130 and closes the stream."""
    with start_command("ask", "wait") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == "The "
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENT_S)
    assert (process.returncode, err) == (130, "pagewire: stopped.\n")
    assert gateway.left.wait(PATIENT_S)


def test_output_through_a_pipe_has_no_control_characters(gateway: Gateway, pdf: Path) -> None:
    """Without a terminal there are no bars, no colours and nothing that a document smuggled in."""
    for arguments in (["add", str(pdf), str(pdf.parent)], ["list"], ["ask", "What?"]):
        with start_command(*arguments) as process:
            out, err = process.communicate(timeout=PATIENT_S)
        assert out
        assert not CONTROL.search(out + err)


def test_bars_go_to_the_terminal_and_results_to_the_pipe(gateway: Gateway, pdf: Path) -> None:
    """Progress on a terminal's stderr leaves stdout to the result."""
    terminal, other_end = pty.openpty()
    with start_command("add", str(pdf), stderr=other_end) as process:
        os.close(other_end)
        shown = read_terminal(terminal)
        assert process.stdout is not None
        assert process.stdout.read() == f"{pdf.name}: ready, 2 pages (id-{pdf.name})\n"
    assert process.returncode == 0
    assert pdf.name in shown
    assert "embedding" in shown


def read_terminal(terminal: int) -> str:
    """What was written to a terminal until its last writer went away."""
    shown = b""
    with open(terminal, "rb", buffering=0) as reader:
        try:
            while portion := reader.read(4096):
                shown += portion
        except OSError:  # how Linux says that the other end is closed
            pass
    return shown.decode()


def test_reader_that_goes_away_is_no_traceback(gateway: Gateway) -> None:
    """`pagewire list | head -1` ends quietly."""
    gateway.documents = {f"d{n}": describe_document(f"d{n}", f"{n}.pdf") for n in range(50)}
    with start_command("list") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", [["list"], ["ask", "What?"]])
def test_output_that_cannot_be_written_is_one_line(gateway: Gateway, arguments: list[str]) -> None:
    """A full disk is said, and the exit code says that the result is not there."""
    gateway.documents = {"d": describe_document("d", "d.pdf")}
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENT_S,
        )
    assert (result.returncode, result.stderr) == (
        1,
        "pagewire: the output cannot be written: No space left on device.\n",
    )


def test_command_needs_no_service() -> None:
    """It starts with httpx, rich and the contracts alone: nothing of a server or a model is imported."""
    script = (
        "import sys, services.cli.main;"
        "heavy = {'torch', 'fastapi', 'uvicorn', 'redis', 'arq', 'qdrant_client', 'openai', 'obstore', 'structlog'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENT_S
    )
    assert result.stdout.strip() == "[]"
