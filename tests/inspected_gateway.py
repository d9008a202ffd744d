"""A gateway as `tests.patient_gateway` makes it, and one route more that tells what it holds at the moment:
`python -m tests.inspected_gateway`.
"""

import asyncio
import gc
import re
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from fastapi import FastAPI

from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.api.event_stream import LogResponse
from services.gateway.http_protocol import HttpProtocol
from services.gateway.listen import bind_socket
from services.gateway.main import create_app, open_gateway, serve
from services.gateway.retrieval_client import RetrievalClient
from services.gateway.runs.supervisor import Run
from services.gateway.settings import GatewaySettings
from shared.event_log.live_stream import LiveStream
from shared.settings import load_settings
from shared.telemetry import configure_logging
from tests.patience import be_patient

KEPT = (HttpProtocol, LogResponse, Run, LiveStream)
"""What lives as long as a connection, a response, a run and its events; its number is that of the objects in memory."""


def add_inspection(app: FastAPI) -> None:
    """Add the route."""

    @app.get("/inspect")
    async def inspect() -> dict[str, int]:
        """Tell how many there are of each, with this request's own connection and task."""
        gc.collect()
        found: Counter[type] = Counter()
        full = held = 0
        for item in gc.get_objects():
            if type(item) in KEPT:
                found[type(item)] += 1
                full += type(item) is HttpProtocol and item.flow.write_paused
                held += type(item) is LiveStream and item._waiting_writer is not None
        status = await asyncio.to_thread(Path("/proc/self/status").read_text)
        memory = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert memory is not None
        return {
            **{kind.__name__: found[kind] for kind in KEPT},
            "tasks": len(asyncio.all_tasks()),
            "runs": app.state.gateway.runs.count,
            "full_connections": full,
            "held_writers": held,
            "files": len(await asyncio.to_thread(lambda: list(Path("/proc/self/fd").iterdir()))),
            "memory_kb": int(memory[1]),
        }


def main() -> None:
    """Entry point."""
    be_patient(pytest.MonkeyPatch())
    settings = load_settings(GatewaySettings)
    configure_logging("gateway", settings.log_level, settings.log_format)

    def open_dependencies() -> AbstractAsyncContextManager[GatewayDependencies]:
        return open_gateway(settings, RetrievalClient(settings.retrieval_url, timeout_s=settings.retrieval_timeout_s))

    app = create_app(open_dependencies, settings)
    add_inspection(app)
    with bind_socket(settings.host, settings.port, unsent_timeout_s=settings.send_timeout_s) as listener:
        serve(app, settings, listener)


if __name__ == "__main__":
    main()
