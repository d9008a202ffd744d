"""What the routes of OpenAI's dialects make of a request: a question, and the head of its answer."""

import time

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.gateway.api.base_url import find_base_url
from services.gateway.runs.dialects.openai_sources import AnswerHead
from services.gateway.settings import GatewaySettings
from shared.contracts.openai import OpenAIRequest
from shared.contracts.questions import QueryRequest


def make_query(body: OpenAIRequest, question: str, provider: str | None, field: str) -> QueryRequest:
    """Return the question with its options.

    Parameters:
        field: where the question stands, for the error.
    """
    options = body.model_dump(include={"top_k", "document_ids", "on_disconnect", "unsupported_citations", "cache"})
    try:
        return QueryRequest(question=question, provider=provider, **options)
    except ValidationError as error:
        raise RequestValidationError([{**problem, "loc": ("body", field)} for problem in error.errors()]) from None


def make_head(request: Request, body: OpenAIRequest, run_id: str, settings: GatewaySettings) -> AnswerHead:
    """Return what all parts of an answer say alike."""
    return AnswerHead(run_id, int(time.time()), body.model, find_base_url(request, settings), body.sources_as)
