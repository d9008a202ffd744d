"""Composition root of the ingest worker: `python -m services.ingest.worker`."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from arq import Retry, func
from arq.worker import Worker
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError

from services.ingest.adapters.ocr_engine import OcrNotUsableError, find_engine
from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.domain.pipeline import name_pipeline
from services.ingest.health import NOTE_INTERVAL_S, make_health_key
from services.ingest.lane import Lane
from services.ingest.metrics import CountedIngest, MetricsPortError, serve_metrics
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.compact import compact_stores
from services.ingest.use_cases.dependencies import IngestDependencies, Sharing
from services.ingest.use_cases.find_orphans import UpkeepDependencies
from services.ingest.use_cases.help_document import CannotHelpError, help_others
from services.ingest.use_cases.reconcile import reconcile
from services.ingest.use_cases.repair_orphans import collect_blobs
from services.ingest.use_cases.run_job import Outcome, release_rest, run_ingest_job, run_purge_job
from services.ingest.use_cases.tidy_document import tidy_rest
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder, ModelNotUsableError
from shared.embedding.sparse import Bm25Encoder
from shared.errors import IndexRejected, ServiceError
from shared.metrics import make_registry
from shared.queue.arq_queue import (
    EXPIRES_EXTRA_MS,
    ArqJobQueue,
    deserialize_job,
    serialize_job,
)
from shared.queue.port import INGEST, LONGEST_PAUSE_S, PURGE
from shared.redis_client import connect_redis
from shared.registry.redis_ranges import RedisDocumentRanges
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.settings import load_settings
from shared.tasks import end_tasks, run_to_end
from shared.telemetry import configure_logging

log = structlog.get_logger(__name__)

JOB_TIMEOUT_S = 24 * 3600
"""arq's own limit per job. Ours are on the parse and on each call; a long document may take its time."""
HELD_S = 5.0
"""Pause before a job is tried again because another worker has the document."""
FAULT_PAUSE = EqualJitterBackoff(base=5, cap=LONGEST_PAUSE_S)
"""Pauses in seconds after faults of what we depend on: 5, 10, 20 … up to 300, of each a random half less."""
PURGE_CONCURRENCY = 8
"""A purge mostly waits for the index and the blob store."""
HAND_BACK_S = 5.0
"""How long a job may take to let go when the worker stops; then its lease has to run out."""
COLLECT_MS = 3_600_000
"""Time between looks for blobs that no record names: each lists all blobs."""
COMPACT_REST = 9
"""Pause after a compaction, as a multiple of the time that it took."""
READ_LIMIT = 1000
"""arq looks only at this many queued jobs, running ones included: it caps the running jobs of the whole fleet."""
POLL_S = 0.1
"""Between looks at a lane whose jobs may be done in a second."""
PATIENT_POLL_S = 0.5
"""Between looks at a lane whose jobs take minutes, or for which nobody waits."""
HELP_S = 1.0
"""Pause between an idle worker's looks for large documents of others; such a document takes minutes."""
HELP_FAULT_S = 10.0
"""Pause after a look that ended in an error."""
HELP_LEASES = 2
"""Lengths of a lease that a helper may take for a range: it is not renewed, and takes a few seconds."""


@dataclass(frozen=True)
class IngestWorker:
    """A worker with all its parts; without `upkeep` it leaves to others what uploads that are gone have left."""

    settings: IngestSettings
    dependencies: IngestDependencies
    queue: ArqJobQueue
    upkeep: UpkeepDependencies | None = None

    async def run(self) -> None:
        """Work on jobs until cancelled: large ingests, small ones and purges, each in a lane of their own.

        A worker without any helps others with what they have.
        """
        parts = [
            asyncio.create_task(part)
            for part in (
                self._reconcile_forever(),
                self._compact_forever(),
                self._run_lane(self._make_large_lane),
                self._run_lane(self._make_small_lane),
                self._run_lane(self._make_purge_lane),
            )
        ]
        if self.dependencies.sharing is not None:
            parts.append(asyncio.create_task(self._help_forever(self.dependencies.sharing)))
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in ended:
                part.result()
        finally:
            await run_to_end(self._stop(parts))

    async def _stop(self, parts: Sequence[asyncio.Task[None]]) -> None:
        await end_tasks(*parts)
        await release_rest(self.dependencies)  # of jobs that ended while Redis could not be told

    async def _run_lane(self, make_lane: Callable[[], Worker]) -> None:
        """Run arq, and start it anew whenever Redis was away: arq itself would end (its issue 498)."""
        while True:
            worker = make_lane()
            polling = asyncio.create_task(worker.main())
            try:
                await asyncio.wait({polling})
                polling.result()
            except (RedisError, OSError) as error:
                log.warning("redis_away", error=type(error).__name__)
                await asyncio.sleep(1)
            finally:
                await run_to_end(_stop_arq(worker, polling))

    def _make_small_lane(self) -> Worker:
        concurrency = self.settings.ingest_concurrency
        return self._make_arq_worker(
            INGEST, self._run_ingest, queue_name=self.queue.lanes.small, max_jobs=concurrency, poll_delay=POLL_S
        )

    def _make_large_lane(self) -> Worker:
        return self._make_arq_worker(
            INGEST,
            self._run_ingest,
            queue_name=self.queue.lanes.large,
            max_jobs=self.settings.ingest_concurrency,
            poll_delay=PATIENT_POLL_S,
            health_check_interval=NOTE_INTERVAL_S,
            health_check_key=make_health_key(self.queue.lanes),
        )

    def _make_purge_lane(self) -> Worker:
        return self._make_arq_worker(
            PURGE,
            self._run_purge,
            queue_name=self.queue.lanes.purges,
            max_jobs=PURGE_CONCURRENCY,
            poll_delay=PATIENT_POLL_S,
        )

    def _make_arq_worker(self, name: str, run: Any, **lane: Any) -> Worker:
        return Lane(
            functions=[func(run, name=name, timeout=JOB_TIMEOUT_S, max_tries=sys.maxsize, keep_result=0)],
            redis_pool=self.queue.arq,
            handle_signals=False,
            queue_read_limit=READ_LIMIT,
            keep_result=0,
            job_serializer=serialize_job,
            job_deserializer=deserialize_job,
            expires_extra_ms=EXPIRES_EXTRA_MS,
            **lane,
        )

    async def _run_ingest(self, context: dict[Any, Any], job: dict[str, str]) -> None:
        document = DocumentJob(**job)
        lease_ms = int(self.settings.lease_s * 1000)

        async def keep_in_progress() -> None:
            with suppress(ServiceError):  # the lease's own renewal decides whether Redis is away
                await self.queue.keep_in_progress(INGEST, document, lease_ms)

        metrics, outcome = self.dependencies.metrics, Outcome.RETRY  # also where the worker is stopped
        with structlog.contextvars.bound_contextvars(job_id=context["job_id"]), metrics.track_job():
            try:
                outcome = await run_ingest_job(
                    document,
                    self.dependencies,
                    lease_s=self.settings.lease_s,
                    max_attempts=self.settings.max_attempts,
                    keep_in_progress=keep_in_progress,
                )
            finally:
                if outcome is Outcome.RETRY:
                    metrics.count_job("interrupted")
        try_again_unless_done(outcome, context["job_try"])

    async def _run_purge(self, context: dict[Any, Any], job: dict[str, str]) -> None:
        outcome = await run_purge_job(DocumentJob(**job), self.dependencies)
        try_again_unless_done(outcome, context["job_try"])

    async def _help_forever(self, sharing: Sharing) -> None:
        """Help other workers with their large documents whenever this one has nothing of its own."""
        refused = ""
        while True:
            pause_s = HELP_S
            try:
                if await help_others(self.dependencies, sharing):
                    continue
            except CannotHelpError as error:
                if str(error) != refused:  # once, not every ten seconds of the minutes that the document takes
                    log.warning("help_refused", reason=str(error))
                refused, pause_s = str(error), HELP_FAULT_S
            except (ServiceError, OSError) as error:
                log.warning("help_interrupted", error=type(error).__name__, reason=str(error))
                pause_s = HELP_FAULT_S
            except Exception as error:
                # A bug of ours: the worker that has the document meets it too, and knows what becomes of it.
                log.exception("help_bug", error=type(error).__name__)
                pause_s = HELP_FAULT_S
            await asyncio.sleep(pause_s)

    async def _reconcile_forever(self) -> None:
        """Take part in looking for what the queue lost: one of all workers does it at a time."""
        lease_ms, interval_ms = int(self.settings.lease_s * 1000), int(self.settings.reconcile_interval_s * 1000)
        registry, noted = self.dependencies.registry, False
        pipeline = name_pipeline(self.dependencies.parser.version, self.dependencies.embedder.model_id)
        while True:
            try:
                if not noted:
                    await registry.note_pipeline(pipeline)
                    noted = True
                await release_rest(self.dependencies)
                if turn := await registry.take_turn("reconcile", interval_ms):
                    await reconcile(registry, self.queue, lease_ms)
                if self.upkeep is not None and await registry.take_turn("collect", COLLECT_MS):
                    await collect_blobs(self.upkeep)
                if turn:
                    await tidy_rest(self.dependencies)
            except ServiceError as error:
                log.warning("reconcile_skipped", code=error.error_code)
            except Exception as error:
                # A bug of ours: without the reconciler lost jobs would stay lost, and nobody would know.
                log.exception("reconcile_bug", error=type(error).__name__)
            await asyncio.sleep(self.settings.reconcile_interval_s)

    async def _compact_forever(self) -> None:
        """Take part in removing deleted text from the disk: one of all workers does it at a time."""
        registry = self.dependencies.registry
        interval_s = pause_s = self.settings.compact_interval_s
        while True:
            await asyncio.sleep(pause_s)
            started = time.monotonic()
            try:
                if self.upkeep is not None and await registry.take_turn("compact", int(interval_s * 1000)):
                    await compact_stores(self.dependencies.index, self.upkeep.registry)
            except (ServiceError, TimeoutError) as error:
                log.warning("compaction_skipped", error=type(error).__name__)
            except Exception as error:
                # A bug of ours: what is deleted would stay, and nobody would know.
                log.exception("compaction_bug", error=type(error).__name__)
            # Each writes all points anew, however few were deleted: it shall not take more than a tenth of the time.
            pause_s = max(interval_s, COMPACT_REST * (time.monotonic() - started))


def try_again_unless_done(outcome: Outcome, tries: int) -> None:
    """Raise arq's Retry for a job that is not done after its n-th try, with the pause before the next one."""
    if outcome is Outcome.HELD:
        raise Retry(defer=HELD_S)
    if outcome is Outcome.RETRY:
        raise Retry(defer=FAULT_PAUSE.compute(tries - 1))


async def _stop_arq(worker: Worker, polling: asyncio.Task[None]) -> None:
    """Take no more jobs, then end the running ones: each lets its lease go and stays in the queue for the next."""
    await end_tasks(polling)
    running = list(worker.tasks.values())
    await end_tasks(*worker.job_tasks.values())
    if running:
        await asyncio.wait(running, timeout=HAND_BACK_S)
    await end_tasks(*running)


async def build_worker(settings: IngestSettings, redis: Redis, metrics: CollectorRegistry) -> IngestWorker:
    """Return a worker on a Qdrant server, told of in `metrics`; loads the model and prepares the index."""
    # Imported here: it takes 2 s, and standalone, which takes the worker from this module, needs no Qdrant client.
    from shared.vector_index.server_parts import connect_server_parts

    embedder = await asyncio.to_thread(
        DenseEmbedder,
        settings.embedding_model,
        kinds=["document"],
        threads=settings.embedding_threads,
        precision=settings.embedding_precision,
        engine=settings.embedding_engine,
    )
    index = await connect_server_parts(settings, embedder.dimension)
    dependencies = IngestDependencies(
        registry=RedisDocumentRegistry(redis, deadline_s=settings.redis_timeout_s),
        blobs=await asyncio.to_thread(ObstoreBlobStore, settings.resolve_blob_url()),
        parser=await asyncio.to_thread(build_parser, settings),
        embedder=embedder,
        bm25=Bm25Encoder(),
        index=index,
        max_chunks=settings.max_chunks,
        sharing=build_sharing(settings, redis),
        metrics=CountedIngest(metrics),
    )
    queue = ArqJobQueue(settings.redis_url, timeout_s=settings.redis_timeout_s)
    return IngestWorker(settings, dependencies, queue, build_upkeep(settings, redis, dependencies))


def build_sharing(settings: IngestSettings, redis: Redis) -> Sharing:
    """Return how this worker shares large documents with others."""
    ranges = RedisDocumentRanges(redis, deadline_s=settings.redis_timeout_s)
    return Sharing(ranges, int(HELP_LEASES * settings.lease_s * 1000))


def build_parser(settings: IngestSettings) -> ProcessPdfParser:
    """Return what reads PDFs, pictures of text included where there is an engine. Blocks; raises OcrNotUsableError."""
    engine = find_engine(settings.ocr, settings.ocr_languages)
    return ProcessPdfParser(settings.make_parse_limits(), settings.make_ocr_options(engine) if engine else None)


def build_upkeep(settings: IngestSettings, redis: Redis, dependencies: IngestDependencies) -> UpkeepDependencies:
    """Return what a worker's upkeep works with; of points it does none."""
    registry = RedisRegistryUpkeep(redis, deadline_s=settings.redis_timeout_s)
    return UpkeepDependencies(registry, dependencies.blobs, None, settings.spool_folder)


async def run_worker(settings: IngestSettings) -> None:
    """Run until SIGTERM or SIGINT; then jobs are handed back to the queue at once."""
    metrics = make_registry()
    async with serve_metrics(metrics, settings.host, settings.metrics_port):
        await _run_worker(settings, metrics)


async def _run_worker(settings: IngestSettings, metrics: CollectorRegistry) -> None:
    redis = connect_redis(settings.redis_url, timeout_s=settings.redis_timeout_s)
    worker = await build_worker(settings, redis, metrics)
    running = asyncio.create_task(worker.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    log.info("worker_started", concurrency=settings.ingest_concurrency)
    try:
        await running
    except asyncio.CancelledError:
        log.info("worker_stopped")
    finally:
        await worker.dependencies.index.close()
        await worker.queue.close()
        await worker.dependencies.registry.close()
        if worker.dependencies.sharing is not None:
            await worker.dependencies.sharing.ranges.close()
        await redis.aclose()


def main() -> None:
    """Run the worker; exit with one clear line when its model or its index cannot be used."""
    settings = load_settings(IngestSettings)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    configure_logging("ingest", settings.log_level, settings.log_format)
    try:
        asyncio.run(run_worker(settings))
    except (ModelNotUsableError, OcrNotUsableError, IndexRejected, MetricsPortError) as error:
        sys.exit(f"pagewire: {error}")


if __name__ == "__main__":
    main()
