"""Logs say what happened and nothing of what was in the documents."""

from collections.abc import Iterator

import pytest
import structlog

from shared.telemetry import configure_logging

SECRET = ("the", "secret", "passage")
"""Apart, so that the line of source in a traceback does not hold it."""


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Other tests log as they were told to."""
    yield
    configure_logging("test", "INFO", "json")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_variables(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a function held when it failed (a passage, a key) is in no log, in neither format."""
    configure_logging("test", "INFO", log_format)

    def fail(passage: str) -> float:
        return len(passage) / 0

    try:
        fail(" ".join(SECRET))
    except ZeroDivisionError:
        structlog.get_logger("test").exception("it_failed")

    written = capsys.readouterr().err
    assert "it_failed" in written
    assert "ZeroDivisionError" in written
    assert " ".join(SECRET) not in written
