"""`pagewire add`: uploads files and waits until each is ready."""

import io
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from services.cli.gateway import CliError, check_response, connect, read_as
from services.cli.records import describe_failure, describe_pages
from services.cli.terminal import clean_line, complain, say
from shared.contracts.documents import DocumentRecord, DocumentStatus, UploadAccepted

T = TypeVar("T")

POLL_INTERVAL_S = 0.3
STALL_LIMIT_S = 600.0


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
    """Uploads each file and waits until it is ready; one that fails does not stop the others. How many failed."""
    return try_each(paths, lambda path: add_file(url, path), lambda path: path.name or str(path))


def try_each(things: Sequence[T], do: Callable[[T], None], name: Callable[[T], str]) -> int:
    """Does something with each thing, and complains of it by its name where that fails. How often it failed."""
    failed = 0
    for thing in things:
        try:
            do(thing)
        except CliError as error:
            complain(f"{name(thing)}: {error}")
            failed += 1
    return failed


def add_file(url: str, path: Path) -> None:
    """Uploads one file, waits until it is ready, and then says what became of it."""
    with connect(url) as client, build_progress() as progress:
        task = progress.add_task("uploading", name=clean_line(path.name), total=None)
        accepted = upload(client, path, progress, task)
        record = wait_until_final(client, accepted.document_id, progress, task)
    tell_end(record, path.name, ", was here already" if accepted.duplicate else "")


def tell_end(record: DocumentRecord, name: str, note: str = "") -> None:
    """Says what became of a document that is final; one that failed is a `CliError`.

    Parameters:
        name: by which the caller knows the document, for warnings.
        note: goes behind what is said of a document that is ready.
    """
    if record.status is not DocumentStatus.READY:
        raise CliError(describe_failure(record))
    for warning in record.warnings:
        complain(f"{name}: warning: {warning.detail}{describe_pages(warning.pages)}")
    pages = f"{record.pages_total} page{'' if record.pages_total == 1 else 's'}"
    say(f"{clean_line(record.filename)}: ready, {pages}{note} ({clean_line(record.document_id)})")


def upload(client: httpx.Client, path: Path, progress: Progress, task: TaskID) -> UploadAccepted:
    """Sends the bytes, from disk, without holding them in memory."""
    # A name that is not UTF-8 on disk could not be sent as it is.
    name = os.fsencode(path.name).decode("utf-8", "replace")
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise CliError("is not a regular file. Copy what comes out of it into one, and add that.")
        progress.update(task, total=status.st_size)
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


def fetch_document(client: httpx.Client, document_id: str) -> DocumentRecord:
    """The document's record as it is now."""
    response = client.get(f"/documents/{document_id}")
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise CliError("the document was deleted while it was being read.")
    return read_as(DocumentRecord, check_response(response).content)
