"""HTTP routes of the retrieval service."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response

from services.retrieval.use_cases.check_readiness import check_readiness
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.contracts.health import Readiness, judge_parts
from shared.contracts.search import SearchFingerprint, SearchRequest, SearchResponse
from shared.while_connected import run_while_connected

log = structlog.get_logger(__name__)

router = APIRouter()


def get_dependencies(request: Request) -> SearchDependencies:
    """Return what the composition root put into the app."""
    dependencies: SearchDependencies = request.app.state.dependencies
    return dependencies


Dependencies = Annotated[SearchDependencies, Depends(get_dependencies)]


@router.post("/search")
async def search(request: Request, body: SearchRequest, dependencies: Dependencies) -> SearchResponse:
    """Search the documents of one tenant, by meaning and by words.

    A client that leaves ends the search, also where it waits for its turn at the model; only a forward pass that has
    begun runs to its end.
    """
    response = await run_while_connected(request, search_passages(body, dependencies))
    log.info("search_answered", passages=len(response.passages), total_ms=response.timings_ms.total)
    return response


@router.get("/search/fingerprint")
async def read_fingerprint(dependencies: Dependencies) -> SearchFingerprint:
    """Say how searches work now, for whoever keeps what was made of their results."""
    return SearchFingerprint(fingerprint=dependencies.make_fingerprint(dependencies.reranker.state))


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(dependencies: Dependencies, response: Response) -> Readiness:
    """Say part by part whether searches can be answered; reranking being off is said but is no fault."""
    readiness, response.status_code = judge_parts(await check_readiness(dependencies))
    return readiness
