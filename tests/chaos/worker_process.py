"""A worker as a process of its own, so that a test can kill it.

`python -m tests.chaos.worker_process NAME REDIS FOLDER`.
Its model gives every text the same vector, and asks the test before each batch: it pushes to `asks:NAME` and waits for
`go:NAME`. Its index is its own folder, as Qdrant Edge has one process at a time; what all have written counts together.
"""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from services.ingest.adapters.pdf_process import ProcessPdfParser
from services.ingest.settings import IngestSettings
from services.ingest.use_cases.dependencies import IngestDependencies, Sharing
from services.ingest.worker import IngestWorker
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.embedding.sparse import Bm25Encoder
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_ranges import RedisDocumentRanges
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.vector_index.edge import EdgeIndex
from tests.patience import PATIENT_S

DIMENSION = 4
LEASE_S = 4.0
"""Long enough for a machine that stands still now and then: who loses a lease for that is not killed, and works on."""
ROOT = Path(__file__).parents[2]


class AskingEmbedder:
    """A model that embeds when the test says so."""

    max_tokens, model_id = 256, "none"

    def __init__(self, name: str, redis: Any) -> None:
        self._name, self._redis = name, redis

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count words."""
        return [len(text.split()) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Wait for the test, then give each text the same vector."""
        await self._redis.rpush(f"asks:{self._name}", len(texts))
        await self._redis.blpop([f"go:{self._name}"])
        return np.full((len(texts), DIMENSION), 0.5, dtype=np.float32)


def start_worker(name: str, redis_url: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a worker whose index is `folder/NAME` and whose blobs are in `folder/blobs`."""
    command = [sys.executable, "-m", "tests.chaos.worker_process", name, redis_url, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def run(name: str, redis_url: str, folder: Path) -> None:
    """Work until killed."""
    settings = IngestSettings(redis_url=redis_url, data_dir=folder, lease_s=LEASE_S, reconcile_interval_s=0.2)
    redis, asking = connect_redis(redis_url, timeout_s=PATIENT_S), Redis.from_url(redis_url)
    index = EdgeIndex(folder / name, DIMENSION)
    await index.prepare()
    dependencies = IngestDependencies(
        registry=RedisDocumentRegistry(redis, deadline_s=PATIENT_S),
        blobs=ObstoreBlobStore((folder / "blobs").as_uri()),
        parser=ProcessPdfParser(settings.make_parse_limits()),
        embedder=AskingEmbedder(name, asking),
        bm25=Bm25Encoder(),
        index=index,
        sharing=Sharing(
            RedisDocumentRanges(redis, deadline_s=PATIENT_S), int(2 * LEASE_S * 1000), from_chunks=4, range_chunks=2
        ),
    )
    await IngestWorker(settings, dependencies, ArqJobQueue(redis_url, timeout_s=PATIENT_S)).run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
