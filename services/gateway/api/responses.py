"""Route of OpenAI's responses."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.api.answers import describe_stream, start_run, stream_run, wait_for_run
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.api.models import choose_provider
from services.gateway.api.openai_errors import OPENAI_ERRORS
from services.gateway.api.openai_requests import make_head, make_query
from services.gateway.api.turns import read_turns
from services.gateway.runs.dialects.openai_responses import ResponseEncoder, make_response
from shared.contracts.responses import ResponseObject, ResponsesRequest

router = APIRouter(tags=["openai"], responses=OPENAI_ERRORS)

_EVENTS = """The whole answer; with `stream`, Server-Sent Events as OpenAI names them: `response.created`,
`response.in_progress`, `response.output_item.added`, `response.content_part.added`, `response.output_text.delta` any
number of times, `response.output_text.annotation.added` for each citation, the three `….done`, then one of
`response.completed`, `response.incomplete` and `response.failed`. `error` ends the connection and not the answer.
Comments (`: ping`) keep a silent stream open."""


@router.post("/v1/responses", response_class=JSONResponse, responses=describe_stream(_EVENTS, ResponseObject))
async def create_response(request: Request, body: ResponsesRequest, gateway: Gateway, tenant: Tenant) -> Response:
    """Answers a question from the documents, as OpenAI's responses do. Answers are not kept."""
    provider = choose_provider(body.model, gateway)
    turns = [(message.role, message.content) for message in body.input]
    question, context = read_turns(turns, body.instructions or "", "input")
    run = await start_run(make_query(body, question, provider, "input"), gateway, tenant, context)
    head = make_head(request, body, run.run_id, gateway.settings)
    if not body.stream:
        return await wait_for_run(request, run, gateway, lambda text, end: make_response(text, end, head))
    encoder = ResponseEncoder(head)
    return stream_run(run, gateway, encoder.encode_batch, encoder.encode_break)
