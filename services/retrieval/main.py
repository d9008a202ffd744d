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
from services.retrieval.measured_search import MeasuredSearch
from services.retrieval.ports import Reranker, TermReader
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.former_model import prepare_former_model
from services.retrieval.use_cases.search_passages import SearchDependencies
from services.retrieval.use_cases.search_permits import SearchPermits
from shared.embedding.dense import DenseEmbedder
from shared.embedding.port import Kind
from shared.embedding.sparse import Bm25Encoder
from shared.error_handlers import ERROR_RESPONSES, install_error_handlers
from shared.metrics import make_registry
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


RERANKER_S = 10.0
"""How long a start waits for the weights of a cross-encoder: without them a service answers in another order than those
beside it. From the disk they are there in seconds; a hub that does not answer would hold the start up for minutes."""


def _load_embedders(settings: RetrievalSettings) -> tuple[DenseEmbedder, DenseEmbedder | None]:
    """The embedding model and, during a change of it, the one of before. Takes seconds."""
    before = settings.embedding_model_before
    # To compare both some passages are embedded.
    kinds: list[Kind] = ["query"] if before is None else ["query", "document"]
    embedder = DenseEmbedder(
        settings.embedding_model, kinds=kinds, threads=settings.embedding_threads, engine=settings.embedding_engine
    )
    embedder.warm_up()
    return embedder, load_former_embedder(settings)


def load_former_embedder(settings: RetrievalSettings) -> DenseEmbedder | None:
    """Return the embedding model of before, where the settings name one. Takes seconds; raises ModelNotUsableError."""
    if settings.embedding_model_before is None:
        return None
    former = DenseEmbedder(
        settings.embedding_model_before, threads=settings.embedding_threads, engine=settings.embedding_engine
    )
    former.warm_up()
    return former


@asynccontextmanager
async def open_dependencies(settings: RetrievalSettings) -> AsyncIterator[SearchDependencies]:
    """Everything a search needs on a Qdrant server; closed in reverse order."""
    # Imported here: it takes 2 s, and standalone, which takes the reranker from this module, needs no Qdrant client.
    from shared.vector_index.server_parts import connect_server_parts

    bm25 = Bm25Encoder()
    options = await asyncio.to_thread(settings.make_search_options)
    reranker = build_reranker(settings, bm25)
    embedder, former = await asyncio.to_thread(_load_embedders, settings)
    await asyncio.to_thread(reranker.wait_for_weights, RERANKER_S)
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
            former=await prepare_former_model(former, embedder),
        )
    finally:
        await index.close()
        await registry.close()
        await redis.aclose()
        for model in (embedder, former):
            if model is not None:
                await asyncio.to_thread(model.close)
        await asyncio.to_thread(reranker.close)


def create_app(settings: RetrievalSettings, dependencies: SearchDependencies | None = None) -> FastAPI:
    """The service; tests hand over dependencies of their own, which they then close themselves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if dependencies is not None:
            app.state.search = MeasuredSearch(dependencies, make_registry())
            yield
            return
        async with open_dependencies(settings) as opened:
            app.state.search = MeasuredSearch(opened, make_registry())
            before = settings.embedding_model_before
            log.info("retrieval_started", embedding_model=settings.embedding_model, embedding_model_before=before)
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
