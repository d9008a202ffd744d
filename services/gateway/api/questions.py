"""Routes of questions."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse

from services.gateway.answers.answer_question import prepare_answer
from services.gateway.api.dependencies import Gateway, GatewayDependencies, Tenant
from services.gateway.api.event_stream import LogResponse, encode_log
from services.gateway.runs.collect import collect_answer
from services.gateway.runs.dialects import native
from services.gateway.runs.supervisor import Run
from shared.contracts.questions import (
    ErrorEvent,
    PassagesEvent,
    QueryRequest,
    QueryResponse,
    RunStartedEvent,
    SourcesEvent,
    StreamError,
    TokenEvent,
)
from shared.contracts.runs import Failed
from shared.error_handlers import make_error_response
from shared.while_connected import run_while_connected

router = APIRouter(tags=["questions"])

RUN_ID_HEADER = "X-Run-Id"


def _list_keys(model: type[BaseModel]) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields)


# OpenAPI has no way to describe the events of a stream, so this is for people.
_EVENTS = f"""Server-Sent Events, whose data are JSON objects and whose ids are their numbers in the run:

- `run`, if asked for: {_list_keys(RunStartedEvent)}
- `passages`, if asked for: {_list_keys(PassagesEvent)}
- `token`, any number of times: {_list_keys(TokenEvent)}
- then exactly one of `sources`: {_list_keys(SourcesEvent)}
- and `error`: {_list_keys(ErrorEvent)} with {_list_keys(StreamError)}

Comments (`: ping`) keep a silent stream open."""

STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": _EVENTS,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "headers": {RUN_ID_HEADER: {"schema": {"type": "string"}, "description": "the run's id"}},
    }
}


@router.post("/query", response_model=QueryResponse)
async def query(request: Request, body: QueryRequest, gateway: Gateway, tenant: Tenant) -> Response:
    """Answers a question from the documents, with the sources that the answer rests on."""
    run = await _start_run(body, gateway, tenant)
    try:
        end = await run_while_connected(request, collect_answer(run))
    finally:
        await gateway.runs.leave(run)
    if isinstance(end, Failed):
        response = make_error_response(
            request, end.status, end.error.code, end.error.message, end.details, retry_after=end.error.retry_after
        )
    else:
        response = JSONResponse(end.model_dump(mode="json"))
    response.headers[RUN_ID_HEADER] = run.run_id
    return response


@router.post("/query/stream", response_class=EventSourceResponse, responses=STREAM_RESPONSES)
async def query_stream(body: QueryRequest, gateway: Gateway, tenant: Tenant) -> LogResponse:
    """Answers a question token by token and ends with the sources."""
    run = await _start_run(body, gateway, tenant)
    return LogResponse(
        encode_log(run.log.read(run.stream), lambda batch: native.encode_batch(batch, run.run_id, body.include)),
        gateway.settings,
        headers={RUN_ID_HEADER: run.run_id},
        on_end=lambda: gateway.runs.leave(run),
    )


async def _start_run(body: QueryRequest, gateway: GatewayDependencies, tenant: str) -> Run:
    answer = await prepare_answer(tenant, body, gateway.answers)
    return await gateway.runs.start(tenant, answer, ends_with_client=body.on_disconnect == "cancel")
