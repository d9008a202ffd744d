"""Starts gateways as processes of their own, in front of a search that always finds the same passages."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fastapi import FastAPI

from shared.contracts.search import Passage, RerankerState, SearchResponse, SearchTimings, StageScores
from tests.http_server import serve_app
from tests.standalone_process import ROOT, make_environment

START_TIMEOUT_S = 120.0
GATEWAY = "services.gateway.main"
PATIENT = "tests.patient_gateway"
"""The same, with the patience of tests."""
INSPECTED = "tests.inspected_gateway"
"""The same again, and it tells what it holds."""


@dataclass(frozen=True)
class GatewayProcess:
    """A running gateway."""

    url: str
    process: asyncio.subprocess.Process
    log: Path

    def kill(self) -> None:
        """SIGKILL: it can tidy nothing up."""
        self.process.kill()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """SIGTERM, as a deployment sends it, unless told; return the exit status once it has ended."""
        self.process.send_signal(number)
        return await self.process.wait()


@asynccontextmanager
async def run_gateway_process(
    environment: Mapping[str, str], folder: Path, port: int | None = None, *, module: str = PATIENT
) -> AsyncIterator[GatewayProcess]:
    """A gateway, on a free port if none is given; leaving stops it, unless it is gone."""
    port = port or find_free_port()
    chosen = make_environment(folder, {**environment, "PAGEWIRE_PORT": str(port)})
    log = folder / f"gateway-{port}.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, cwd=ROOT, env=chosen, stderr=output
        )
    gateway = GatewayProcess(f"http://127.0.0.1:{port}", process, log)
    try:
        await asyncio.wait_for(_wait_for_answer(gateway), START_TIMEOUT_S)
        yield gateway
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def find_free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _wait_for_answer(gateway: GatewayProcess) -> None:
    async with httpx.AsyncClient() as client:
        while gateway.process.returncode is None:
            try:
                await client.get(f"{gateway.url}/health")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError("the gateway ended while it was starting")


@asynccontextmanager
async def run_canned_search(document_id: str, count: int = 3) -> AsyncIterator[str]:
    """A retrieval service that finds these passages of a document, whatever it is asked; yields its URL."""
    scores = StageScores(dense=0.9, bm25=3.0, fused=0.03)
    passages = [
        Passage(
            document_id=document_id,
            chunk_id=n,
            title="Filing",
            page=n + 1,
            start=0,
            end=10,
            text=f"Net sales of unit {n} were 383.3 billion euro.",
            score=0.03,
            scores=scores,
        )
        for n in range(count)
    ]
    app = FastAPI()

    @app.post("/search")
    async def search() -> SearchResponse:
        return SearchResponse(
            passages=passages,
            timings_ms=SearchTimings(embed=1, search=1, rerank=None, total=2),
            reranker=RerankerState(status="off", reason="disabled"),
        )

    async with serve_app(app) as server:
        yield server.url
