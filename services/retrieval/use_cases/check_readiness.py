"""Says part by part whether searches can be answered."""

from services.retrieval.use_cases.search_passages import SearchDependencies
from shared.contracts.health import UNAVAILABLE
from shared.errors import ServiceError


async def check_readiness(deps: SearchDependencies) -> dict[str, str]:
    """`ok` or `unavailable` per part; the reranker also `loading`, or `off` with the reason."""
    parts = {"embedder": "ok"}  # loaded, or there would be no search to ask about
    for name, check in (("index", deps.index.check), ("registry", deps.registry.ping)):
        try:
            await check()
            parts[name] = "ok"
        except ServiceError:
            parts[name] = UNAVAILABLE
    reranker = deps.reranker.state
    parts["reranker"] = "ok" if reranker.status == "on" else reranker.status
    if reranker.reason is not None:
        parts["reranker"] = f"off: {reranker.reason}"
    return parts
