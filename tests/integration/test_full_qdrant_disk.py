"""A Qdrant server whose own disk is full: a real one, with its storage on a tmpfs of a container."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from services.ingest.use_cases.dependencies import EMBED_CHUNKS
from services.ingest.use_cases.run_job import Outcome
from shared.contracts.documents import DocumentStatus
from shared.settings import IndexSettings
from shared.vector_index.server import connect_server_index
from tests.conftest import require_docker, run_qdrant
from tests.full_disk_ingest import DIMENSION, make_system
from tests.patience import PATIENT_S

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

STORAGE = "/qdrant/storage"
SIZE = "size=300m"
"""An empty collection takes some 70 MB of it."""


@pytest.fixture
def qdrant() -> Iterator["DockerContainer"]:
    """A server of the test's own, as no other is to find its disk full."""
    require_docker("no Docker: a Qdrant server gets a small disk by it")
    with run_qdrant().with_tmpfs_mount(STORAGE, SIZE) as container:
        yield container


@pytest.mark.docker
async def test_an_ingest_waits_for_space_on_the_disk_of_the_qdrant_server(
    qdrant: "DockerContainer", redis: Redis, tmp_path: Path
) -> None:
    """The document waits and loses no attempt, nothing of it is seen, what is there is found, and what is deleted is
    not; with space again it becomes whole, and what was written of it is not embedded once more."""
    url = f"http://127.0.0.1:{qdrant.get_exposed_port(6333)}"
    index = await connect_server_index(IndexSettings(qdrant_url=url, qdrant_timeout_s=PATIENT_S), DIMENSION)
    system = await make_system(tmp_path, redis, blobs=tmp_path / "blobs", index=index)
    other, deleted, job = [await system.accept(name) for name in ("other", "deleted", "report")]
    assert [await system.run(one) for one in (other, deleted)] == [Outcome.DONE, Outcome.DONE]
    full_at = system.embedder.calls + 2

    async def fill(call: int) -> None:
        if call == full_at:
            # What `dd` ends with is that no space is left.
            await asyncio.to_thread(qdrant.exec, ["dd", "if=/dev/zero", f"of={STORAGE}/ballast", "bs=4k"])

    system.embedder.embedded.clear()
    system.embedder.before = fill
    await system.check_waits(job)
    record = await system.registry.get("t", job.document_id)
    assert (record.status, 0 < record.chunks_done < record.chunks_total) == (DocumentStatus.EMBEDDING, True)
    assert await system.registry.get_active_versions("t", [job.document_id]) == {}
    await system.registry.delete("t", deleted.document_id)
    assert await system.count_found(other)
    assert not await system.count_found(deleted)

    await asyncio.to_thread(qdrant.exec, ["rm", f"{STORAGE}/ballast"])
    assert await system.run(job) is Outcome.DONE
    await system.check_whole(job)
    await system.check_whole(other)
    assert not await system.count_found(deleted)
    assert len(system.embedder.embedded) <= record.chunks_total + EMBED_CHUNKS
    await index.close()
