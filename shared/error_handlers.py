"""Turns every exception of an HTTP service into the one JSON error body."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.allowed_methods import find_allowed_methods
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


_CLOSING = frozenset({408, 500})
"""Statuses after which the connection is closed: a body has stalled in it, or uvicorn closes it because of a bug."""


ErrorShape = Callable[[int, ErrorDetail], tuple[int, BaseModel]]
"""Makes status and body of an error for those who know another form than ours."""


def install_error_handlers(app: FastAPI, shapes: Mapping[str, ErrorShape] | None = None) -> None:
    """Registers the handlers; no other code of a service writes an error body.

    Parameters:
        shapes: by the beginning of the paths whose errors have another form.
    """
    app.state.error_shapes = shapes or {}
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
    return make_error_response(
        request, status, error.error_code, error.message, error.details, retry_after=error.retry_after
    )


def make_error_response(
    request: Request,
    status: int,
    code: str,
    message: str,
    details: dict[str, Any] | None,
    *,
    retry_after: int | None = None,
) -> JSONResponse:
    """Return the one error body; `retry_after` is in seconds."""
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return _make_response(request, status, code, message, details, headers)


async def _answer_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    first, *others = error.errors()
    if first["type"] == "json_invalid":
        return _refuse_body(request, f"The body is not JSON (at character {first['loc'][-1] + 1}).")
    if first["loc"] == ("body",) and not _says_json(request.headers.get("content-type", "")):
        return _refuse_body(request, "The body is not read as JSON. Send the header Content-Type: application/json.")
    # The offending input itself is left out: it may be a whole question or a key.
    problems = [
        {"field": ".".join(str(part) for part in problem["loc"][1:]) or "body", "problem": problem["msg"]}
        for problem in (first, *others)
    ]
    message = f"{problems[0]['field']}: {problems[0]['problem']}"
    return _make_response(request, 422, "invalid_value", message, {"problems": problems}, {})


def _says_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _refuse_body(request: Request, message: str) -> JSONResponse:
    return _make_response(
        request, 422, "invalid_value", message, {"problems": [{"field": "body", "problem": message}]}, {}
    )


async def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    code, message, headers = _HTTP_CODES.get(error.status_code, "http_error"), str(error.detail), error.headers or {}
    match error.status_code:
        # FastAPI says 400 for whatever it cannot make of a body, and knows more than it says.
        case 400 if isinstance(error.__cause__, PagewireError):
            return await answer_pagewire_error(request, error.__cause__)
        case 400 if isinstance(error.__cause__, ClientDisconnect):
            return await _note_departure(request, error)
        case 400 if isinstance(error.__cause__, UnicodeDecodeError):
            return _refuse_body(request, "The body is not in UTF-8.")
        case 400 if isinstance(error.__cause__, RecursionError):
            return _refuse_body(request, "The body is nested too deeply.")
        case 404:
            message = "There is nothing at this address. GET /openapi.json lists the routes."
        case 405:
            allowed = ", ".join(find_allowed_methods(request))
            message, headers = f"This address can be called with {allowed} only.", {"Allow": allowed}
    return _make_response(request, error.status_code, code, message, None, dict(headers))


async def _note_departure(request: Request, error: Exception) -> Response:
    """The client left before it had sent or received everything: nobody is there to read an answer."""
    log.info("client_left")
    return Response(status_code=499)


async def _answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    # Outside of all middleware, and so of the log context that holds the id elsewhere.
    request_id = getattr(request.state, "request_id", "")
    log.error("unexpected_error", error=type(error).__name__, request_id=request_id, exc_info=error)
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
    if status in _CLOSING:
        headers["Connection"] = "close"
    trace_id = getattr(request.state, "trace_id", None)
    detail = ErrorDetail(code=code, message=message, details=details, request_id=request_id, trace_id=trace_id)
    for beginning, shape in request.app.state.error_shapes.items():
        if request.scope["path"].startswith(beginning):
            status, body = shape(status, detail)
            return JSONResponse(body.model_dump(), status, headers=headers)
    return JSONResponse(ErrorBody(error=detail).model_dump(exclude_none=True), status, headers=headers)
