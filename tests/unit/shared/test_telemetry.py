"""Logs say what happened and nothing of what was in the documents."""

import json
import logging
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


@pytest.mark.parametrize("name", ["aiohttp.client", "openai._base_client", "anthropic", "httpcore", "asyncio"])
def test_libraries_say_nothing_below_a_warning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At DEBUG they write what passes through them; not even when a library sets its logger's level itself."""
    configure_logging("test", "DEBUG", "json")
    logger = logging.getLogger(name)
    logger.debug("chunk: %s", " ".join(SECRET))
    logger.setLevel(logging.DEBUG)
    try:
        logger.debug("chunk: %s", " ".join(SECRET))
        logger.info("request: %s", " ".join(SECRET))
        logger.warning("retrying")
    finally:
        logger.setLevel(logging.NOTSET)

    written = capsys.readouterr().err
    assert " ".join(SECRET) not in written
    assert "retrying" in written


@pytest.mark.parametrize(("level", "said"), [("DEBUG", ["d", "i", "w"]), ("INFO", ["i", "w"]), ("ERROR", [])])
@pytest.mark.parametrize("name", ["services.gateway.main", "shared.queue.port", "__main__"])
def test_our_own_loggers_obey_the_level(
    name: str, level: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those of composition roots, whose name is `__main__` when they are started."""
    configure_logging("test", level, "json")
    log = structlog.get_logger(name)
    log.debug("d")
    log.info("i")
    log.warning("w")

    assert [line["event"] for line in map(json.loads, capsys.readouterr().err.splitlines())] == said
