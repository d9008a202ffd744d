"""Composition root of the retrieval service: `python -m services.retrieval.main`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from services.retrieval.adapters.cross_encoder import CrossEncoderOrElse, CrossEncoderReranker, NoReranker
from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.api.routes import router
from services.retrieval.ports import Reranker, TermReader
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.search_passages import SearchDependencies
from services.retrieval.use_cases.search_permits import SearchPermits
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.error_handlers import ERROR_RESPONSES, install_error_handlers
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.request_id import RequestIdMiddleware
from shared.settings import load_settings
from shared.source_hash import hash_sources
from shared.telemetry import configure_logging
from shared.version import read_version

log = structlog.get_logger(__name__)


def build_reranker(settings: RetrievalSettings, reader: TermReader) -> Reranker:
    """What the settings choose; returns at once, the weights of a cross-encoder load in the background."""
    kind = settings.reranker
    offline = TermProximityReranker(reader, fused_by_ranks=settings.fusion == "ranks")
    if kind == "auto" and settings.reranker_model in ("", "off"):
        kind = "offline"
    match kind:
        case "off":
            return NoReranker()
        case "offline":
            return offline
        case "cross-encoder":
            return CrossEncoderReranker(settings.reranker_model)
        case "auto":
            return CrossEncoderOrElse(CrossEncoderReranker(settings.reranker_model), offline)


def make_search_identity(embedding_model: str) -> str:
    """Return the name of what finds passages, its settings aside: code and embedding model. Reads files."""
    here = Path(__file__).parent
    return f"{hash_sources(here, here.parents[1] / 'shared')} {embedding_model}"


@asynccontextmanager
async def open_dependencies(settings: RetrievalSettings) -> AsyncIterator[SearchDependencies]:
    """Everything a search needs on a Qdrant server; closed in reverse order."""
    # Imported here: it takes 2 s, and standalone, which takes the reranker from this module, needs no Qdrant client.
    from shared.vector_index.server_parts import connect_server_parts

    bm25 = Bm25Encoder()
    options = await asyncio.to_thread(settings.make_search_options)
    reranker = build_reranker(settings, bm25)
    embedder = await asyncio.to_thread(
        DenseEmbedder,
        settings.embedding_model,
        kinds=["query"],
        threads=settings.embedding_threads,
        engine=settings.embedding_engine,
    )
    await asyncio.to_thread(embedder.warm_up)
    index = await connect_server_parts(settings, embedder.dimension)
    redis = connect_redis(settings.redis_url, timeout_s=settings.redis_timeout_s)
    registry = RedisDocumentRegistry(redis, deadline_s=settings.redis_timeout_s)
    try:
        yield SearchDependencies(
            embedder=embedder,
            bm25=bm25,
            index=index,
            registry=registry,
            reranker=reranker,
            options=options,
            identity=await asyncio.to_thread(make_search_identity, settings.embedding_model),
            model_id=embedder.model_id,
            permits=SearchPermits(settings.max_searches_at_once),
        )
    finally:
        await index.close()
        await registry.close()
        await redis.aclose()
        await asyncio.to_thread(embedder.close)
        await asyncio.to_thread(reranker.close)


def create_app(settings: RetrievalSettings, dependencies: SearchDependencies | None = None) -> FastAPI:
    """The service; tests hand over dependencies of their own, which they then close themselves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if dependencies is not None:
            app.state.dependencies = dependencies
            yield
            return
        async with open_dependencies(settings) as opened:
            app.state.dependencies = opened
            log.info("retrieval_started", embedding_model=settings.embedding_model)
            yield

    app = FastAPI(
        title="Pagewire retrieval",
        version=read_version(),
        lifespan=lifespan,
        responses=ERROR_RESPONSES,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    app.include_router(router)
    return app


def main() -> None:
    """Entry point."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = load_settings(RetrievalSettings)
    configure_logging("retrieval", settings.log_level, settings.log_format)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
