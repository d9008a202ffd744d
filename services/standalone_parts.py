"""The parts of the standalone system that take seconds to import and to load: models, index, search and ingest.

Imported by a thread of `standalone_system`, never at the start. Qdrant runs inside.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry

from services.gateway.ports import PassageSearch
from services.ingest.adapters.ocr_engine import OcrNotUsableError
from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.metrics import CountedIngest
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.worker import IngestWorker, build_parser, build_sharing, build_upkeep
from services.retrieval.main import build_reranker, load_former_embedder, make_search_identity
from services.retrieval.measured_search import MeasuredSearch
from services.retrieval.use_cases.check_readiness import check_readiness
from services.retrieval.use_cases.former_model import prepare_former_model
from services.retrieval.use_cases.search_passages import SearchDependencies
from services.retrieval.use_cases.search_permits import SearchPermits
from services.standalone_settings import StandaloneSettings
from services.standalone_system import PartNotUsableError
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.contracts.search import SearchRequest, SearchResponse
from shared.embedding.dense import DenseEmbedder, ModelNotUsableError
from shared.embedding.sparse import Bm25Encoder
from shared.errors import IndexRejected
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.vector_index.edge_parts import open_edge_parts


class LocalSearch:
    """The gateway's PassageSearch by a function call, where the compose system has an HTTP one."""

    def __init__(self, search: MeasuredSearch) -> None:
        self._search = search
        self._dependencies = search.dependencies

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Return the best passages of the tenant's documents."""
        return await self._search.search(request)

    async def read_fingerprint(self) -> str | None:
        """Return the fingerprint of the searches of now."""
        return self._dependencies.make_fingerprint(self._dependencies.reranker.state)

    async def check_ready(self) -> dict[str, str]:
        """Return the state per part of the retrieval."""
        return await check_readiness(self._dependencies)

    async def close(self) -> None:
        """Close nothing: it has nothing of its own."""


@dataclass(frozen=True)
class StandaloneParts:
    """The loaded embedding model, what reads PDFs, and what the rest is built from."""

    settings: StandaloneSettings
    embedder: DenseEmbedder
    parser: ProcessPdfParser
    former: DenseEmbedder | None = None

    @classmethod
    def load(cls, settings: StandaloneSettings) -> Self:
        """Load the embedding model, and look for text recognition. Takes seconds; raises PartNotUsableError."""
        ingest = settings.ingest
        try:
            parser = build_parser(ingest)  # before what takes long
            embedder = DenseEmbedder(
                ingest.embedding_model,
                threads=ingest.embedding_threads,
                precision=ingest.embedding_precision,
                engine=ingest.embedding_engine,
            )
            former = load_former_embedder(settings.retrieval)
        except (ModelNotUsableError, OcrNotUsableError) as error:
            raise PartNotUsableError(str(error)) from error
        embedder.warm_up()
        return cls(settings, embedder, parser, former)

    def close(self) -> None:
        """Wait for what is being computed."""
        self.embedder.close()
        if self.former is not None:
            self.former.close()

    @asynccontextmanager
    async def open(
        self, metrics: CollectorRegistry
    ) -> AsyncIterator[tuple[PassageSearch, Callable[[], Awaitable[None]]]]:
        """Open index, search and ingest in the order in which they need each other; close in reverse order."""
        ingest = self.settings.ingest
        async with AsyncExitStack() as stack:
            redis = connect_redis(ingest.redis_url, timeout_s=ingest.redis_timeout_s)
            stack.push_async_callback(redis.aclose)
            queue = ArqJobQueue(ingest.redis_url, timeout_s=ingest.redis_timeout_s)
            stack.push_async_callback(queue.close)
            folder, dimension = ingest.data_dir / "index", self.embedder.dimension
            try:
                index = await asyncio.to_thread(
                    open_edge_parts, folder, dimension, min_free_bytes=ingest.min_free_disk_bytes
                )
                stack.push_async_callback(index.close)
                await index.prepare()
            except IndexRejected as error:  # it is damaged
                raise PartNotUsableError(error.message) from error
            registry, bm25 = RedisDocumentRegistry(redis, deadline_s=ingest.redis_timeout_s), Bm25Encoder()
            stack.push_async_callback(registry.close)
            # Redis is ours alone, so whatever it says is being worked on was worked on by a process that is gone.
            await registry.drop_all_leases()
            await queue.end_all_in_progress()
            sharing = build_sharing(ingest, redis)
            stack.push_async_callback(sharing.ranges.close)
            dependencies = IngestDependencies(
                registry=registry,
                blobs=await asyncio.to_thread(ObstoreBlobStore, ingest.resolve_blob_url()),
                parser=self.parser,
                embedder=self.embedder,
                bm25=bm25,
                index=index,
                max_chunks=ingest.max_chunks,
                sharing=sharing,
                metrics=CountedIngest(metrics),
            )
            options = await asyncio.to_thread(self.settings.retrieval.make_search_options)
            reranker = build_reranker(self.settings.retrieval, bm25)
            stack.push_async_callback(asyncio.to_thread, reranker.close)
            search = SearchDependencies(
                embedder=self.embedder,
                bm25=bm25,
                index=index,
                registry=registry,
                reranker=reranker,
                options=options,
                identity=await asyncio.to_thread(make_search_identity, ingest.embedding_model),
                model_id=self.embedder.model_id,
                permits=SearchPermits(self.settings.retrieval.max_searches_at_once),
                former=await prepare_former_model(self.former, self.embedder),
            )
            yield (
                LocalSearch(MeasuredSearch(search, metrics)),
                IngestWorker(ingest, dependencies, queue, build_upkeep(ingest, redis, dependencies)).run,
            )
