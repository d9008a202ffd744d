"""Ingest workers as processes, on one Redis, one Qdrant server and one folder, and a checker of what came of it."""

import asyncio
import hashlib
import importlib
import multiprocessing
import os
import random
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from services.gateway.documents.accept_document import DocumentDependencies, accept_document
from services.gateway.documents.received_file import ReceivedFile
from services.ingest.use_cases.find_orphans import Orphan, UpkeepDependencies, find_orphans
from services.ingest.use_cases.repair_orphans import repair_orphan
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_point_id
from shared.private_redis import find_redis_server
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.vector_index.server import ServerIndex
from tests.gateway_process import find_free_port
from tests.patience import PATIENT_S
from tests.standalone_process import ROOT, make_environment

TENANT = "default"
LOOK_S = 0.1
"""Between two looks at what other processes do: a process tells nobody when it has come so far."""


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["services.ingest.worker", "shared.vector_index.server"])
"""Each worker is a fork of one process that has imported torch, which takes longer than most of what is tested."""


def run_service(module: str, environment: Mapping[str, str], log: Path) -> None:
    """Run in a process of its own what `python -m` runs of a module; what it prints goes behind what is in the log."""
    service = importlib.import_module(module)

    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    service.main()


class RedisProcess:
    """A redis-server on a port that stays the same, and that can be killed and started anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = find_free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and return when it has read its data back."""
        await asyncio.to_thread(self._start)
        client = connect_redis(self.url, timeout_s=PATIENT_S)
        try:
            await wait_until(lambda: _answers(client))
        finally:
            await client.aclose()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lose_data(self) -> None:
        """Remove what a killed one has written."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def _start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "")
        durable = ("--appendonly", "yes", "--appendfsync", "always", "--logfile", str(self.folder.parent / "redis.log"))
        self._process = subprocess.Popen([find_redis_server(), *options, *durable])


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except Exception:  # noqa: BLE001 - whatever it says while it starts
        return False


@dataclass
class Fleet:
    """Workers, what a gateway does with uploads, and a checker of what came of it all."""

    folder: Path
    redis_url: str
    qdrant_url: str
    collection: str
    settings: Mapping[str, str]
    registry: RedisDocumentRegistry
    deps: DocumentDependencies
    workers: list[ForkServerProcess] = field(default_factory=list)
    accepted: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name and sha-256 of each upload that got its 202, by its id."""

    def start_worker(self) -> ForkServerProcess:
        """Start one more worker; it takes jobs when it has loaded its model."""
        ours = {
            "PAGEWIRE_REDIS_URL": self.redis_url,
            "PAGEWIRE_QDRANT_URL": self.qdrant_url,
            "PAGEWIRE_COLLECTION": self.collection,
            "PAGEWIRE_EMBEDDING_THREADS": "1",
            "PAGEWIRE_LOG_FORMAT": "json",
        }
        environment = make_environment(self.folder, ours | dict(self.settings))
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        worker = PROCESSES.Process(target=run_service, args=("services.ingest.worker", environment, log))
        worker.start()
        self.workers.append(worker)
        return worker

    async def wait_until_last_runs(self) -> None:
        """Return when the worker that was started last takes jobs."""
        log = self.folder / f"worker-{len(self.workers)}.log"

        async def is_up() -> bool:
            return "worker_started" in (await asyncio.to_thread(log.read_text) if log.exists() else "")

        await wait_until(is_up)

    async def upload(self, name: str, content: bytes) -> str:
        """What the gateway does until its 202; returns the id."""
        received = await self.receive(name, content)
        record, _ = await accept_document(TENANT, received, self.deps)
        self.accepted[record.document_id] = (name, received.sha256)
        return record.document_id

    async def receive(self, name: str, content: bytes) -> ReceivedFile:
        """Return an upload as it arrives on the gateway's disk."""
        path = self.folder / f"upload-{uuid.uuid4().hex}"
        await asyncio.to_thread(path.write_bytes, content)
        return ReceivedFile(path, name, hashlib.sha256(content).hexdigest(), len(content), content[:1024])

    async def kill_one(self, chance: random.Random) -> None:
        """SIGKILL one of the workers that run."""
        worker = chance.choice([worker for worker in self.workers if worker.is_alive()])
        worker.kill()
        await asyncio.to_thread(worker.join)

    async def get(self, document_id: str) -> DocumentRecord:
        """The record of a document."""
        return await self.registry.get(TENANT, document_id)

    async def wait_until_final(self, document_ids: Sequence[str]) -> list[DocumentRecord]:
        """Return the records when all of them are ready or failed; pytest's timeout is the limit."""
        waiting = set(document_ids)

        async def all_final() -> bool:
            for document_id in list(waiting):
                if (await self.get(document_id)).status.final:
                    waiting.discard(document_id)
            return not waiting

        await wait_until(all_final)
        return [await self.get(document_id) for document_id in document_ids]

    async def check(self) -> None:
        """Hold the history against what there is: every 202, every point, and nothing else."""
        expected = {}
        for document_id in self.accepted:
            record = await self.get(document_id)
            assert record.status.final, (document_id, record.status)
            assert (record.status is DocumentStatus.FAILED) == (record.failure is not None)
            if record.status is DocumentStatus.READY:
                assert record.chunks_done == record.chunks_total > 0
                expected[document_id] = record
        versions = await self.registry.get_active_versions(TENANT, list(expected))
        assert versions.keys() == expected.keys()
        wanted = {
            make_point_id(TENANT, document_id, versions[document_id], number)
            for document_id, record in expected.items()
            for number in range(record.chunks_total)
        }
        points = await self.list_points()
        assert len(points) == len(set(points)), "a point twice"
        assert set(points) == wanted, (len(set(points) - wanted), len(wanted - set(points)))
        await self._check_texts(versions)
        await self._check_orphans()

    async def _check_orphans(self) -> None:
        """Nothing is left over. A worker removes what is no longer needed just after it has published or failed."""
        for _ in range(round(PATIENT_S / LOOK_S)):
            if not (orphans := [orphan async for orphan in self._find_orphans()]):
                return
            await asyncio.sleep(LOOK_S)
        raise AssertionError(orphans)

    async def repair(self) -> int:
        """What `python -m services.ingest.repair` does; returns how many orphans are left after it."""
        left = 0
        async with self._open_upkeep() as deps:
            async for orphan in find_orphans(deps):
                left += not await repair_orphan(orphan, deps)
        return left

    async def _check_texts(self, versions: Mapping[str, str]) -> None:
        """The same bytes have the same passages, whoever was killed meanwhile."""
        passages: dict[str, set[tuple[Any, ...]]] = {}
        for payload in (await self.list_points()).values():
            row = (payload["chunk_id"], payload["page"], payload["start"], payload["end"], payload["text"])
            passages.setdefault(payload["document_id"], set()).add(row)
        by_content: dict[str, set[tuple[Any, ...]]] = {}
        for document_id in versions:
            content = self.accepted[document_id][1]
            assert by_content.setdefault(content, passages[document_id]) == passages[document_id]

    async def _find_orphans(self) -> AsyncIterator[Orphan]:
        async with self._open_upkeep() as deps:
            async for orphan in find_orphans(deps):
                yield orphan

    @asynccontextmanager
    async def _open_upkeep(self) -> AsyncIterator[UpkeepDependencies]:
        client = connect_redis(self.redis_url, timeout_s=PATIENT_S)
        upkeep = RedisRegistryUpkeep(client, deadline_s=PATIENT_S)
        index = await asyncio.to_thread(
            ServerIndex, self.qdrant_url, self.collection, 0, api_key=None, timeout_s=PATIENT_S
        )
        try:
            yield UpkeepDependencies(upkeep, self.deps.blobs, index, self.folder / "spool", grace_s=0)
        finally:
            await index.close()
            await upkeep.close()
            await client.aclose()

    async def list_points(self) -> dict[str, dict[str, Any]]:
        """Payload of every point of the collection, by its id, as Qdrant's own API tells it."""
        found: dict[str, dict[str, Any]] = {}
        offset = None
        async with httpx.AsyncClient(base_url=self.qdrant_url, timeout=PATIENT_S, trust_env=False) as client:
            while True:
                body = {"limit": 1000, "offset": offset, "with_payload": True}
                answer = await client.post(f"/collections/{self.collection}/points/scroll", json=body)
                result = answer.raise_for_status().json()["result"]
                assert not found.keys() & {point["id"] for point in result["points"]}
                found |= {point["id"]: point["payload"] for point in result["points"]}
                if (offset := result["next_page_offset"]) is None:
                    return found

    def kill_all(self) -> None:
        """End every worker that still runs, also one that is stopped."""
        for worker in self.workers:
            worker.kill()
            worker.join()


@asynccontextmanager
async def run_fleet(
    folder: Path, redis_url: str, qdrant_url: str, *, workers: int, **settings: object
) -> AsyncIterator[Fleet]:
    """Workers with a collection of their own; ended afterwards. Settings are those of the worker, in small letters."""
    collection = f"chaos-{uuid.uuid4().hex}"
    client = connect_redis(redis_url, timeout_s=PATIENT_S)
    registry = RedisDocumentRegistry(client, deadline_s=PATIENT_S)
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    blobs = await asyncio.to_thread(ObstoreBlobStore, (folder / "blobs").as_uri())
    environment = {f"PAGEWIRE_{name.upper()}": str(value) for name, value in settings.items()}
    deps = DocumentDependencies(registry, blobs, queue)
    fleet = Fleet(folder, redis_url, qdrant_url, collection, environment, registry, deps)
    try:
        for _ in range(workers):
            fleet.start_worker()
        yield fleet
    finally:
        await asyncio.to_thread(fleet.kill_all)
        async with httpx.AsyncClient(base_url=qdrant_url, timeout=PATIENT_S, trust_env=False) as http:
            await http.delete(f"/collections/{collection}")
        await queue.close()
        await registry.close()
        await client.aclose()


async def wait_until(reached: Callable[[], Any]) -> None:
    """Return when something is so in other processes; pytest's timeout is the limit."""
    while not await reached():
        await asyncio.sleep(LOOK_S)


def job_of(document_id: str) -> DocumentJob:
    """The job of a document."""
    return DocumentJob(tenant=TENANT, document_id=document_id)


def send_signal(worker: ForkServerProcess, number: signal.Signals) -> None:
    """Send a signal to a worker that runs."""
    assert worker.pid is not None
    os.kill(worker.pid, number)
