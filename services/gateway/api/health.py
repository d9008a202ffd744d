"""Routes that say how the gateway is."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from services.gateway.api.dependencies import Gateway
from shared.errors import DependencyUnavailable

router = APIRouter(tags=["health"])


@router.get("/health")
@router.get("/health/live")
async def live(request: Request) -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": request.app.version}


@router.get("/health/ready")
async def ready(gateway: Gateway) -> JSONResponse:
    """Whether uploads and questions can be served, part by part."""
    parts = await gateway.search.check_ready()
    try:
        await gateway.documents.registry.ping()
        parts["registry"] = "ok"
    except DependencyUnavailable:
        parts["registry"] = "unavailable"
    parts["llm"] = gateway.answers.default_provider
    broken = "unavailable" in parts.values()
    return JSONResponse({"status": "unavailable" if broken else "ok", "parts": parts}, 503 if broken else 200)
