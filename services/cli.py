"""The `pagewire` command: add PDFs, ask, and list documents, against any gateway.

Answers and results go to stdout, progress and problems to stderr, so that output can be piped. Everything that
came over the wire is cleaned of control characters before it is shown: a title must not drive the terminal.
"""

import argparse
import io
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from shared.contracts.documents import DocumentList, DocumentRecord, DocumentStatus, UploadAccepted
from shared.contracts.errors import ErrorBody
from shared.contracts.questions import ErrorEvent, QueryRequest, Source, SourcesEvent
from shared.contracts.search import MAX_QUESTION_CHARS, MAX_TOP_K
from shared.sse import Event, read_events

DEFAULT_URL = "http://127.0.0.1:8000"
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

# Every single wait is bounded. A stream carries a heartbeat every 15 s, so a minute of silence is a dead connection.
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
POLL_INTERVAL_S = 0.3
STALL_LIMIT_S = 600.0
LIST_LIMIT = 100

NOT_PAGEWIRE = "the answer is not what a Pagewire gateway sends. Check --url and its version."

Model = TypeVar("Model", bound=BaseModel)

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""Never asked through a proxy, whatever the environment says."""


class CliError(Exception):
    """A failure that ends a command; the message is one line that says what to do."""


# ------------------------------------------------------------------ words from the wire


def clean_text(text: str) -> str:
    """The text without what could steer a terminal or turn its direction; line ends and tabs stay."""
    return "".join(c for c in text if c in "\n\t" or not is_control(c))


def is_control(char: str) -> bool:
    """Whether it is a control character, a bidirectional override or isolate, or half a surrogate pair."""
    return unicodedata.category(char) in {"Cc", "Cs"} or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"


def clean_line(text: str) -> str:
    """The same on one line."""
    return " ".join(clean_text(text).split())


def say(text: str) -> None:
    """One line on stdout."""
    print(text, flush=True)


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"pagewire: {clean_line(message)}", file=sys.stderr, flush=True)


# ------------------------------------------------------------------ the gateway


@contextmanager
def connect(url: str) -> Iterator[httpx.Client]:
    """A client of the gateway; what goes wrong on the network comes out as a `CliError`."""
    trust_env = httpx.URL(url).host not in LOOPBACK_HOSTS
    try:
        with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=trust_env) as client:
            yield client
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise CliError(
            f"no Pagewire answers at {url}. Start it with `make run` (or `python -m services.standalone`), "
            "or name another one with --url."
        ) from error
    except httpx.TimeoutException as error:
        raise CliError(f"{url} did not answer in time. Try again; if it stays so, look at its log.") from error
    except httpx.HTTPError as error:
        raise CliError(f"the connection to {url} broke off. Try again.") from error


def check_response(response: httpx.Response) -> httpx.Response:
    """The response itself, or a `CliError` with the words that the gateway found for the failure."""
    if response.is_success:
        return response
    response.read()  # a streamed response has no body yet
    try:
        message = ErrorBody.model_validate_json(response.content).error.message
    except ValidationError:
        message = f"{response.url} answered with status {response.status_code}. Is --url a Pagewire gateway?"
    raise CliError(message)


def read_as(model: type[Model], content: bytes | str) -> Model:
    """The JSON of a response or event as its contract."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise CliError(NOT_PAGEWIRE) from error


def fetch_document(client: httpx.Client, document_id: str) -> DocumentRecord:
    """The document's record as it is now."""
    response = client.get(f"/documents/{document_id}")
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise CliError("the document was deleted while it was being read.")
    return read_as(DocumentRecord, check_response(response).content)


# ------------------------------------------------------------------ add


class ReportingFile(io.FileIO):
    """A file that tells how many bytes were read from it."""

    def __init__(self, path: Path, report: Callable[[int], None]) -> None:
        super().__init__(path)
        self._report = report

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        chunk = super().read(size)
        self._report(len(chunk))
        return chunk


def build_progress() -> Progress:
    """A bar on stderr; nothing at all where stderr is not a terminal."""
    # No markup: a file name may hold what rich would take for it. No redirection: stdout may be a pipe.
    columns = (
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
    )
    return Progress(
        *columns,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def add_files(url: str, paths: Sequence[Path]) -> int:
    """Uploads each file and waits until it is ready; one that fails does not stop the others."""
    failed = False
    for path in paths:
        try:
            add_file(url, path)
        except CliError as error:
            complain(f"{path.name}: {error}")
            failed = True
    return EXIT_FAILURE if failed else 0


def add_file(url: str, path: Path) -> None:
    """Uploads one file, waits until it is ready, and then says what became of it."""
    with connect(url) as client, build_progress() as progress:
        task = progress.add_task("uploading", name=clean_line(path.name), total=None)
        accepted = upload(client, path, progress, task)
        record = wait_until_final(client, accepted.document_id, progress, task)
    if record.status is not DocumentStatus.READY:
        raise CliError(describe_failure(record))
    for warning in record.warnings:
        complain(f"{path.name}: warning: {warning.detail}{describe_pages(warning.pages)}")
    known = ", was here already" if accepted.duplicate else ""
    pages = f"{record.pages_total} page{'' if record.pages_total == 1 else 's'}"
    say(f"{clean_line(record.filename)}: ready, {pages}{known} ({clean_line(record.document_id)})")


def upload(client: httpx.Client, path: Path, progress: Progress, task: TaskID) -> UploadAccepted:
    """Sends the bytes, from disk, without holding them in memory."""
    # A name that is not UTF-8 on disk could not be sent as it is.
    name = os.fsencode(path.name).decode("utf-8", "replace")
    try:
        progress.update(task, total=path.stat().st_size)
        with ReportingFile(path, lambda sent: progress.advance(task, sent)) as file:
            response = client.post("/documents", files={"file": (name, file, "application/pdf")})
    except OSError as error:
        raise CliError(f"cannot be read: {error.strerror}.") from error
    return read_as(UploadAccepted, check_response(response).content)


def wait_until_final(client: httpx.Client, document_id: str, progress: Progress, task: TaskID) -> DocumentRecord:
    """Follows the document until no worker will touch it again."""
    last, moved_at = None, time.monotonic()
    while not (record := fetch_document(client, document_id)).status.final:
        now = (record.status, record.pages_done, record.chunks_done)
        if now != last:
            last, moved_at = now, time.monotonic()
            show_ingest(record, progress, task)
        if time.monotonic() - moved_at > STALL_LIMIT_S:
            raise CliError(f"still {record.status} and nothing moves. It is not lost: see `pagewire list`.")
        time.sleep(POLL_INTERVAL_S)
    return record


def show_ingest(record: DocumentRecord, progress: Progress, task: TaskID) -> None:
    """Puts the stage and its counter on the bar."""
    embedding = record.status is DocumentStatus.EMBEDDING
    done, total, unit = (
        (record.chunks_done, record.chunks_total, "passages")
        if embedding
        else (record.pages_done, record.pages_total, "pages")
    )
    counter = f" {done}/{total} {unit}" if total else ""
    progress.update(task, completed=done, total=total or None, description=f"{record.status}{counter}")


def describe_failure(record: DocumentRecord) -> str:
    """Why the document is not searchable."""
    if record.failure is None:
        return "could not be made searchable. Add it again."
    page = [record.failure.page] if record.failure.page else []
    return f"{record.failure.detail}{describe_pages(page)}"


def describe_pages(pages: Sequence[int]) -> str:
    """` (pages 3, 4)`, or nothing."""
    listed = ", ".join(map(str, pages[:8])) + (", …" if len(pages) > 8 else "")
    return f" (page{'' if len(pages) == 1 else 's'} {listed})" if pages else ""


# ------------------------------------------------------------------ list


def list_documents(url: str) -> int:
    """One line per document, newest first."""
    with connect(url) as client:
        empty = True
        for record in fetch_documents(client):
            say(describe_document(record))
            empty = False
    if empty:
        complain("there are no documents yet. Put one in with `pagewire add FILE`.")
    return 0


def fetch_documents(client: httpx.Client) -> Iterator[DocumentRecord]:
    """Every document, page by page."""
    offset: int | None = 0
    while offset is not None:
        response = client.get("/documents", params={"offset": offset, "limit": LIST_LIMIT})
        page = read_as(DocumentList, check_response(response).content)
        yield from page.documents
        # An offset that does not grow would make this an endless loop.
        offset = page.next_offset if page.next_offset is not None and page.next_offset > offset else None


def describe_document(record: DocumentRecord) -> str:
    """Id, status, pages, name, and the reason when it failed; tabs, so that `cut` can take it apart."""
    parts = [record.document_id, record.status, str(record.pages_total), record.filename]
    if record.failure is not None:
        parts.append(describe_failure(record))
    return "\t".join(map(clean_line, parts))


# ------------------------------------------------------------------ ask


def ask(url: str, query: QueryRequest) -> int:
    """Prints the answer while it is written, then what it rests on."""
    body = query.model_dump(mode="json", exclude_none=True)
    headers = {"Accept": "text/event-stream"}
    with connect(url) as client, client.stream("POST", "/query/stream", json=body, headers=headers) as response:
        check_response(response)
        sources = print_answer(read_events(response.iter_bytes()))
    for line in describe_sources(sources):
        say(line)
    return 0


def print_answer(events: Iterator[Event]) -> list[Source]:
    """Prints tokens as they come; returns the sources that end them."""
    printed, half = False, ""
    try:
        for event in events:
            if event.event == "token":
                printed = True
                text, half = join_halves(half + read_token(event.data))
                print(clean_text(text), end="", flush=True)
            elif event.event == "sources":
                return read_as(SourcesEvent, event.data).sources
            elif event.event == "error":
                raise CliError(describe_stream_error(read_as(ErrorEvent, event.data)))
    except httpx.TransportError as error:
        raise CliError(describe_break(printed)) from error
    finally:
        if printed:
            say("")
    raise CliError(describe_break(printed))


def read_token(data: str) -> str:
    """The text of a token event; not through the contract, whose parser refuses half a surrogate pair."""
    try:
        token = json.loads(data)["token"]
    except (ValueError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise CliError(NOT_PAGEWIRE)
    return token


def join_halves(text: str) -> tuple[str, str]:
    """The text with its surrogate pairs joined, and a first half at its end that waits for the next token.

    Some models split one emoji over two tokens, and each of them arrives on its own.
    """
    half = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text.removesuffix(half)
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half


def describe_stream_error(event: ErrorEvent) -> str:
    """What the gateway said, and how much of the answer there is."""
    again = " Ask again." if event.error.retryable and "again" not in event.error.message else ""
    partial = " The answer above is not complete." if event.error.partial else ""
    return f"{event.error.message}{partial}{again}"


def describe_break(printed: bool) -> str:
    """A stream that ended without its last event."""
    what = "the answer above is not complete" if printed else "there is no answer"
    return f"the connection broke off: {what}. Ask again."


def describe_sources(sources: Sequence[Source]) -> Iterator[str]:
    """A line for each source: number, title, page."""
    if sources:
        yield ""
        yield "Sources"
    for source in sources:
        cited = "" if source.cited else "  (not cited)"
        yield f"  [{source.n}] {clean_line(source.title)}, page {source.page}{cited}"


# ------------------------------------------------------------------ the command line


def parse_url(value: str) -> str:
    """The gateway's base URL, for argparse."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL as error:
        raise argparse.ArgumentTypeError(f"{value!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise argparse.ArgumentTypeError(f"{value!r} is not a URL like {DEFAULT_URL}")
    return value


def parse_question(value: str) -> str:
    """The question, for argparse."""
    question = value.strip()
    if not question or len(question) > MAX_QUESTION_CHARS:
        raise argparse.ArgumentTypeError(f"a question has 1 to {MAX_QUESTION_CHARS} characters")
    return question


def parse_top_k(value: str) -> int:
    """How many passages, for argparse."""
    if not value.isdecimal() or not 1 <= int(value) <= MAX_TOP_K:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number from 1 to {MAX_TOP_K}")
    return int(value)


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--url",
        type=parse_url,
        default=os.environ.get("PAGEWIRE_URL") or DEFAULT_URL,
        help="the gateway (default: $PAGEWIRE_URL, else %(default)s)",
    )
    parser = argparse.ArgumentParser(prog="pagewire", description="Ask your PDFs.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", parents=[shared], help="upload PDFs and wait until they are ready")
    add.add_argument("files", metavar="FILE", nargs="+", type=Path)
    question = commands.add_parser("ask", parents=[shared], help="ask a question about the documents")
    question.add_argument("question", metavar="QUESTION", type=parse_question)
    question.add_argument("--top-k", metavar="N", type=parse_top_k, default=5, help="passages to rest on")
    question.add_argument(
        "--document", metavar="ID", action="append", dest="documents", help="ask only this one; may be repeated"
    )
    commands.add_parser("list", parents=[shared], help="list the documents: id, status, pages, name")
    return parser


def run_command(arguments: argparse.Namespace) -> int:
    """Does what the command line says; returns the exit code."""
    match arguments.command:
        case "add":
            return add_files(arguments.url, arguments.files)
        case "ask":
            query = QueryRequest(question=arguments.question, top_k=arguments.top_k, document_ids=arguments.documents)
            return ask(arguments.url, query)
        case _:
            return list_documents(arguments.url)


def main(argv: Sequence[str] | None = None) -> int:
    """The `pagewire` command; returns its exit code, 2 by way of argparse for a wrong command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode must not end an answer
    arguments = build_parser().parse_args(argv)
    try:
        return run_command(arguments)
    except CliError as error:
        complain(str(error))
        return EXIT_FAILURE
    except KeyboardInterrupt:
        complain("stopped.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output went away (`pagewire ask … | head`): nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
