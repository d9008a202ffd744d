"""A search that always finds the same passages, for tests of what comes after it."""

from shared.contracts.search import Passage, RerankerState, SearchRequest, SearchResponse, SearchTimings, StageScores
from shared.errors import DependencyUnavailable


class CannedSearch:
    """Answers every search with the same passages: what is tested here comes after the search."""

    def __init__(self, document_id: str, count: int) -> None:
        self.passages = [make_passage(document_id, n) for n in range(count)]
        self.broken = False
        self.fingerprint = ""  # what nobody can say keeps answers from being kept
        self.requests: list[SearchRequest] = []

    async def search(self, request: SearchRequest) -> SearchResponse:
        self.requests.append(request)
        if self.broken:
            raise DependencyUnavailable("The search does not answer now; try again.", code="search_unavailable")
        return SearchResponse(
            passages=self.passages[: request.top_k],
            timings_ms=SearchTimings(embed=1, search=1, rerank=None, total=2),
            reranker=RerankerState(status="off", reason="disabled"),
            fingerprint=self.fingerprint,
        )

    async def read_fingerprint(self) -> str | None:
        return None if self.broken else self.fingerprint

    async def check_ready(self) -> dict[str, str]:
        return {"index": "ok"}

    async def close(self) -> None:
        return None


def make_passage(document_id: str, n: int) -> Passage:
    text = f"Net sales of unit {n} were 383.3 billion euro."
    scores = StageScores(dense=0.9, bm25=3.0, fused=0.03)
    return Passage(
        document_id=document_id,
        chunk_id=n,
        title="Filing",
        page=n + 1,
        start=0,
        end=len(text),
        text=text,
        score=0.03,
        scores=scores,
    )
