"""HTTP routes of the retrieval service."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from services.retrieval.use_cases.check_readiness import check_readiness
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.contracts.health import Readiness, judge_parts
from shared.contracts.search import SearchRequest, SearchResponse
from shared.tasks import end_tasks, run_to_end

log = structlog.get_logger(__name__)

router = APIRouter()


def get_dependencies(request: Request) -> SearchDependencies:
    """Return what the composition root put into the app."""
    dependencies: SearchDependencies = request.app.state.dependencies
    return dependencies


Dependencies = Annotated[SearchDependencies, Depends(get_dependencies)]


@router.post("/search")
async def search(request: Request, body: SearchRequest, dependencies: Dependencies) -> SearchResponse:
    """Search the documents of one tenant, by meaning and by words."""
    response = await _search_while_connected(request, search_passages(body, dependencies))
    log.info("search_answered", passages=len(response.passages), total_ms=response.timings_ms.total)
    return response


async def _search_while_connected(request: Request, work: Coroutine[Any, Any, SearchResponse]) -> SearchResponse:
    """Return the work's result; a client that leaves ends it, also where it waits for its turn at the model.

    Only a forward pass that has begun runs to its end. Raise ClientDisconnect when the client has left.
    """
    found = asyncio.create_task(work)
    departure = asyncio.create_task(_wait_for_departure(request))
    try:
        await asyncio.wait({found, departure}, return_when=asyncio.FIRST_COMPLETED)
        if found.done():
            return found.result()
        raise ClientDisconnect
    finally:
        await run_to_end(end_tasks(found, departure))


async def _wait_for_departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(dependencies: Dependencies, response: Response) -> Readiness:
    """Say part by part whether searches can be answered; reranking being off is said but is no fault."""
    readiness, response.status_code = judge_parts(await check_readiness(dependencies))
    return readiness
