"""Routes that say how the gateway is."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from services.gateway.api.dependencies import Gateway
from shared.contracts.health import UNAVAILABLE, Readiness, judge_parts
from shared.errors import ServiceError
from shared.metrics import METRICS_TYPE
from shared.registry.port import DocumentRegistry

router = APIRouter(tags=["health"])

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' text format; docs/operations.md lists the names.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get("/health")
@router.get("/health/live")
async def live(request: Request) -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": request.app.version}


@router.get("/health/ready", responses={503: {"model": Readiness, "description": "A part is unavailable."}})
async def ready(gateway: Gateway, response: Response) -> Readiness:
    """Whether uploads and questions can be served, part by part."""
    # At once: when Redis is silent, both wait as long as they may.
    parts, registry = await asyncio.gather(gateway.search.check_ready(), _check_registry(gateway.documents.registry))
    parts["registry"] = registry
    parts["llm"] = gateway.answers.default_provider
    parts.update({f"llm.{provider}": state for provider, state in gateway.describe_chain().items()})
    readiness, response.status_code = judge_parts(parts)
    return readiness


@router.get("/metrics", responses=_METRICS, response_class=Response)
async def tell_metrics(gateway: Gateway) -> Response:
    """Numbers for Prometheus: answers, uploads, the queue; standalone's searches and ingests, too."""
    return Response(await gateway.metrics.render(gateway.runs.count), media_type=METRICS_TYPE)


async def _check_registry(registry: DocumentRegistry) -> str:
    try:
        await registry.ping()
    except ServiceError:
        return UNAVAILABLE
    return "ok"
