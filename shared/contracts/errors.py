"""Wire contract of errors: one JSON body for every service."""

from typing import Any

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong and what to do about it."""

    code: str
    message: str
    details: dict[str, Any] | None = None
    request_id: str
    trace_id: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail
