"""A gateway without any part behind it, for what is decided before a part is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.documents.spool import Spool
from services.gateway.main import create_app
from services.gateway.metrics import GatewayMetrics
from services.gateway.settings import GatewaySettings
from shared.metrics import make_registry
from tests.http_server import serve_app


class _Nothing:
    """Stands for each part; it has nothing to stop when the gateway does."""

    def stop_following(self) -> None:
        return

    async def shut_down(self, drain_s: float) -> None:
        return


@asynccontextmanager
async def open_bare_gateway(
    settings: GatewaySettings | None = None, *, spool: Path = Path("nowhere"), http: Any = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway on a real socket; uploads arrive in `spool` and go nowhere from there.

    Parameters:
        http: the protocol, when it is not to be the usual one.
    """
    settings = settings or GatewaySettings.model_construct()

    @asynccontextmanager
    async def open_nothing() -> AsyncIterator[GatewayDependencies]:
        part = cast("Any", _Nothing())
        names = "documents answers runs run_log document_log active_runs conversations search upload_keys"
        parts = dict.fromkeys(names.split(), part)
        uploads = Spool(spool, max_uploads=settings.max_uploads_at_once, min_free_bytes=settings.min_free_disk_bytes)
        metrics = GatewayMetrics(make_registry(), part)
        yield GatewayDependencies(settings=settings, spool=uploads, tails=[], metrics=metrics, **parts)

    app = await asyncio.to_thread(create_app, open_nothing, settings)
    async with serve_app(app, http=http) as server, httpx.AsyncClient(base_url=server.url) as client:
        yield client
