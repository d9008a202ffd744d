"""HTTP routes of the retrieval service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.retrieval.use_cases.check_readiness import check_readiness
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.contracts.health import Readiness, judge_parts
from shared.contracts.search import SearchRequest, SearchResponse

router = APIRouter()


def get_dependencies(request: Request) -> SearchDependencies:
    """What the composition root put into the app."""
    dependencies: SearchDependencies = request.app.state.dependencies
    return dependencies


Dependencies = Annotated[SearchDependencies, Depends(get_dependencies)]


@router.post("/search")
async def search(body: SearchRequest, dependencies: Dependencies) -> SearchResponse:
    """Hybrid search over the documents of one tenant."""
    return await search_passages(body, dependencies)


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(dependencies: Dependencies, response: Response) -> Readiness:
    """Whether searches can be answered, part by part; reranking being off is said but is no fault."""
    readiness, response.status_code = judge_parts(await check_readiness(dependencies))
    return readiness
