"""The command line: what is asked for, and the exit code."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
from pydantic import TypeAdapter, ValidationError

from services.cli.add import add_files
from services.cli.ask import ask
from services.cli.gateway import CliError
from services.cli.list_documents import list_documents
from services.cli.terminal import complain
from shared.contracts.questions import QueryRequest
from shared.contracts.search import MAX_QUESTION_CHARS, MAX_TOP_K, DocumentId

DEFAULT_URL = "http://127.0.0.1:8000"
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


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
    question = parse_text(value).strip()
    if not question or len(question) > MAX_QUESTION_CHARS:
        raise argparse.ArgumentTypeError(f"a question has 1 to {MAX_QUESTION_CHARS} characters")
    return question


def parse_text(value: str) -> str:
    """Any text, for argparse; bytes of another encoding than the terminal's cannot be sent."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("it is not text in the encoding of this terminal") from error
    return value


def parse_document(value: str) -> str:
    """The id of a document, for argparse."""
    try:
        return TypeAdapter(DocumentId).validate_python(parse_text(value))
    except ValidationError as error:
        raise argparse.ArgumentTypeError("it is not the id of a document; `pagewire list` shows them") from error


def parse_file(value: str) -> Path:
    """The path of a file, for argparse; an empty one would be the working folder."""
    if not value:
        raise argparse.ArgumentTypeError("the name of a file is empty")
    return Path(value)


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
    add.add_argument("files", metavar="FILE", nargs="+", type=parse_file)
    question = commands.add_parser("ask", parents=[shared], help="ask a question about the documents")
    question.add_argument("question", metavar="QUESTION", type=parse_question)
    question.add_argument("--top-k", metavar="N", type=parse_top_k, default=5, help="passages to rest on")
    question.add_argument(
        "--document",
        metavar="ID",
        type=parse_document,
        action="append",
        dest="documents",
        help="ask only this one; may be repeated",
    )
    commands.add_parser("list", parents=[shared], help="list the documents: id, status, pages, name")
    return parser


def run_command(arguments: argparse.Namespace) -> int:
    """Does what the command line says; returns the exit code."""
    match arguments.command:
        case "add":
            return EXIT_FAILURE if add_files(arguments.url, arguments.files) else 0
        case "ask":
            query = QueryRequest(question=arguments.question, top_k=arguments.top_k, document_ids=arguments.documents)
            ask(arguments.url, query)
        case _:
            list_documents(arguments.url)
    return 0


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
        drop_output()
        return EXIT_FAILURE
    except OSError as error:
        drop_output()
        complain(f"the output cannot be written: {error.strerror}.")
        return EXIT_FAILURE


def drop_output() -> None:
    """Sends what waits for stdout nowhere, or Python would fail once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
