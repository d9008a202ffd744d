"""PdfParser that reads each file in a child process of its own, with limits on memory, CPU and wall time."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.adapters.pdf_failures import CRASHED, NO_RESOURCES, OUT_OF_MEMORY, TOO_COSTLY
from services.ingest.domain.stored_parse import MAX_PARSE_BYTES, PARSER_VERSION
from services.ingest.ports import ParseProgress, UnreadablePdfError
from shared.contracts.documents import DocumentFailure
from shared.errors import DependencyUnavailable

log = structlog.get_logger(__name__)

MAX_LINE_BYTES = 64 * 1024
"""What the child says before the bytes of a page."""


@dataclass(frozen=True)
class ParseLimits:
    """What one file may cost."""

    memory_mb: int
    cpu_s: int
    wall_s: int
    max_pages: int


class ProcessPdfParser:
    """Starts a child for each file, and takes what it has read page by page."""

    def __init__(self, limits: ParseLimits, ocr: OcrOptions | None = None) -> None:
        self._limits = limits
        self._ocr = ocr
        self._wall_s = limits.wall_s + (ocr.wall_s if ocr else 0)

    @property
    def version(self) -> str:
        """Return a name that changes with whatever changes what is read of the same PDF."""
        return f"{PARSER_VERSION}-{self._ocr.reading}" if self._ocr else PARSER_VERSION

    async def parse(self, path: Path, recognized: bytes = b"") -> AsyncGenerator[ParseProgress | bytes, None]:
        """Yield the progress page by page, then the stored parse; the child never outlives the call.

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
            json.dumps(self._ocr and asdict(self._ocr)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_LINE_BYTES,
            env=_make_environment(),
            start_new_session=True,
        )
        deadline = asyncio.get_running_loop().time() + self._wall_s
        try:
            await _hand_over(process, recognized, deadline)
            async with aclosing(_read_messages(process, deadline)) as messages:
                async for message in messages:
                    yield message
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _hand_over(process: asyncio.subprocess.Process, recognized: bytes, deadline: float) -> None:
    """Write to a child's input. One that has died, or does not read it in time, is found out by its silence."""
    assert process.stdin is not None  # noqa: S101 - asked for with PIPE
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout_at(deadline):
            process.stdin.write(recognized)
            await process.stdin.drain()
    process.stdin.close()


async def _read_messages(
    process: asyncio.subprocess.Process, deadline: float
) -> AsyncGenerator[ParseProgress | bytes, None]:
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    started = False
    page_count = last_page = 0
    parts: list[bytes] = []
    recognized = b""
    room = kept_room = MAX_PARSE_BYTES
    while True:
        try:
            # Around the read alone: a timeout across a yield would strike whoever iterates.
            async with asyncio.timeout_at(deadline):
                message, content = await _read_message(process.stdout, room)
        except (ValueError, TimeoutError):  # ValueError: more bytes than are taken
            raise _make_failure("too_costly", TOO_COSTLY, last_page + 1) from None
        except EOFError:
            if not started or await process.wait() == NO_RESOURCES:
                log.warning("pdf_child_did_not_start", status=await process.wait())
                raise DependencyUnavailable("The PDF reader did not start; it is tried again.") from None
            raise await _explain_death(process, last_page) from None
        if "recognized" in message:
            # No part of the parse, and only to save time: where there is no more room nothing is kept.
            kept_room -= len(content)
            recognized = content if kept_room >= 0 else b""
            continue
        room -= len(content)
        parts.append(content)
        if "started" in message:
            started = True
        elif "failure" in message:
            raise UnreadablePdfError(DocumentFailure(**message["failure"]))
        elif "done" in message:
            yield b"".join(parts)
            return
        else:
            page_count, last_page = message.get("page_count", page_count), message.get("page", 0)
            yield ParseProgress(page_count, last_page, recognized)
            recognized = b""


async def _read_message(stdout: asyncio.StreamReader, room: int) -> tuple[dict[str, Any], bytes]:
    """A message and the bytes that belong to it. Raises EOFError, and ValueError where they are too many; the parse has
    `room` left."""
    line = await stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message: dict[str, Any] = json.loads(line)
    if message["bytes"] > (MAX_PARSE_BYTES if "recognized" in message else room):
        raise ValueError("too many bytes")
    return message, await stdout.readexactly(message["bytes"])  # an IncompleteReadError is an EOFError


async def _explain_death(process: asyncio.subprocess.Process, last_page: int) -> UnreadablePdfError:
    """The failure of a child that ended without saying why: killed by a limit, or crashed."""
    status = await process.wait()
    log.warning("pdf_child_died", status=status, last_page=last_page)
    # SIGXCPU and SIGKILL: a limit, or the kernel's want of memory; SIGABRT: PDFium ends itself that way when it gets no
    # more memory. Anything else, a bug of ours among them (status 1), is no matter of what the PDF costs.
    limited = status in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGABRT, OUT_OF_MEMORY)
    return _make_failure(*(("too_costly", TOO_COSTLY) if limited else ("damaged", CRASHED)), last_page + 1)


def _make_failure(code: str, detail: str, page: int) -> UnreadablePdfError:
    return UnreadablePdfError(DocumentFailure(code=code, detail=detail, page=page))


def _make_environment() -> dict[str, str]:
    """Only what Python needs to start: no keys for a process that reads hostile files.

    Nothing keeps it from writing bytecode: only the children import PDFium's bindings, and compiling them takes 60 ms.
    """
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "VIRTUAL_ENV", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}
