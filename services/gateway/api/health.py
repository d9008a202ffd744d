"""Routes that say how the gateway is."""

from fastapi import APIRouter, Request, Response

from services.gateway.api.dependencies import Gateway
from shared.contracts.health import UNAVAILABLE, Readiness, judge_parts
from shared.errors import DependencyUnavailable

router = APIRouter(tags=["health"])


@router.get("/health")
@router.get("/health/live")
async def live(request: Request) -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": request.app.version}


@router.get("/health/ready", responses={503: {"model": Readiness, "description": "A part is unavailable."}})
async def ready(gateway: Gateway, response: Response) -> Readiness:
    """Whether uploads and questions can be served, part by part."""
    parts = await gateway.search.check_ready()
    try:
        await gateway.documents.registry.ping()
        parts["registry"] = "ok"
    except DependencyUnavailable:
        parts["registry"] = UNAVAILABLE
    parts["llm"] = gateway.answers.default_provider
    readiness, response.status_code = judge_parts(parts)
    return readiness
