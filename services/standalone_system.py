"""What the standalone system is made of: gateway, retrieval and an ingest worker that share an event loop.

Qdrant runs inside. Only PDFs are parsed elsewhere, each in a child of its own. Everything that lasts is in the data
folder. Importing this module imports the model libraries, which takes seconds.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import open_gateway
from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.ingest_document import IngestDependencies
from services.ingest.worker import IngestWorker
from services.retrieval.main import build_reranker
from services.retrieval.use_cases.check_readiness import check_readiness
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from services.standalone_settings import StandaloneSettings
from shared.blobs import BlobStore
from shared.contracts.search import SearchRequest, SearchResponse
from shared.embedding.dense import DenseEmbedder, ModelNotUsableError
from shared.embedding.sparse import Bm25Encoder
from shared.private_redis import PrivateRedis
from shared.queue import connect_queue, drop_all_marks
from shared.redis_client import connect_redis
from shared.registry.registry import DocumentRegistry
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex

log = structlog.get_logger(__name__)


class LocalSearch:
    """The gateway's PassageSearch by a function call, where the compose system has an HTTP one."""

    def __init__(self, dependencies: SearchDependencies) -> None:
        self._dependencies = dependencies

    async def search(self, request: SearchRequest) -> SearchResponse:
        """The best passages of the tenant's documents."""
        return await search_passages(request, self._dependencies)

    async def check_ready(self) -> dict[str, str]:
        """State per part of the retrieval."""
        return await check_readiness(self._dependencies)

    async def close(self) -> None:
        """Nothing of its own to close."""


Stop = Callable[[], None]


def stop_process() -> None:
    """What SIGTERM from outside does."""
    os.kill(os.getpid(), signal.SIGTERM)


def load_embedder(settings: IngestSettings) -> DenseEmbedder:
    """The embedding model; ends the process with one clear line when it cannot be used. Takes seconds."""
    try:
        return DenseEmbedder(settings.embedding_model, threads=settings.embedding_threads)
    except ModelNotUsableError as error:
        sys.exit(f"pagewire: {error}")


@asynccontextmanager
async def open_standalone(
    settings: StandaloneSettings,
    embedder: DenseEmbedder,
    redis_server: PrivateRedis | None = None,
    *,
    stop: Stop = stop_process,
) -> AsyncIterator[GatewayDependencies]:
    """Starts everything in the order in which the parts need each other; stops in reverse order.

    Parameters:
        embedder: closed in the end.
        redis_server: our own one, which is watched; a test may bring another.
        stop: called when a part broke without which the system would take uploads and questions in vain.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, embedder.close)
        if redis_server is not None:
            await stack.enter_async_context(_run_or_stop(redis_server.wait_until_dead(), "redis_broke", stop))
        redis = connect_redis(settings.ingest.redis_url, timeout_s=settings.ingest.redis_timeout_s)
        stack.push_async_callback(redis.aclose)
        queue = connect_queue(settings.ingest.redis_url, timeout_s=settings.ingest.redis_timeout_s)
        stack.push_async_callback(queue.aclose)
        index = EdgeIndex(
            settings.ingest.data_dir / "index",
            embedder.dimension,
            min_free_bytes=settings.ingest.min_free_disk_bytes,
        )
        stack.push_async_callback(index.close)
        await index.prepare()
        registry, bm25 = DocumentRegistry(redis), Bm25Encoder()
        # Redis is ours alone, so whatever it says is being worked on was worked on by a process that is gone.
        await registry.drop_all_leases()
        await drop_all_marks(queue)
        ingest = IngestDependencies(
            registry=registry,
            blobs=await asyncio.to_thread(BlobStore, settings.ingest.resolve_blob_url()),
            parser=ProcessPdfParser(settings.ingest.make_parse_limits()),
            embedder=embedder,
            bm25=bm25,
            index=index,
            max_chunks=settings.ingest.max_chunks,
        )
        reranker = build_reranker(settings.retrieval)
        stack.push_async_callback(asyncio.to_thread, reranker.close)
        search = SearchDependencies(
            embedder=embedder,
            bm25=bm25,
            index=index,
            registry=registry,
            reranker=reranker,
            options=settings.retrieval.make_search_options(),
        )
        # The data folder is ours alone: whatever lies in the spool was received by a process that is gone.
        opened = open_gateway(settings.gateway, LocalSearch(search), abandoned_s=0)
        gateway = await stack.enter_async_context(opened)
        worker = IngestWorker(settings.ingest, ingest, queue)
        await stack.enter_async_context(_run_or_stop(worker.run(), "worker_broke", stop))
        yield gateway


@asynccontextmanager
async def _run_or_stop(work: Coroutine[Any, Any, None], event: str, stop: Stop) -> AsyncIterator[None]:
    """Runs a part until the block ends; should it end by itself, however that is, the whole system stops."""

    def stop_if_ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.critical(event, exc_info=task.exception())
            stop()

    task = asyncio.create_task(work, name=event)
    task.add_done_callback(stop_if_ended)
    try:
        yield
    finally:
        await end_tasks(task)
