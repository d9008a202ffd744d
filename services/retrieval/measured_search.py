"""A search that is counted and timed, for `/metrics`."""

import asyncio
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector

from services.retrieval.ports import Reranker
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.contracts.search import SearchRequest, SearchResponse, SearchTimings
from shared.errors import BUSY_CODE, ServiceError

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""A stage of a search takes milliseconds, and seconds where many wait for the model."""
OUTCOMES: Final = ("found", "none", "busy", "left", "failed")


class _RerankerInForce(Collector):
    """Is asked at each scrape: weights may have been loaded since the last one."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker

    def collect(self) -> Iterator[InfoMetricFamily]:
        """Yield what is true at this moment."""
        state = self._reranker.state
        labels = {"status": state.status, "model": state.model or "", "reason": state.reason or ""}
        yield InfoMetricFamily("pagewire_reranker", "The reranker in force, as /health/ready says it.", value=labels)


class MeasuredSearch:
    """Searches with these parts.

    Attributes:
        dependencies: the parts.
        registry: what is told of the searches, and which reranker is in force.
    """

    def __init__(self, dependencies: SearchDependencies, registry: CollectorRegistry) -> None:
        self.dependencies = dependencies
        self.registry = registry
        self._searches = Counter("pagewire_searches", "Searches by what came of them.", ["outcome"], registry=registry)
        for outcome in OUTCOMES:
            self._searches.labels(outcome)  # told as 0 from the start: a rate needs a value before the first one
        self._seconds = Histogram(
            "pagewire_search_seconds",
            "Seconds of a search that was answered, by stage; `whole` is all of it.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._running = Gauge("pagewire_searches_in_progress", "Searches under way.", registry=registry)
        registry.register(_RerankerInForce(dependencies.reranker))

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Search as `search_passages` does. Whoever ends it early has left."""
        outcome = "failed"
        with self._running.track_inprogress():
            try:
                response = await search_passages(request, self.dependencies)
                outcome = "found" if response.passages else "none"
            except asyncio.CancelledError:
                outcome = "left"
                raise
            except ServiceError as error:
                if error.error_code == BUSY_CODE:
                    outcome = "busy"
                raise
            finally:
                self._searches.labels(outcome).inc()
        self._observe(response.timings_ms)
        return response

    def _observe(self, timings: SearchTimings) -> None:
        told = {"embed": timings.embed, "search": timings.search, "rerank": timings.rerank, "whole": timings.total}
        for stage, milliseconds in told.items():
            if milliseconds is not None:
                self._seconds.labels(stage).observe(milliseconds / 1000)
