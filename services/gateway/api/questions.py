"""Routes of questions."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.gateway.api.answers import describe_stream, start_run, stream_run, wait_for_run
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.runs.collect import move_citations
from services.gateway.runs.dialects import native
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
from shared.contracts.runs import Finished

router = APIRouter(tags=["questions"])


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

STREAM_RESPONSES = describe_stream(_EVENTS)


@router.post("/query", response_model=QueryResponse)
async def query(request: Request, body: QueryRequest, gateway: Gateway, tenant: Tenant) -> Response:
    """Answers a question from the documents, with the sources that the answer rests on."""
    run = await start_run(body, gateway, tenant)

    def render(text: str, end: Finished) -> dict[str, Any]:
        citations = move_citations(end.citations, len(text) - len(text.lstrip()))
        body = {**dict(end), "citations": citations}
        return QueryResponse(answer=text.strip(), run_id=run.run_id, **body).model_dump(mode="json")

    return await wait_for_run(request, run, gateway, render)


@router.post("/query/stream", response_class=StreamingResponse, responses=STREAM_RESPONSES)
async def query_stream(body: QueryRequest, gateway: Gateway, tenant: Tenant) -> Response:
    """Answers a question token by token and ends with the sources."""
    run = await start_run(body, gateway, tenant)
    return stream_run(run, gateway, partial(native.encode_batch, run_id=run.run_id, include=body.include))
