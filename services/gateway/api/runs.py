"""Routes of runs: come back to an answer that is being written, or stop it."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from services.gateway.api.answers import RUN_ID_HEADER
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.api.event_stream import LastEventId, LogResponse
from services.gateway.api.questions import STREAM_RESPONSES
from services.gateway.runs.dialects import native
from services.gateway.runs.supervisor import name_run
from shared.errors import NotFound

router = APIRouter(tags=["runs"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    **STREAM_RESPONSES,
    204: {"description": "Nothing more will come: the run has ended, and all of it has arrived."},
}


@router.get("/runs/{run_id}/events", response_class=StreamingResponse, responses=_RESPONSES)
async def read_run(
    run_id: str,
    gateway: Gateway,
    tenant: Tenant,
    last_event_id: LastEventId = None,
    include: Annotated[list[Literal["run", "passages"]] | None, Query(description="as in a question")] = None,
) -> Response:
    """Goes on with the stream of a run with `on_disconnect: continue`, behind the last event that has arrived.

    At any replica, as long as the run lives and ten minutes after.
    """
    stream, after = name_run(tenant, run_id), last_event_id or 0
    state = await gateway.run_log.find(stream)
    if state is None:
        raise _make_missing(run_id)
    if state.ended and after >= state.last:
        return Response(status_code=204)
    return LogResponse(
        partial(gateway.run_log.follow, stream, after=after),
        lambda batch: native.encode_batch(batch, run_id, include or ()),
        gateway.settings,
        headers={RUN_ID_HEADER: run_id},
    )


@router.delete("/runs/{run_id}", status_code=204)
async def stop_run(run_id: str, gateway: Gateway, tenant: Tenant) -> Response:
    """Stops a run: its readers get what there is, and `finish_reason: stopped`. One that has ended stays as it is.

    At any replica. A run with `on_disconnect: cancel` is known only while it is being written.
    """
    if not await gateway.runs.stop(tenant, run_id):
        raise _make_missing(run_id)
    return Response(status_code=204)


def _make_missing(run_id: str) -> NotFound:
    message = (
        f"There is no run {run_id!r} that can be read. Runs with on_disconnect: continue can, until ten minutes after"
        " their end."
    )
    return NotFound(message)
