"""PdfParser that reads each file in a child process of its own, with limits on memory, CPU and wall time."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from services.ingest.ports import ParsedPage, PdfOutline, UnreadablePdfError
from shared.contracts.documents import DocumentFailure
from shared.errors import DependencyUnavailable

log = structlog.get_logger(__name__)

MAX_LINE_BYTES = 32 * 1024 * 1024
"""One page as JSON. The largest page of 781 in real filings has 12 kB of text."""
MAX_TEXT_BYTES = 512 * 1024 * 1024
"""All pages together."""

_TOO_COSTLY = "Reading the PDF takes more memory or time than is allowed. Save a simpler copy, or split it."
_CRASHED = "The PDF makes the reader crash. Open it in a viewer, save a new copy and upload that."


@dataclass(frozen=True)
class ParseLimits:
    """What one file may cost."""

    memory_mb: int
    cpu_s: int
    wall_s: int
    max_pages: int


class ProcessPdfParser:
    """Starts a child for each file and reads its pages as they come."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    async def parse(self, path: Path) -> AsyncGenerator[PdfOutline | ParsedPage, None]:
        """Yield the outline, then every page; the child never outlives the call.

        Raises UnreadablePdfError when the PDF is at fault, and DependencyUnavailable or OSError when the child could
        not be started, because the machine has no memory, processes or file descriptors left.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.ingest.adapters.pdf_child",
            str(path),
            json.dumps(asdict(self._limits)),
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_LINE_BYTES,
            env=_make_environment(),
            start_new_session=True,
        )
        deadline = asyncio.get_running_loop().time() + self._limits.wall_s
        try:
            async with aclosing(_read_messages(process, deadline)) as messages:
                async for message in messages:
                    yield message
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _read_messages(
    process: asyncio.subprocess.Process, deadline: float
) -> AsyncGenerator[PdfOutline | ParsedPage, None]:
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    started = False
    last_page = 0
    received = 0
    while True:
        try:
            # Around the read alone: a timeout across a yield would strike whoever iterates.
            async with asyncio.timeout_at(deadline):
                line = await process.stdout.readline()
        except (ValueError, TimeoutError):  # ValueError: a line longer than the limit
            raise _make_failure("too_costly", _TOO_COSTLY, last_page + 1) from None
        received += len(line)
        if not line.endswith(b"\n"):
            if not started:
                log.warning("pdf_child_did_not_start", status=await process.wait())
                raise DependencyUnavailable("The PDF reader did not start; it is tried again.")
            raise await _explain_death(process, last_page)
        if received > MAX_TEXT_BYTES:
            raise _make_failure("too_costly", _TOO_COSTLY, last_page + 1)
        message: dict[str, Any] = json.loads(line)
        if "started" in message:
            started = True
            continue
        if "failure" in message:
            raise UnreadablePdfError(DocumentFailure(**message["failure"]))
        if "done" in message:
            return
        if "page" in message:
            last_page = message["page"]
            yield ParsedPage(number=last_page, text=message["text"], headline=message["headline"])
        else:
            yield PdfOutline(title=message["title"], page_count=message["page_count"])


async def _explain_death(process: asyncio.subprocess.Process, last_page: int) -> UnreadablePdfError:
    """The failure of a child that ended without saying why: killed by a limit, or crashed."""
    status = await process.wait()
    log.warning("pdf_child_died", status=status, last_page=last_page)
    # 24 SIGXCPU and 9 SIGKILL: a limit; 1 with an empty last line: Python's MemoryError; 6 SIGABRT: PDFium's, which
    # ends itself that way when it gets no more memory.
    limited = status in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGABRT, 1)
    return _make_failure(*(("too_costly", _TOO_COSTLY) if limited else ("damaged", _CRASHED)), last_page + 1)


def _make_failure(code: str, detail: str, page: int) -> UnreadablePdfError:
    return UnreadablePdfError(DocumentFailure(code=code, detail=detail, page=page))


def _make_environment() -> dict[str, str]:
    """Only what Python needs to start: no keys for a process that reads hostile files."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "VIRTUAL_ENV", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONDONTWRITEBYTECODE": "1"}
