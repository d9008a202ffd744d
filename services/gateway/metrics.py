"""What the gateway tells Prometheus. Nothing here is done for a token: runs are counted when they end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.requests import ClientDisconnect

from shared.contracts.runs import Failed, Finished
from shared.errors import PagewireError, ServiceError
from shared.metrics import render_metrics

FIRST_TOKEN_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
ANSWER_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Up to the default of PAGEWIRE_RUN_DEADLINE_S."""

UploadOutcome = Literal["accepted", "duplicate", "replaced"]


class GatewayMetrics:
    """Counts what becomes of questions and uploads.

    Parameters:
        registry: where it is counted.
        count_jobs: how many jobs stand in each lane of the queue; raises ServiceError when the queue is away.

    Attributes:
        registry: also for those who run in the gateway's process and have something to tell.
    """

    def __init__(self, registry: CollectorRegistry, count_jobs: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        self.registry = registry
        self._count_jobs = count_jobs
        self._runs = Counter(
            "pagewire_runs",
            "Answers by how they ended; `code` is the finish_reason of a finished one, the error's of a failed one.",
            ["outcome", "code"],
            registry=registry,
        )
        self._runs.labels("finished", "stop")  # told as 0 from the start: a rate needs a value before the first one
        for outcome in ("cached", "stopped", "left"):
            self._runs.labels(outcome, "")
        self._running = Gauge("pagewire_runs_in_progress", "Answers that are being written.", registry=registry)
        self._first_token = Histogram(
            "pagewire_first_token_seconds",
            "Seconds from the question to the first token of answers that were written to their end.",
            buckets=FIRST_TOKEN_BUCKETS_S,
            registry=registry,
        )
        self._answer = Histogram(
            "pagewire_answer_seconds",
            "Seconds from the question to the end of answers that were written to their end.",
            buckets=ANSWER_BUCKETS_S,
            registry=registry,
        )
        self._tokens = Counter(
            "pagewire_llm_tokens", "Tokens of finished answers, as providers count them.", ["kind"], registry=registry
        )
        self._uploads = Counter(
            "pagewire_uploads",
            "Uploads by what came of them; `code` is the error's of a refused one.",
            ["outcome", "code"],
            registry=registry,
        )
        for outcome in ("accepted", "duplicate", "replaced", "left"):
            self._uploads.labels(outcome, "")
        self._jobs = Gauge(
            "pagewire_queued_jobs",
            "Jobs that are not done, those under way included; missing while Redis is away.",
            ["lane"],
            registry=registry,
        )

    def count_run(self, end: Finished | Failed, left: bool) -> None:
        """Count an answer that has come to its end; `left`: its client's leaving has ended it."""
        match end:
            case Finished(cached=True):
                self._runs.labels("cached", "").inc()
            case Finished(finish_reason="stopped"):
                self._runs.labels("stopped", "").inc()
            case Finished():
                self._runs.labels("finished", end.finish_reason).inc()
                self._observe(end)
            case Failed():
                self._runs.labels(*(("left", "") if left else ("failed", end.error.code))).inc()

    def count_upload(self, outcome: UploadOutcome) -> None:
        """Count an upload that was taken."""
        self._uploads.labels(outcome, "").inc()

    @contextmanager
    def count_refused(self) -> Iterator[None]:
        """Count an upload that ends within a `with` block by an exception."""
        try:
            yield
        except PagewireError as error:
            self._uploads.labels("refused", error.error_code).inc()
            raise
        except ClientDisconnect:
            self._uploads.labels("left", "").inc()
            raise
        except asyncio.CancelledError:
            self._uploads.labels("refused", "server_shutdown").inc()
            raise
        except Exception:  # a fault of ours, whatever it is: it is answered as `internal_error`, and raised again here
            self._uploads.labels("refused", "internal_error").inc()
            raise

    async def render(self, runs: int) -> bytes:
        """Return all numbers as text; `runs`: answers that are being written."""
        self._running.set(runs)
        try:
            lanes = await self._count_jobs()
        except ServiceError:
            lanes = {}
        self._jobs.clear()
        for lane, jobs in lanes.items():
            self._jobs.labels(lane).set(jobs)
        return await render_metrics(self.registry)

    def _observe(self, end: Finished) -> None:
        if (first_token := end.timings_ms.first_token) is not None:
            self._first_token.observe(first_token / 1000)
        self._answer.observe(end.timings_ms.total / 1000)
        for kind, tokens in (("input", end.usage.input_tokens), ("output", end.usage.output_tokens)):
            if tokens is not None:
                self._tokens.labels(kind).inc(tokens)
