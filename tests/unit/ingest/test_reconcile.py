"""The reconciler puts back what the queue lost, and nothing else. No server is needed."""

import pytest

from services.ingest.use_cases.reconcile import PURGE_MS, reconcile
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable
from shared.identifiers import make_document_id
from shared.queue.port import INGEST, PURGE
from shared.registry.port import Lease, NewDocument
from tests.batches import collect
from tests.fakes.memory_queue import MemoryJobQueue
from tests.fakes.memory_registry import MemoryRegistry

LEASE_MS = 30_000
DAY_MS = 24 * 3_600_000


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def queue() -> MemoryJobQueue:
    return MemoryJobQueue()


async def record(registry: MemoryRegistry, *, deleted: bool = False) -> DocumentJob:
    """A document that nobody has queued."""
    new = NewDocument("t", make_document_id(), "a.pdf", make_document_id(), 1)
    await registry.create(new)
    if deleted:
        await registry.delete("t", new.document_id)
    return DocumentJob(tenant="t", document_id=new.document_id)


async def test_what_the_queue_lost_is_queued_again(registry: MemoryRegistry, queue: MemoryJobQueue) -> None:
    """An unfinished document without a job gets one, a deleted one its purge; what is queued stays as it is."""
    unfinished, deleted = await record(registry), await record(registry, deleted=True)

    assert await reconcile(registry, queue, LEASE_MS) == 2
    assert queue.list_jobs() == [(INGEST, unfinished), (PURGE, deleted)]
    assert await reconcile(registry, queue, LEASE_MS) == 0
    await queue.lose(INGEST, unfinished)
    assert await reconcile(registry, queue, LEASE_MS) == 1
    assert sorted(function for function, _ in queue.list_jobs()) == [INGEST, PURGE]


async def test_a_document_that_a_worker_has_is_left_to_it(registry: MemoryRegistry, queue: MemoryJobQueue) -> None:
    """Queued again, it would only be found to be held; once the lease is over it is nobody's."""
    job = await record(registry)
    await queue.enqueue(INGEST, job)
    await queue.start(INGEST, job, DAY_MS)
    assert isinstance(await registry.claim(job, "w", LEASE_MS), Lease)

    assert await reconcile(registry, queue, LEASE_MS) == 0
    assert await queue.get_time_left_ms(INGEST, job) > LEASE_MS

    await registry.expire_lease(job)
    assert await reconcile(registry, queue, LEASE_MS) == 0
    assert 0 < await queue.get_time_left_ms(INGEST, job) <= LEASE_MS


async def test_a_purge_whose_worker_died_is_not_left_for_a_day(registry: MemoryRegistry, queue: MemoryJobQueue) -> None:
    """The queue believes for its whole timeout that the purge runs; it may believe that for a minute."""
    job = await record(registry, deleted=True)
    await queue.enqueue(PURGE, job)
    await queue.start(PURGE, job, DAY_MS)

    assert await reconcile(registry, queue, LEASE_MS) == 0

    assert 0 < await queue.get_time_left_ms(PURGE, job) <= PURGE_MS


async def test_a_queue_that_is_away_is_told(registry: MemoryRegistry) -> None:
    """The worker looks again later; nothing is forgotten."""

    class Away(MemoryJobQueue):
        async def enqueue(
            self, function: str, job: DocumentJob, size_bytes: int = 0, *, background: bool = False
        ) -> bool:
            raise DependencyUnavailable("The queue does not answer now.")

    job = await record(registry)
    with pytest.raises(DependencyUnavailable):
        await reconcile(registry, Away(), LEASE_MS)
    assert await collect(registry.find_unleased()) == [job]
