"""What the standalone system is made of: a gateway that answers at once, and behind it the parts that take seconds.

Everything shares one process and one event loop; only PDFs are parsed elsewhere, each in a child of its own. The heavy
parts (`standalone_parts`: models, index, ingest) are imported and loaded by a thread while the gateway already takes
uploads, which queue, and questions, which wait. Importing this module imports none of their libraries.
"""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import open_gateway
from services.gateway.ports import PassageSearch
from services.standalone_settings import StandaloneSettings
from shared.contracts.health import LOADING
from shared.contracts.search import SearchRequest, SearchResponse
from shared.errors import DependencyUnavailable
from shared.private_redis import PrivateRedis
from shared.tasks import end_tasks, run_to_end

log = structlog.get_logger(__name__)

LOADER = "load-parts"
"""Name of the thread that loads."""
RETRY_AFTER_S = 5

Result = TypeVar("Result")


class PartNotUsableError(Exception):
    """A part without which nothing works cannot be loaded; the message says which and what to do."""


class LoadedParts(Protocol):
    """What takes seconds to load, ready to be opened."""

    def open(
        self, metrics: CollectorRegistry
    ) -> AbstractAsyncContextManager[tuple[PassageSearch, Callable[[], Awaitable[None]]]]:
        """Open the search, and the ingest as a call that runs until it is cancelled; both are told in `metrics`."""
        ...

    def close(self) -> None:
        """Wait for what is being computed, and end the threads."""
        ...


Stop = Callable[[BaseException | None], None]


def stop_process(_error: BaseException | None) -> None:
    """Do what SIGTERM from outside does."""
    os.kill(os.getpid(), signal.SIGTERM)


def load_parts(settings: StandaloneSettings) -> LoadedParts:
    """Import and load the models. Takes seconds; raises PartNotUsableError.

    Without the garbage collector: what is imported stays, and looking through it again and again costs a seventh of
    the time. Freezing it spares later collections the same.
    """
    gc.disable()
    try:
        from services.standalone_parts import StandaloneParts

        return StandaloneParts.load(settings)
    finally:
        gc.freeze()
        gc.enable()


class PendingSearch:
    """The gateway's PassageSearch from the first moment on: until the real one is there, searches wait for it."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loaded: asyncio.Future[PassageSearch] = asyncio.get_running_loop().create_future()

    def hand_over(self, search: PassageSearch) -> None:
        """Let waiting and coming searches through."""
        self._loaded.set_result(search)

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Return the best passages. Raise DependencyUnavailable when the models are not loaded within the timeout."""
        done, _ = await asyncio.wait([self._loaded], timeout=self._timeout_s)
        if not done:
            raise DependencyUnavailable(
                "The models are still loading; ask again.", code="models_loading", retry_after=RETRY_AFTER_S
            )
        return await self._loaded.result().search(request)

    async def read_fingerprint(self) -> str | None:
        """Return the fingerprint of the searches of now; None as long as there are none."""
        return await self._loaded.result().read_fingerprint() if self._loaded.done() else None

    async def check_ready(self) -> dict[str, str]:
        """Return the state per part of the retrieval."""
        if not self._loaded.done():
            return {"embedder": LOADING, "index": LOADING, "reranker": LOADING}
        return await self._loaded.result().check_ready()

    async def close(self) -> None:
        """Close nothing: what it waits for is closed by whoever opened it."""


@asynccontextmanager
async def open_standalone(
    settings: StandaloneSettings,
    redis_server: PrivateRedis | None = None,
    *,
    load: Callable[[StandaloneSettings], LoadedParts] = load_parts,
    stop: Stop = stop_process,
    on_loaded: Callable[[], None] = lambda: None,
) -> AsyncIterator[GatewayDependencies]:
    """Open the gateway at once and load the rest behind it; stop in reverse order.

    Parameters:
        redis_server: our own one, which is watched; a test may bring another.
        load: runs in a thread.
        stop: called with the error when a part broke without which the system would take uploads and questions in vain.
        on_loaded: called when questions can be answered.
    """
    async with AsyncExitStack() as stack:
        if redis_server is not None:
            await stack.enter_async_context(_run_or_stop(redis_server.wait_until_dead(), "redis_broke", stop))
        search = PendingSearch(settings.gateway.retrieval_timeout_s)
        gateway = await stack.enter_async_context(open_gateway(settings.gateway, search))
        metrics = gateway.metrics.registry

        async def load_and_work() -> None:
            parts = await run_in_daemon_thread(lambda: load(settings), LOADER)
            try:
                async with parts.open(metrics) as (loaded, ingest):
                    search.hand_over(loaded)
                    on_loaded()
                    await ingest()
            finally:
                await run_to_end(asyncio.to_thread(parts.close))

        await stack.enter_async_context(_run_or_stop(load_and_work(), "worker_broke", stop))
        # First of all: runs that go on without a client hold up no request, and may still have to search.
        stack.push_async_callback(gateway.runs.shut_down)
        yield gateway


async def run_in_daemon_thread(function: Callable[[], Result], name: str) -> Result:
    """Return the result of a call that must not keep the process from ending, as `asyncio.to_thread` would."""
    outcome: Future[Result] = Future()

    def work() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            outcome.set_exception(error)

    outcome.set_running_or_notify_cancel()
    threading.Thread(target=work, name=name, daemon=True).start()
    return await asyncio.wrap_future(outcome)


@asynccontextmanager
async def _run_or_stop(work: Coroutine[Any, Any, None], event: str, stop: Stop) -> AsyncIterator[None]:
    """Run a part until the block ends; should it end by itself, however that is, the whole system stops."""

    def stop_if_ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception()
            if not isinstance(error, PartNotUsableError):  # its message says it all
                log.critical(event, exc_info=error)
            stop(error)

    task = asyncio.create_task(work, name=event)
    task.add_done_callback(stop_if_ended)
    try:
        yield
    finally:
        await end_tasks(task)
