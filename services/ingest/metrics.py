"""What a worker tells Prometheus, and the port on which it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from services.ingest.ports import IngestMetrics, JobOutcome, Stage

BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""A step of embedding takes a tenth of a second to seconds, a scan minutes."""


class MetricsPortError(Exception):
    """Nobody can listen there; the message says why."""


class CountedIngest(IngestMetrics):
    """Counts into a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Counter(
            "pagewire_jobs",
            "Ingests by how they ended; `code` says why a document failed.",
            ["outcome", "code"],
            registry=registry,
        )
        for outcome in ("ready", "interrupted"):
            self._jobs.labels(outcome, "")  # told as 0 from the start: a rate needs a value before the first one
        self._running = Gauge("pagewire_jobs_in_progress", "Ingests under way.", registry=registry)
        self._seconds = Histogram(
            "pagewire_ingest_seconds",
            "Seconds of the stages of ingests: `parse` of a document, `embed` and `write` of some passages at a time.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=registry,
        )

    def count_job(self, outcome: JobOutcome, code: str = "") -> None:
        """Note that a job has come to an end."""
        self._jobs.labels(outcome, code).inc()

    def track_job(self) -> AbstractContextManager[object]:
        """Count a job as under way for a `with` block."""
        return self._running.track_inprogress()

    def time(self, stage: Stage) -> AbstractContextManager[object]:
        """Measure how long a `with` block takes, however it ends."""
        return self._seconds.labels(stage).time()


@asynccontextmanager
async def serve_metrics(registry: CollectorRegistry, host: str, port: int | None) -> AsyncIterator[int | None]:
    """Answer Prometheus on a port, in threads of their own, for a `with` block; yield the port. None: do not.

    Raise MetricsPortError where nobody can listen there.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = await asyncio.to_thread(start_http_server, port, host, registry)
    except OSError as error:
        raise MetricsPortError(f"PAGEWIRE_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror})") from error
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(_stop, server, thread)


def _stop(server: WSGIServer, thread: Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
