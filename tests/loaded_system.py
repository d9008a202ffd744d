"""The whole system in the test's own event loop, with a model that was loaded before: one is enough for all tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
from fastapi import FastAPI

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.main import create_app, open_gateway
from services.ingest.worker import build_parser
from services.standalone_parts import StandaloneParts
from services.standalone_settings import StandaloneSettings
from services.standalone_system import open_standalone
from shared.embedding.dense import DenseEmbedder
from tests.http_server import serve_app
from tests.patience import PATIENT_S


class LoadedParts(StandaloneParts):
    """Parts whose model outlives them."""

    def close(self) -> None:
        """Leave the model to the next test."""


@asynccontextmanager
async def run_loaded_system(settings: StandaloneSettings, embedder: DenseEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a system that is ready for questions."""
    async with _serve_system(settings, embedder) as (_, client):
        yield client


@asynccontextmanager
async def run_loaded_replicas(
    settings: StandaloneSettings, embedder: DenseEmbedder
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Clients of a system that is ready for questions, and of a second gateway on its Redis and its search."""
    async with _serve_system(settings, embedder) as (app, first):
        search = app.state.gateway.search
        replica = await asyncio.to_thread(create_app, lambda: open_gateway(settings.gateway, search))
        async with serve_app(replica) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as second:
            yield first, second


@asynccontextmanager
async def _serve_system(
    settings: StandaloneSettings, embedder: DenseEmbedder
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    loaded = asyncio.Event()

    def open_system() -> AbstractAsyncContextManager[GatewayDependencies]:
        def load(given: StandaloneSettings) -> LoadedParts:
            return LoadedParts(given, embedder, build_parser(given.ingest))

        return open_standalone(settings, load=load, on_loaded=loaded.set)

    app = await asyncio.to_thread(create_app, open_system)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        await loaded.wait()
        yield app, client
