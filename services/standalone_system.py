"""What the standalone system is made of: gateway, retrieval and an ingest worker that share an event loop.

Qdrant runs inside. Only PDFs are parsed elsewhere, each in a child of its own. Everything that lasts is in the data
folder. Importing this module imports the model libraries, which takes seconds.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import open_gateway
from services.gateway.settings import GatewaySettings
from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.ingest_document import IngestDependencies
from services.ingest.worker import IngestWorker
from services.retrieval.main import build_reranker
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.check_readiness import check_readiness
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.blobs import BlobStore
from shared.contracts.search import SearchRequest, SearchResponse
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.queue import connect_queue, drop_all_marks
from shared.redis_client import connect_redis
from shared.registry.registry import DocumentRegistry
from shared.settings import load_settings
from shared.tasks import end_tasks
from shared.vector_index.edge import EdgeIndex

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StandaloneSettings:
    """The settings of all services, read from the same environment."""

    gateway: GatewaySettings
    retrieval: RetrievalSettings
    ingest: IngestSettings


def read_settings(redis_url: str) -> StandaloneSettings:
    """Settings that point every service at the private Redis."""
    private = {"redis_url": redis_url}
    return StandaloneSettings(
        gateway=load_settings(GatewaySettings).model_copy(update=private),
        retrieval=load_settings(RetrievalSettings).model_copy(update=private),
        ingest=load_settings(IngestSettings).model_copy(update=private),
    )


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


@asynccontextmanager
async def open_standalone(settings: StandaloneSettings) -> AsyncIterator[GatewayDependencies]:
    """Starts everything in the order in which the parts need each other; stops in reverse order."""
    async with AsyncExitStack() as stack:
        embedder = await asyncio.to_thread(
            DenseEmbedder, settings.ingest.embedding_model, threads=settings.ingest.embedding_threads
        )
        stack.push_async_callback(asyncio.to_thread, embedder.close)
        redis = connect_redis(settings.ingest.redis_url, timeout_s=settings.ingest.redis_timeout_s)
        stack.push_async_callback(redis.aclose)
        queue = connect_queue(settings.ingest.redis_url, timeout_s=settings.ingest.redis_timeout_s)
        stack.push_async_callback(queue.aclose)
        index = EdgeIndex(settings.ingest.data_dir / "index", embedder.dimension)
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
        gateway = await stack.enter_async_context(open_gateway(settings.gateway, LocalSearch(search)))
        await stack.enter_async_context(_run_in_background(IngestWorker(settings.ingest, ingest, queue)))
        yield gateway


@asynccontextmanager
async def _run_in_background(worker: IngestWorker) -> AsyncIterator[None]:
    """A worker that runs until the block ends; if it breaks, the process stops and does not take uploads in vain."""

    def stop_if_broken(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("worker_broke", exc_info=task.exception())
            os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.create_task(worker.run(), name="ingest-worker")
    task.add_done_callback(stop_if_broken)
    try:
        yield
    finally:
        await end_tasks(task)
