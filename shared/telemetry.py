"""Structured logs: JSON for machines, coloured lines on a terminal. No document text and no keys go in."""

import logging
import sys

import structlog
from structlog.typing import Processor

OUR_LOGGERS = ("services", "shared", "__main__")
"""They obey the level that is asked for; those of libraries speak from WARNING on."""


def configure_logging(service: str, level: str, log_format: str) -> None:
    """Set up structlog and the standard library's loggers; call it once, from a composition root.

    Libraries say nothing below WARNING, whatever the level: at DEBUG the providers' SDKs write whole prompts with the
    passages in them; at INFO httpx writes URLs.

    Parameters:
        service: name that every line carries.
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: `json`, `console`, or `auto` (console when standard error is a terminal).
    """
    as_text = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    # Plain tracebacks: the pretty ones show local variables, and with them questions, passages and keys.
    text = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Processor = text if as_text else structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=common))
    # Asked again here, because a library may set the level of its own logger (openai does for OPENAI_LOG=debug).
    handler.addFilter(_is_ours_or_warning)
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(number)
    structlog.contextvars.bind_contextvars(service=service)


def _is_ours_or_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OUR_LOGGERS
