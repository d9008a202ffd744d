"""Retrieval services as processes, on one Redis and one Qdrant server, and what a gateway asks of each."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from tests.gateway_process import find_free_port
from tests.patience import PATIENT_S
from tests.standalone_process import make_environment
from tests.worker_fleet import PROCESSES, TENANT, Fleet, run_service, wait_until


@dataclass(frozen=True)
class Answer:
    """What a service answered: its status, its passages as they came over the wire, and their document ids in order."""

    status: int
    passages: str
    documents: Sequence[str]
    texts: Sequence[str]
    scores: Sequence[float]


@dataclass
class Replica:
    """A retrieval service that has the same port when it is started again."""

    environment: Mapping[str, str]
    folder: Path
    port: int = field(default_factory=find_free_port)
    process: ForkServerProcess | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"retrieval-{self.port}.log"

    async def start(self) -> None:
        """Start it, and return when it is ready."""
        chosen = make_environment(self.folder, {**self.environment, "PAGEWIRE_PORT": str(self.port)})
        self.process = PROCESSES.Process(target=run_service, args=("services.retrieval.main", chosen, self.log))
        self.process.start()
        await wait_until(self._is_ready)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.join()

    async def stop(self) -> int | None:
        """SIGTERM, as a deployment sends it; return the exit status."""
        assert self.process is not None
        self.process.terminate()
        await asyncio.to_thread(self.process.join)
        return self.process.exitcode

    async def search(self, client: httpx.AsyncClient, query: str, **body: Any) -> Answer:
        """Ask it as a gateway does."""
        asked = {"tenant": TENANT, "query": query, "top_k": 10, **body}
        answer = await client.post(f"{self.url}/search", json=asked)
        if answer.status_code != 200:
            return Answer(answer.status_code, answer.text, (), (), ())
        passages = answer.json()["passages"]
        return Answer(
            answer.status_code,
            json.dumps(passages),
            [passage["document_id"] for passage in passages],
            [passage["text"] for passage in passages],
            [passage["score"] for passage in passages],
        )

    async def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.is_alive(), self.log.read_text()[-2000:]
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{self.url}/health/ready", timeout=PATIENT_S)).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def run_replicas(fleet: Fleet, *settings: Mapping[str, str]) -> AsyncIterator[list[Replica]]:
    """Services on the stores of a fleet of workers, ready, one for each of `settings`; ended afterwards."""
    ours = {
        "PAGEWIRE_REDIS_URL": fleet.redis_url,
        "PAGEWIRE_QDRANT_URL": fleet.qdrant_url,
        "PAGEWIRE_COLLECTION": fleet.collection,
        "PAGEWIRE_EMBEDDING_THREADS": "1",
        "PAGEWIRE_RERANKER": "offline",
        "PAGEWIRE_LOG_FORMAT": "json",
    }
    replicas = [Replica(ours | dict(own), fleet.folder) for own in settings]
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas
    finally:
        for replica in replicas:
            await asyncio.to_thread(replica.kill)
