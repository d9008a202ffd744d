"""What a deleted document has left on Redis's disk goes when Redis writes its file anew."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.contracts.jobs import DocumentJob
from shared.folder_lock import lock_folder
from shared.private_redis import start_private_redis
from shared.redis_client import connect_redis
from shared.registry.port import NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from tests.patience import PATIENT_S


@pytest.fixture
def private_url(tmp_path: Path) -> Iterator[str]:
    with lock_folder(tmp_path) as lock, start_private_redis(tmp_path / "redis", lock) as server:
        yield server.url


@pytest.fixture
async def stores(private_url: str) -> AsyncIterator[tuple[RedisDocumentRegistry, RedisRegistryUpkeep]]:
    redis = connect_redis(private_url, timeout_s=PATIENT_S)
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    upkeep = RedisRegistryUpkeep(redis, deadline_s=PATIENT_S)
    yield registry, upkeep
    await registry.close()
    await upkeep.close()
    await redis.aclose()


async def test_the_name_of_a_purged_document_is_gone_from_the_disk(
    stores: tuple[RedisDocumentRegistry, RedisRegistryUpkeep], tmp_path: Path
) -> None:
    """Once, and only when a document was purged; what is kept stays."""
    registry, upkeep = stores
    gone, kept = (DocumentJob(tenant="t", document_id=f"doc_{uuid.uuid4().hex}") for _ in range(2))
    for job, filename in ((gone, "quixotic.pdf"), (kept, "harmless.pdf")):
        await registry.create(NewDocument("t", job.document_id, filename, filename[0] * 64, 10))
    await registry.delete("t", gone.document_id)
    assert not await upkeep.compact()
    await registry.forget(gone)

    def find(word: bytes) -> list[str]:
        return [str(path) for path in (tmp_path / "redis").rglob("*") if path.is_file() and word in path.read_bytes()]

    assert await asyncio.to_thread(find, b"quixotic")
    assert await upkeep.compact()
    assert await asyncio.to_thread(find, b"quixotic") == []
    assert await asyncio.to_thread(find, b"harmless")
    assert not await upkeep.compact()
