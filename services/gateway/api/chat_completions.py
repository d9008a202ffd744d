"""Route of OpenAI's chat completions."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.api.answers import describe_stream, start_run, stream_run, wait_for_run
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.api.models import choose_provider
from services.gateway.api.openai_errors import OPENAI_ERRORS
from services.gateway.api.openai_requests import make_head, make_query
from services.gateway.api.turns import read_turns
from services.gateway.runs.dialects.openai_chat import ChatEncoder, make_completion
from shared.contracts.chat_completions import ChatCompletion, ChatCompletionRequest

router = APIRouter(tags=["openai"], responses=OPENAI_ERRORS)

_EVENTS = """The whole answer; with `stream`, Server-Sent Events without names, whose data are `chat.completion.chunk`
objects: `delta.content` any number of times; `delta.annotations`, if anything is cited; `finish_reason` with
`citations` and `search_results`; the usage, if asked for; then `[DONE]`. An error in between is `{"error": {…}}`, and
there is no `[DONE]`. Comments (`: ping`) keep a silent stream open."""


@router.post("/v1/chat/completions", response_class=JSONResponse, responses=describe_stream(_EVENTS, ChatCompletion))
async def create_chat_completion(
    request: Request, body: ChatCompletionRequest, gateway: Gateway, tenant: Tenant
) -> Response:
    """Answers the last message from the documents, as OpenAI's chat completions do."""
    provider = choose_provider(body.model, gateway)
    turns = [(message.role, message.content or "") for message in body.messages]
    question, context = read_turns(turns, "", "messages")
    run = await start_run(make_query(body, question, provider, "messages"), gateway, tenant, context)
    head = make_head(request, body, run.run_id, gateway.settings)
    if not body.stream:
        return await wait_for_run(request, run, gateway, lambda text, end: make_completion(text, end, head))
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    encoder = ChatEncoder(head, include_usage=include_usage)
    return stream_run(run, gateway, encoder.encode_batch, encoder.encode_break)
