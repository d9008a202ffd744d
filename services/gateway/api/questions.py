"""Routes of questions."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse
from starlette.requests import ClientDisconnect

from services.gateway.answers.answer_question import answer_whole, begin_run, stream_answer
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.api.event_stream import make_event_response
from shared.contracts.questions import (
    ErrorEvent,
    PassagesEvent,
    QueryRequest,
    QueryResponse,
    SourcesEvent,
    StreamError,
    TokenEvent,
)
from shared.tasks import end_tasks, run_to_end

router = APIRouter(tags=["questions"])


def _list_keys(model: type[BaseModel]) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields)


# OpenAPI has no way to describe the events of a stream, so this is for people.
_EVENTS = f"""Server-Sent Events, whose data are JSON objects:

- `passages`, if asked for: {_list_keys(PassagesEvent)}
- `token`, any number of times: {_list_keys(TokenEvent)}
- then exactly one of `sources`: {_list_keys(SourcesEvent)}
- and `error`: {_list_keys(ErrorEvent)} with {_list_keys(StreamError)}

Comments (`: ping`) keep a silent stream open."""

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": _EVENTS, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


@router.post("/query")
async def query(request: Request, body: QueryRequest, gateway: Gateway, tenant: Tenant) -> QueryResponse:
    """Answers a question from the documents, with the sources that the answer rests on."""
    run = await begin_run(tenant, body, gateway.answers)
    return await _answer_while_connected(request, answer_whole(run, gateway.answers))


async def _answer_while_connected(request: Request, work: Coroutine[Any, Any, QueryResponse]) -> QueryResponse:
    """The work's result; a client that leaves ends it, and with it the call to the provider."""
    answer = asyncio.create_task(work)
    departure = asyncio.create_task(_wait_for_departure(request))
    try:
        await asyncio.wait({answer, departure}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientDisconnect
    finally:
        await run_to_end(end_tasks(answer, departure))


async def _wait_for_departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.post("/query/stream", response_class=EventSourceResponse, responses=_STREAM)
async def query_stream(body: QueryRequest, gateway: Gateway, tenant: Tenant) -> EventSourceResponse:
    """Answers a question token by token and ends with the sources."""
    run = await begin_run(tenant, body, gateway.answers)
    settings = gateway.settings
    return make_event_response(
        stream_answer(run, gateway.answers), heartbeat_s=settings.heartbeat_s, send_timeout_s=settings.send_timeout_s
    )
