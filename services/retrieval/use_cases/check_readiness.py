"""Says part by part whether searches can be answered."""

from services.retrieval.use_cases.search_passages import SearchDependencies
from shared.contracts.health import UNAVAILABLE
from shared.contracts.search import OFFLINE_RERANKER, RerankerState
from shared.errors import ServiceError


async def check_readiness(deps: SearchDependencies) -> dict[str, str]:
    """`ok` or `unavailable` per part; the reranker also `loading`, `offline` or `off`, the last two with the reason."""
    parts = {"embedder": "ok"}  # loaded, or there would be no search to ask about
    for name, check in (("index", deps.index.check), ("registry", deps.registry.ping)):
        try:
            await check()
            parts[name] = "ok"
        except ServiceError:
            parts[name] = UNAVAILABLE
    parts["reranker"] = _describe(deps.reranker.state)
    return parts


def _describe(reranker: RerankerState) -> str:
    works = "offline" if reranker.model == OFFLINE_RERANKER else "ok"
    word = works if reranker.status == "on" else reranker.status
    return word if reranker.reason is None else f"{word}: {reranker.reason}"
