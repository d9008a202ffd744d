"""Composition root of the gateway: `python -m services.gateway.main`."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from services.gateway.active_runs import RedisActiveRuns
from services.gateway.answer_cache import RedisAnswerCache
from services.gateway.answers.answer_question import AnswerDependencies
from services.gateway.answers.kept_answers import AnswerKeeping
from services.gateway.answers.prices import PriceList
from services.gateway.api import (
    chat_completions,
    conversations,
    documents,
    files,
    health,
    models,
    page,
    questions,
    responses,
    runs,
    ui_messages,
)
from services.gateway.api.body_limit import BodyLimitMiddleware
from services.gateway.api.body_timeout import BodyTimeoutMiddleware
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.api.head_requests import HeadRequestMiddleware
from services.gateway.api.mcp_endpoint import McpEndpoint
from services.gateway.api.openai_errors import OPENAI_PREFIX, shape_openai_error
from services.gateway.api.origin_check import OriginCheckMiddleware
from services.gateway.api.security_headers import SecurityHeadersMiddleware
from services.gateway.api.shutdown import ShutdownMiddleware
from services.gateway.connection_gate import fit_connections
from services.gateway.documents.accept_document import DocumentDependencies
from services.gateway.documents.spool import Spool
from services.gateway.http_protocol import make_http_protocol
from services.gateway.listen import CannotListenError, bind_socket
from services.gateway.metrics import GatewayMetrics
from services.gateway.pauses import shorten_pauses
from services.gateway.ports import PassageSearch
from services.gateway.providers.language_models import build_chain, build_language_models, choose_default_provider
from services.gateway.redis_conversations import RedisConversations
from services.gateway.runs.supervisor import RunSupervisor, make_lost_failure
from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from services.gateway.stop_requests import RedisStopRequests
from services.gateway.upload_keys import RedisUploadKeys
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.error_handlers import ERROR_RESPONSES, install_error_handlers
from shared.event_log.codecs import DOCUMENT_EVENTS, RUN_EVENTS
from shared.event_log.memory_log import MemoryEventLog
from shared.event_log.redis_events import open_events, open_run_log
from shared.event_log.redis_log import KEPT_MS
from shared.event_log.redis_reader import RedisEventReader
from shared.metrics import make_registry
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.request_id import RequestIdMiddleware
from shared.settings import MEGABYTE, load_settings
from shared.source_hash import hash_sources
from shared.spool_folder import prepare_folder
from shared.telemetry import configure_logging
from shared.version import read_version

log = structlog.get_logger(__name__)

LAST_EVENTS_S = 3
"""Part of the grace period that is left for streams to send their last events; they need milliseconds."""
BEGUN_SPARE_S = 60
"""For which a conversation without a turn is known longer than its first answer may take."""

OpenGateway = Callable[[], AbstractAsyncContextManager[GatewayDependencies]]


def identify_answers(settings: GatewaySettings) -> str:
    """Return the name of all that makes answers what they are but the question and its passages. Reads files."""
    here = Path(__file__).parent
    return f"{hash_sources(here, here.parents[1] / 'shared')} {settings.describe_answering()}"


@asynccontextmanager
async def open_gateway(settings: GatewaySettings, search: PassageSearch) -> AsyncIterator[GatewayDependencies]:
    """All parts of the gateway; closed in reverse order."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(search.close)
        redis = connect_redis(settings.redis_url, timeout_s=settings.redis_timeout_s)
        stack.push_async_callback(redis.aclose)
        queue = ArqJobQueue(settings.redis_url, timeout_s=settings.redis_timeout_s)
        stack.push_async_callback(queue.close)
        metrics = GatewayMetrics(make_registry(), queue.count_jobs)
        # In a thread: it imports the SDKs that are needed.
        models = await asyncio.to_thread(build_language_models, settings.make_language_model_config())
        for model in models.values():
            stack.push_async_callback(model.close)
        registry = RedisDocumentRegistry(redis, deadline_s=settings.redis_timeout_s)
        stack.push_async_callback(registry.close)
        # A client of its own: those who follow streams take no connection from the registry.
        url, timeout_s = settings.redis_url, settings.redis_timeout_s
        events = await stack.enter_async_context(open_events(url, timeout_s=timeout_s))
        run_log, run_tails = await stack.enter_async_context(
            open_run_log(url, events, RUN_EVENTS, timeout_s=timeout_s, lost=make_lost_failure())
        )
        active_runs = RedisActiveRuns(events.redis, kept_s=settings.run_deadline_s + KEPT_MS / 1000)
        stack.push_async_callback(active_runs.close)
        stop_requests = RedisStopRequests(events.redis)
        stack.push_async_callback(stop_requests.close)
        conversation_store = RedisConversations(
            redis,
            settings.make_conversation_limits(),
            begun_s=settings.run_deadline_s + BEGUN_SPARE_S,
            deadline_s=settings.redis_timeout_s,
        )
        stack.push_async_callback(conversation_store.close)
        upload_keys = RedisUploadKeys(redis, deadline_s=settings.redis_timeout_s)
        stack.push_async_callback(upload_keys.close)
        supervisor = RunSupervisor(
            MemoryEventLog(),
            run_log,
            deadline_s=settings.run_deadline_s,
            max_characters=settings.max_answer_characters,
            max_lasting=settings.max_continued_runs,
            stop_requests=stop_requests,
            on_end=metrics.count_run,
        )
        stack.push_async_callback(supervisor.shut_down)
        stop_requests.start()
        blobs = await asyncio.to_thread(ObstoreBlobStore, settings.resolve_blob_url())
        chain = build_chain(
            models, settings.chain_providers, wait_s=settings.llm_chain_wait_s, hedge_ms=settings.llm_hedge_ms
        )
        provider = chain.provider if chain else choose_default_provider(models, settings.llm_provider)
        keeping: AnswerKeeping | None = None
        if settings.answer_cache == "on":
            cache = RedisAnswerCache(
                events.redis,
                kept_s=settings.answer_cache_ttl_s,
                max_entries=settings.answer_cache_entries,
                max_bytes=settings.answer_cache_mb * MEGABYTE,
            )
            stack.push_async_callback(cache.close)
            keeping = AnswerKeeping(cache, search, await asyncio.to_thread(identify_answers, settings))
        log.info("gateway_started", provider=provider, model=models[provider].model, chain=settings.chain_providers)
        yield GatewayDependencies(
            settings=settings,
            spool=Spool(
                await asyncio.to_thread(prepare_folder, settings.spool_folder),
                max_uploads=settings.max_uploads_at_once,
                min_free_bytes=settings.min_free_disk_bytes,
            ),
            documents=DocumentDependencies(registry=registry, blobs=blobs, queue=queue),
            answers=AnswerDependencies(
                registry=registry,
                search=search,
                models=models,
                default_provider=provider,
                chain=chain,
                remove_unsupported=settings.unsupported_citations == "remove",
                prices=PriceList(settings.prices, {name: model.model for name, model in models.items()}),
                keeping=keeping,
                rewrite_timeout_s=settings.rewrite_timeout_s,
                max_prompt_tokens=settings.prompt_tokens,
            ),
            describe_chain=chain.describe_members if chain else dict,
            runs=supervisor,
            run_log=run_log,
            document_log=RedisEventReader(events.redis, DOCUMENT_EVENTS, events.tail, events.reads),
            tails=[events.tail, *run_tails],
            active_runs=active_runs,
            conversations=conversation_store,
            search=search,
            upload_keys=upload_keys,
            metrics=metrics,
        )


def create_app(open_dependencies: OpenGateway, settings: GatewaySettings | None = None) -> FastAPI:
    """The gateway; what it works with is opened when it starts and closed when it stops.

    Parameters:
        settings: who may call, and how slowly; without them the defaults, whatever the environment says.
    """
    settings = settings or GatewaySettings.model_construct()
    drain_s = max(0, settings.shutdown_grace_s - LAST_EVENTS_S)
    unanswered: set[asyncio.Task[object]] = set()
    mcp = McpEndpoint()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_dependencies() as gateway:

            async def stop_requests(drains: bool) -> None:
                """End those who follow others' streams, then runs, then requests that are still unanswered."""
                seconds = drain_s if drains else 0
                deadline = asyncio.get_running_loop().time() + seconds
                for tail in gateway.tails:
                    tail.stop_following()
                await gateway.runs.shut_down(seconds)
                await asyncio.sleep(deadline - asyncio.get_running_loop().time())
                for task in unanswered:
                    task.cancel()

            app.state.gateway, app.state.stop_requests = gateway, stop_requests
            mcp.start(gateway, app.version)
            try:
                yield
            finally:
                await mcp.close()

    app = FastAPI(
        title="Pagewire",
        version=read_version(),
        description="Answers questions about your PDFs, streamed token by token, with page-exact sources.",
        lifespan=lifespan,
        responses=ERROR_RESPONSES,
        docs_url=None,  # FastAPI's pages load scripts from a CDN, which could then do here what they like
        redoc_url=None,
        redirect_slashes=False,  # the redirect would lead to whatever host the caller has named
    )
    app.add_middleware(HeadRequestMiddleware)
    app.add_middleware(BodyTimeoutMiddleware, idle_timeout_s=settings.body_idle_timeout_s)
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(ShutdownMiddleware, unanswered=unanswered)
    app.add_middleware(OriginCheckMiddleware, hosts=settings.known_hosts, origins=settings.known_origins)
    if settings.known_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(settings.known_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],  # clients add many of their own, and whoever may read answers may send any
            expose_headers=["X-Request-ID", "X-Run-Id", "Retry-After"],
        )
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app, {OPENAI_PREFIX: shape_openai_error})
    for module in (
        documents,
        files,
        questions,
        conversations,
        runs,
        chat_completions,
        responses,
        models,
        ui_messages,
        health,
        page,
    ):
        app.include_router(module.router)
    app.router.routes.append(mcp.make_route())
    app.mount("/static", page.make_static_files())
    # Around FastAPI's own outermost ones too, which answer some requests themselves.
    embeddable = bool(settings.known_origins)
    app.middleware_stack = SecurityHeadersMiddleware(app.build_middleware_stack(), embeddable=embeddable)
    return app


def serve(
    app: FastAPI,
    settings: GatewaySettings,
    listener: socket.socket,
    *,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; `on_listening` gets the URL once requests are answered."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{listener.getsockname()[1]}"

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=make_http_protocol(fit_connections()),
        ws="none",
        loop="auto",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )

    def tell_started() -> None:
        shorten_pauses()
        if on_listening is not None:
            on_listening(url)

    server = GatewayServer(
        config,
        on_started=tell_started,
        on_stopping=lambda drains: app.state.stop_requests(drains),
    )

    # Before uvicorn takes the signals over none must be lost. When it is done it raises the one that stopped it once
    # more; taken as it comes, that would kill us before the callers' own clean-up has run.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # the terminal was closed, and nohup does not hold us
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    server.run(sockets=[listener])


def main() -> None:
    """Entry point."""
    # Imported here: standalone, which needs no HTTP client, need not wait for one.
    from services.gateway.retrieval_client import RetrievalClient

    settings = load_settings(GatewaySettings)
    configure_logging("gateway", settings.log_level, settings.log_format)

    def open_dependencies() -> AbstractAsyncContextManager[GatewayDependencies]:
        search = RetrievalClient(settings.retrieval_url, timeout_s=settings.retrieval_timeout_s)
        return open_gateway(settings, search)

    try:
        listener = bind_socket(settings.host, settings.port, unsent_timeout_s=settings.send_timeout_s)
    except CannotListenError as error:
        sys.exit(f"pagewire: {error}")
    with listener:
        serve(create_app(open_dependencies, settings), settings, listener)


if __name__ == "__main__":
    main()
