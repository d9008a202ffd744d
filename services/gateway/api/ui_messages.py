"""Routes of the Vercel AI SDK: `useChat` works with its default transport."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from services.gateway.api.answers import RUN_ID_HEADER, describe_stream, start_run
from services.gateway.api.base_url import find_base_url
from services.gateway.api.dependencies import Gateway, GatewayDependencies, Tenant
from services.gateway.api.event_stream import Follow, LogResponse
from services.gateway.api.turns import read_turns
from services.gateway.runs.dialects import ai_sdk
from services.gateway.runs.dialects.ai_sdk import UiMessageEncoder
from services.gateway.runs.supervisor import name_run
from shared.contracts.runs import RunEvent
from shared.contracts.ui_messages import ChatRequest
from shared.event_log.port import EventSink

router = APIRouter(tags=["AI SDK"])

_RESPONSES = describe_stream("The AI SDK's UI message stream, version 1; docs/api.md says which parts it has.")

LastEventId = Annotated[
    str | None,
    Header(
        pattern=r"^[^:]{1,200}:[0-9]{1,15}$",
        description="the `id` of the last event that has arrived; one of another answer than the chat's newest says"
        " nothing of that; left out: from the beginning",
    ),
]


@router.post("/api/chat", response_class=StreamingResponse, responses=_RESPONSES)
async def chat(request: Request, body: ChatRequest, gateway: Gateway, tenant: Tenant) -> Response:
    """Answers the last user message of a chat, as a UI message stream."""
    question, context = read_turns(body.list_turns(), "", "messages")
    run = await start_run(body.make_query(question), gateway, tenant, context)
    await gateway.active_runs.note(tenant, body.id, run.run_id)  # also one that nobody can come back to: no older one
    encoder = UiMessageEncoder(
        run.run_id, find_base_url(request, gateway.settings), passages="passages" in body.include
    )
    follow: Follow[RunEvent] = partial(run.log.follow, run.stream)
    if not run.ends_with_client:
        follow = _note_when_read(follow, gateway, tenant, body.id, run.run_id)
    return LogResponse(
        follow,
        encoder.encode_batch,
        gateway.settings,
        encode_break=encoder.encode_break,
        headers=_make_headers(run.run_id),
        on_end=lambda: gateway.runs.leave(run),
    )


@router.get(
    "/api/chat/{id}/stream",
    response_class=StreamingResponse,
    responses={**_RESPONSES, 204: {"description": "There is no answer to come back to."}},
)
async def read_chat(
    request: Request,
    gateway: Gateway,
    tenant: Tenant,
    chat_id: str = Path(alias="id", max_length=200),
    last_event_id: LastEventId = None,
) -> Response:
    """Comes back to the answer of a chat with `on_disconnect: continue`, at any replica, until it was read to its end.

    From its beginning; behind `Last-Event-ID` also after that, because what was sent has not always arrived.
    """
    run = await gateway.active_runs.find(tenant, chat_id)
    if run is None:
        return Response(status_code=204)
    seen, _, number = (last_event_id or "").rpartition(":")
    after = int(number) if seen == run.run_id else 0
    if run.read and after == 0:
        return Response(status_code=204)
    stream = name_run(tenant, run.run_id)
    state = await gateway.run_log.find(stream)
    if state is None or (state.ended and after >= state.last):
        return Response(status_code=204)
    encoder = UiMessageEncoder(run.run_id, find_base_url(request, gateway.settings), passages=False)
    follow: Follow[RunEvent] = partial(gateway.run_log.follow, stream, after=after)
    return LogResponse(
        _note_when_read(follow, gateway, tenant, chat_id, run.run_id),
        encoder.encode_batch,
        gateway.settings,
        encode_break=encoder.encode_break,
        headers=_make_headers(run.run_id),
    )


def _note_when_read(
    follow: Follow[RunEvent], gateway: GatewayDependencies, tenant: str, chat_id: str, run_id: str
) -> Follow[RunEvent]:
    """Note when the last event was sent: a page that shows the answer must not get it once more."""

    async def follow_and_note(sink: EventSink[RunEvent]) -> None:
        await follow(sink)
        await gateway.active_runs.mark_read(tenant, chat_id, run_id)

    return follow_and_note


def _make_headers(run_id: str) -> dict[str, str]:
    return {**ai_sdk.HEADERS, RUN_ID_HEADER: run_id}
