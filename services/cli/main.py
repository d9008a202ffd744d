"""The command line: what is asked for, and the exit code."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer
from pydantic import ValidationError

from services.cli.add import add_files
from services.cli.ask import ask
from services.cli.gateway import CliError
from services.cli.list_documents import list_documents
from services.cli.reindex import reindex
from services.cli.retry import retry_documents
from services.cli.terminal import complain
from shared.contracts.questions import QueryRequest
from shared.contracts.search import MAX_TOP_K

DEFAULT_URL = "http://127.0.0.1:8000"
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(help="Ask your PDFs.", add_completion=False, pretty_exceptions_enable=False)


def check_url(value: str) -> str:
    """Return the gateway's base URL as it is."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{value!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise typer.BadParameter(f"{value!r} is not a URL like {DEFAULT_URL}")
    return value


def check_files(values: list[str]) -> list[Path]:
    """Return the paths; an empty one would be the working folder."""
    if "" in values:
        raise typer.BadParameter("the name of a file is empty")
    return [Path(value) for value in values]


Url = Annotated[str, typer.Option(envvar="PAGEWIRE_URL", callback=check_url, metavar="URL", help="The gateway.")]


@app.command("add")
def run_add(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", show_default=False)], url: Url = DEFAULT_URL
) -> None:
    """Upload PDFs and wait until they are ready."""
    if add_files(url, check_files(files)):
        raise typer.Exit(EXIT_FAILURE)


@app.command("ask")
def run_ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", show_default=False)],
    url: Url = DEFAULT_URL,
    top_k: Annotated[int, typer.Option(metavar="N", min=1, max=MAX_TOP_K, help="Passages to rest on.")] = 5,
    documents: Annotated[
        list[str] | None, typer.Option("--document", metavar="ID", help="Ask only this one; may be repeated.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Have the answer written anew, and not kept.")] = False,
) -> None:
    """Ask a question about the documents."""
    try:
        query = QueryRequest(question=question, top_k=top_k, document_ids=documents or None, cache=not fresh)
    except ValidationError as error:
        problem = error.errors()[0]
        raise typer.BadParameter(f"{problem['loc'][0]}: {problem['msg']}") from error
    ask(url, query)


@app.command("list")
def run_list(url: Url = DEFAULT_URL) -> None:
    """List the documents: id, status, pages, name."""
    list_documents(url)


@app.command("retry")
def run_retry(
    documents: Annotated[list[str], typer.Argument(metavar="ID...", show_default=False)], url: Url = DEFAULT_URL
) -> None:
    """Try failed documents again, without another upload, and wait until they are ready."""
    if retry_documents(url, documents):
        raise typer.Exit(EXIT_FAILURE)


@app.command("reindex")
def run_reindex(
    url: Url = DEFAULT_URL,
    everything: Annotated[bool, typer.Option("--all", help="Also what the present code and model have made.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Say how many are left until none is.")] = False,
) -> None:
    """Have documents made anew that older code or another model has made."""
    if reindex(url, everything=everything, wait=wait):
        raise typer.Exit(EXIT_FAILURE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `pagewire` command; return its exit code, 2 for a wrong command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode must not end an answer
    try:
        app(arguments, prog_name="pagewire")
    except CliError as error:
        complain(str(error))
    except OSError as error:
        drop_output()
        complain(f"the output cannot be written: {error.strerror}.")
    except SystemExit as end:  # how typer always ends; it also knows what to do when `| head` has read enough
        if end.code == EXIT_INTERRUPTED:
            complain("stopped.")
        return int(end.code or 0)
    return EXIT_FAILURE


def drop_output() -> None:
    """Send what waits for stdout nowhere, or Python would fail once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
