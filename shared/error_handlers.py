"""Turns every exception of an HTTP service into the one JSON error body."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.contracts.errors import ErrorBody, ErrorDetail
from shared.errors import PagewireError, find_status
from shared.request_id import REQUEST_ID_HEADER

log = structlog.get_logger(__name__)

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": f"{whose} `error.code` names it and `error.message` says what to do."}
    for status, whose in {"4XX": "The request's fault.", "5XX": "Ours, or a part's that is away."}.items()
}
"""For OpenAPI: what every route may answer."""

_HTTP_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def install_error_handlers(app: FastAPI) -> None:
    """Registers the handlers; no other code of a service writes an error body."""
    app.exception_handler(PagewireError)(answer_pagewire_error)
    app.exception_handler(RequestValidationError)(_answer_validation_error)
    app.exception_handler(HTTPException)(_answer_http_exception)
    app.exception_handler(ClientDisconnect)(_note_departure)
    app.exception_handler(Exception)(_answer_unexpected)


async def answer_pagewire_error(request: Request, error: PagewireError) -> JSONResponse:
    """The error as status, code and message by the one table."""
    status = find_status(error)
    if status >= 500:
        log.error("request_failed", code=error.error_code, status=status, cause=type(error.__cause__).__name__)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    return _make_response(request, status, error.error_code, error.message, error.details, headers)


async def _answer_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    # The offending input itself is left out: it may be a whole question or a key.
    problems = [
        {"field": ".".join(str(part) for part in problem["loc"][1:]) or "body", "problem": problem["msg"]}
        for problem in error.errors()
    ]
    first = problems[0]
    message = f"{first['field']}: {first['problem']}"
    return _make_response(request, 422, "invalid_value", message, {"problems": problems}, {})


async def _answer_http_exception(request: Request, error: HTTPException) -> JSONResponse:
    code = _HTTP_CODES.get(error.status_code, "http_error")
    return _make_response(request, error.status_code, code, str(error.detail), None, dict(error.headers or {}))


async def _note_departure(request: Request, error: ClientDisconnect) -> Response:
    """The client left before it had sent or received everything: nobody is there to read an answer."""
    log.info("client_left")
    return Response(status_code=499)


async def _answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected_error", error=type(error).__name__, exc_info=error)
    message = "Something went wrong on our side; try again, and report the request id if it stays."
    return _make_response(request, 500, "internal_error", message, None, {})


def _make_response(
    request: Request,
    status: int,
    code: str,
    message: str,
    details: dict[str, Any] | None,
    headers: dict[str, str],
) -> JSONResponse:
    request_id = getattr(request.state, "request_id", "")
    # Starlette answers an unexpected exception outside of all middleware: the id's header is set here once more.
    headers = headers | {REQUEST_ID_HEADER: request_id}
    detail = ErrorDetail(code=code, message=message, details=details, request_id=request_id)
    return JSONResponse(ErrorBody(error=detail).model_dump(exclude_none=True), status, headers=headers)
