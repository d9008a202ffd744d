"""One suite on every job queue: a job is queued once, and one whose worker died is not believed to run for long."""

from collections.abc import AsyncIterator

import pytest

from shared.contracts.jobs import DocumentJob
from shared.queue.arq_queue import QUEUE_NAME, ArqJobQueue, make_job_id
from shared.queue.port import INGEST, PURGE
from tests.fakes.memory_queue import MemoryJobQueue

JOB = DocumentJob(tenant="t", document_id="doc_1")
OTHER = DocumentJob(tenant="u", document_id="doc_1")
DAY_MS = 24 * 3_600_000


class WatchedArqQueue(ArqJobQueue):
    """The real queue; a test can be the worker that takes a job, and Redis that loses one."""

    async def start(self, function: str, job: DocumentJob, for_ms: int) -> None:
        """Be a worker that takes a job, and then neither ends it nor is heard of."""
        await self.arq.psetex(f"arq:in-progress:{make_job_id(function, job)}", for_ms, b"1")

    async def get_time_left_ms(self, function: str, job: DocumentJob) -> int:
        """Return how long a job is still in progress."""
        return int(await self.arq.pttl(f"arq:in-progress:{make_job_id(function, job)}"))

    async def lose(self, function: str, job: DocumentJob) -> None:
        """Forget a job."""
        job_id = make_job_id(function, job)
        await self.arq.zrem(QUEUE_NAME, job_id)
        await self.arq.delete(f"arq:job:{job_id}", f"arq:in-progress:{job_id}")


AnyQueue = WatchedArqQueue | MemoryJobQueue


@pytest.fixture
async def arq_queue(redis_url: str) -> AsyncIterator[WatchedArqQueue]:
    queue = WatchedArqQueue(redis_url, timeout_s=5)
    yield queue
    await queue.close()


@pytest.fixture(params=["memory", "arq"])
def queue(request: pytest.FixtureRequest) -> AnyQueue:
    """An empty one of each kind."""
    if request.param == "memory":
        return MemoryJobQueue()
    found: WatchedArqQueue = request.getfixturevalue("arq_queue")
    return found


async def test_a_job_is_queued_once(queue: AnyQueue) -> None:
    """Not a second time while it waits or is in progress; another function's or tenant's is another job."""
    assert await queue.enqueue(INGEST, JOB) is True
    assert await queue.enqueue(INGEST, JOB) is False
    assert await queue.enqueue(PURGE, JOB) is True
    assert await queue.enqueue(INGEST, OTHER) is True
    await queue.start(INGEST, JOB, DAY_MS)
    assert await queue.enqueue(INGEST, JOB) is False


async def test_the_queue_says_which_jobs_it_has(queue: AnyQueue) -> None:
    """In the order in which they are asked after: queued or not, in progress or not."""
    assert await queue.find_queued(INGEST, []) == ([], [])
    await queue.enqueue(INGEST, JOB)
    await queue.enqueue(PURGE, OTHER)

    assert await queue.find_queued(INGEST, [OTHER, JOB]) == ([False, True], [False, False])
    await queue.start(INGEST, JOB, DAY_MS)
    assert await queue.find_queued(INGEST, [OTHER, JOB]) == ([False, True], [False, True])
    assert await queue.find_queued(PURGE, [OTHER, JOB]) == ([True, False], [False, False])


async def test_a_job_that_was_lost_can_be_queued_again(queue: AnyQueue) -> None:
    """The queue has no memory of it."""
    await queue.enqueue(INGEST, JOB)
    await queue.lose(INGEST, JOB)

    assert await queue.find_queued(INGEST, [JOB]) == ([False], [False])
    assert await queue.enqueue(INGEST, JOB) is True


async def test_an_orphan_is_in_progress_for_a_lease_at_most(queue: AnyQueue) -> None:
    """One that ends sooner is not prolonged, and one that nobody has is not touched."""
    await queue.enqueue(INGEST, JOB)
    await queue.shorten_orphan(INGEST, JOB, 60_000)
    assert await queue.find_queued(INGEST, [JOB]) == ([True], [False])

    await queue.start(INGEST, JOB, DAY_MS)
    await queue.shorten_orphan(INGEST, JOB, 60_000)
    assert 0 < await queue.get_time_left_ms(INGEST, JOB) <= 60_000
    await queue.shorten_orphan(INGEST, JOB, DAY_MS)
    assert 0 < await queue.get_time_left_ms(INGEST, JOB) <= 60_000
