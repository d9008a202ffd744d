"""Structured logs: JSON for machines, coloured lines on a terminal. No document text and no keys go in."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_logging(service: str, level: str, log_format: str) -> None:
    """Sets up structlog and the standard library's loggers; called once, by a composition root.

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
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=common))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These repeat per request or per poll what our own lines say once; httpx logs URLs.
    for noisy in ("httpx", "httpx2", "httpcore", "arq.worker", "sentence_transformers", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)
