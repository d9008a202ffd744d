"""HTTP routes of the retrieval service."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response

from services.retrieval.measured_search import MeasuredSearch
from services.retrieval.use_cases.check_readiness import check_readiness
from shared.contracts.health import Readiness, judge_parts
from shared.contracts.search import SearchFingerprint, SearchRequest, SearchResponse
from shared.metrics import METRICS_TYPE, render_metrics
from shared.while_connected import run_while_connected

log = structlog.get_logger(__name__)

router = APIRouter()


def get_search(request: Request) -> MeasuredSearch:
    """Return what the composition root put into the app."""
    search: MeasuredSearch = request.app.state.search
    return search


Search = Annotated[MeasuredSearch, Depends(get_search)]


@router.post("/search")
async def search(request: Request, body: SearchRequest, measured: Search) -> SearchResponse:
    """Search the documents of one tenant, by meaning and by words.

    A client that leaves ends the search, also where it waits for its turn at the model; only a forward pass that has
    begun runs to its end.
    """
    response = await run_while_connected(request, measured.search(body))
    log.info("search_answered", passages=len(response.passages), total_ms=response.timings_ms.total)
    return response


@router.get("/search/fingerprint")
async def read_fingerprint(search: Search) -> SearchFingerprint:
    """Say how searches work now, for whoever keeps what was made of their results."""
    dependencies = search.dependencies
    return SearchFingerprint(fingerprint=dependencies.make_fingerprint(dependencies.reranker.state))


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(search: Search, response: Response) -> Readiness:
    """Say part by part whether searches can be answered; reranking being off is said but is no fault."""
    readiness, response.status_code = judge_parts(await check_readiness(search.dependencies))
    return readiness


@router.get("/metrics")
async def tell_metrics(search: Search) -> Response:
    """Tell Prometheus what has been searched, and how long it took."""
    return Response(await render_metrics(search.registry), media_type=METRICS_TYPE)
