"""What the routes of all dialects share: start a run, send it as a stream, or wait for all of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from services.gateway.answers.answer_question import begin_answer
from services.gateway.answers.question_context import NO_CONTEXT, QuestionContext
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.api.event_stream import LogResponse
from services.gateway.conversations.keep_turns import open_turn
from services.gateway.runs.collect import collect_run
from services.gateway.runs.dialects import native
from services.gateway.runs.supervisor import Run
from shared.contracts.questions import QueryRequest, StreamError
from shared.contracts.runs import Failed, Finished, RunEvent
from shared.error_handlers import make_error_response
from shared.event_log.port import EventBatch
from shared.while_connected import run_while_connected

RUN_ID_HEADER = "X-Run-Id"


def describe_stream(description: str, model: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    """Return for OpenAPI what a route of runs answers: a stream, or where there is a `model`, that as well."""
    told: dict[str, Any] = {
        "description": description,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "headers": {RUN_ID_HEADER: {"schema": {"type": "string"}, "description": "the run's id"}},
    }
    return {200: told if model is None else {"model": model, **told}}


async def start_run(
    query: QueryRequest, gateway: GatewayDependencies, tenant: str, context: QuestionContext = NO_CONTEXT
) -> Run:
    """Begin to answer. Raise PagewireError for what can be refused before that.

    Parameters:
        context: what the client sends with the question; in a conversation that we keep it is what is kept.
    """
    turn = None
    if query.conversation_id is not None:
        longest = gateway.settings.conversation_max_characters
        store = gateway.conversations
        turn = await open_turn(tenant, query.conversation_id, query.question, store, max_characters=longest)
        context = QuestionContext(turn.history)
    answer = await begin_answer(tenant, query, gateway.answers, context)
    return await gateway.runs.start(tenant, answer, ends_with_client=query.on_disconnect == "cancel", turn=turn)


def stream_run(
    run: Run,
    gateway: GatewayDependencies,
    encode: Callable[[EventBatch[RunEvent]], bytes],
    encode_break: Callable[[StreamError], bytes] = native.encode_break,
) -> LogResponse[RunEvent]:
    """Return the response that sends a run as it is written. A client that leaves ends it, if it is to."""
    return LogResponse(
        partial(run.log.follow, run.stream),
        encode,
        gateway.settings,
        encode_break=encode_break,
        headers={RUN_ID_HEADER: run.run_id},
        on_end=lambda: gateway.runs.leave(run),
    )


async def wait_for_run(
    request: Request, run: Run, gateway: GatewayDependencies, render: Callable[[str, Finished], dict[str, Any]]
) -> Response:
    """Return the whole answer at once, or the error that it ended with. A client that leaves ends it, if it is to.

    Parameters:
        render: makes the body of the text and the end.
    """
    try:
        text, end = await run_while_connected(request, collect_run(run))
    finally:
        await gateway.runs.leave(run)
    if isinstance(end, Failed):
        response = make_error_response(
            request, end.status, end.error.code, end.error.message, end.details, retry_after=end.error.retry_after
        )
    else:
        response = JSONResponse(render(text, end))
    response.headers[RUN_ID_HEADER] = run.run_id
    return response
