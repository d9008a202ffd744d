"""What the routes of OpenAI's dialects make of a request: a question, what goes with it, the head of its answer."""

import time
from collections.abc import Iterable, Sequence

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.gateway.answers.question_context import QuestionContext
from services.gateway.ports import Message
from services.gateway.runs.dialects.openai_sources import AnswerHead
from shared.contracts.openai import MAX_INSTRUCTIONS_CHARS, OpenAIRequest
from shared.contracts.questions import QueryRequest
from shared.errors import UnprocessableRequest


def make_query(body: OpenAIRequest, question: str, provider: str | None, field: str) -> QueryRequest:
    """Return the question with its options.

    Parameters:
        field: where the question stands, for the error.
    """
    options = body.model_dump(include={"top_k", "document_ids", "on_disconnect", "unsupported_citations"})
    try:
        return QueryRequest(question=question, provider=provider, **options)
    except ValidationError as error:
        raise RequestValidationError([{**problem, "loc": ("body", field)} for problem in error.errors()]) from None


def read_turns(turns: Sequence[tuple[str, str]], instructions: str, field: str) -> tuple[str, QuestionContext]:
    """Return the question, which is the last turn, and what goes with it.

    Parameters:
        turns: role and text of each message.
        instructions: which stand apart from the messages.
        field: where the messages stand, for the error.

    Raises:
        UnprocessableRequest: the last turn is not the user's, or the instructions are too long.
    """
    wishes = [instructions, *(text for role, text in turns if role in ("system", "developer"))]
    joined = "\n\n".join(wish for wish in wishes if wish.strip())
    if len(joined) > MAX_INSTRUCTIONS_CHARS:
        raise _refuse(field, f"Instructions of the system may have {MAX_INSTRUCTIONS_CHARS} characters in all.")
    said = [(role, text) for role, text in turns if role not in ("system", "developer")]
    if not said or said[-1][0] != "user":
        raise _refuse(field, "The last message must be the user's: it is the question.")
    return said[-1][1], QuestionContext(tuple(_list_history(said[:-1])), joined)


def make_head(request: Request, body: OpenAIRequest, run_id: str, public_url: str | None) -> AnswerHead:
    """Return what all parts of an answer say alike.

    Parameters:
        public_url: where links lead; without it, where the client has found us.
    """
    base_url = (public_url or str(request.base_url)).rstrip("/")
    return AnswerHead(run_id, int(time.time()), body.model, base_url, body.sources_as)


def _list_history(turns: Iterable[tuple[str, str]]) -> Iterable[Message]:
    for role, text in turns:
        if text.strip() and role in ("user", "assistant"):  # what tools returned is neither's
            yield Message("user" if role == "user" else "assistant", text)


def _refuse(field: str, problem: str) -> UnprocessableRequest:
    return UnprocessableRequest(f"{field}: {problem}", details={"problems": [{"field": field, "problem": problem}]})
