"""The form in which OpenAI's clients read errors."""

from typing import Any, Final

from services.gateway.runs.dialects.openai_sources import name_error_type
from shared.contracts.errors import ErrorDetail
from shared.contracts.openai import OpenAIError, OpenAIErrorBody

OPENAI_PREFIX: Final = "/v1/"

OPENAI_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorBody, "description": f"{whose} In OpenAI's form."}
    for status, whose in {"4XX": "The request's fault.", "5XX": "Ours, or a part's that is away."}.items()
}
"""For OpenAPI: what these routes answer where others have our own body."""


def shape_openai_error(status: int, detail: ErrorDetail) -> tuple[int, OpenAIErrorBody]:
    """Return an error as OpenAI would tell it, where a wrong value is a bad request."""
    status = 400 if status == 422 else status
    problems = (detail.details or {}).get("problems") or [{}]
    error = OpenAIError(
        message=detail.message,
        type=name_error_type(status),
        param=problems[0].get("field"),
        code=detail.code,
        details=detail.details,
        request_id=detail.request_id,
        trace_id=detail.trace_id,
    )
    return status, OpenAIErrorBody(error=error)
