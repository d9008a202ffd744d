"""The whole system in the test's own event loop, with a model that was loaded before: one is enough for all tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import create_app
from services.standalone_parts import StandaloneParts
from services.standalone_settings import StandaloneSettings
from services.standalone_system import open_standalone
from shared.embedding.dense import DenseEmbedder
from tests.http_server import serve_app


class LoadedParts(StandaloneParts):
    """Parts whose model outlives them."""

    def close(self) -> None:
        """Leave the model to the next test."""


@asynccontextmanager
async def run_loaded_system(settings: StandaloneSettings, embedder: DenseEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a system that is ready for questions."""
    loaded = asyncio.Event()

    def open_system() -> AbstractAsyncContextManager[GatewayDependencies]:
        return open_standalone(settings, load=lambda given: LoadedParts(given, embedder), on_loaded=loaded.set)

    app = await asyncio.to_thread(create_app, open_system)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        await loaded.wait()
        yield client
