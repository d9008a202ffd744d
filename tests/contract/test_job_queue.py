"""One suite on every job queue: a job is queued once, and one whose worker died is not believed to run for long."""

from collections.abc import AsyncIterator

import pytest

from shared.contracts.jobs import DocumentJob
from shared.queue.arq_queue import SMALL_BYTES, ArqJobQueue, LaneNames
from shared.queue.port import INGEST, PURGE
from tests.fakes.memory_queue import MemoryJobQueue
from tests.redis_cluster import RedisCluster

LANES = LaneNames()

JOB = DocumentJob(tenant="t", document_id="doc_1")
OTHER = DocumentJob(tenant="u", document_id="doc_1")
LEASE_MS = 60_000
DAY_MS = 24 * 3_600_000
LARGE = 10 * SMALL_BYTES


class WatchedArqQueue(ArqJobQueue):
    """The real queue; a test can be the worker that takes a job, and Redis that loses one."""

    async def start(self, function: str, job: DocumentJob, for_ms: int) -> None:
        """Be a worker that takes a job, and then neither ends it nor is heard of."""
        await self.arq.psetex(f"arq:in-progress:{self._make_id(function, job)}", for_ms, b"1")

    async def get_time_left_ms(self, function: str, job: DocumentJob) -> int:
        """Return how long a job is still in progress."""
        return int(await self.arq.pttl(f"arq:in-progress:{self._make_id(function, job)}"))

    async def lose(self, function: str, job: DocumentJob) -> None:
        """Forget a job."""
        job_id = self._make_id(function, job)
        for lane in self.lanes.find_all(function):
            await self.arq.zrem(lane, job_id)
        await self.arq.delete(f"arq:job:{job_id}", f"arq:in-progress:{job_id}")


AnyQueue = WatchedArqQueue | MemoryJobQueue


@pytest.fixture
async def arq_queue(redis_url: str) -> AsyncIterator[WatchedArqQueue]:
    queue = WatchedArqQueue(redis_url, timeout_s=5)
    yield queue
    await queue.close()


@pytest.fixture
async def clustered_queue(redis_cluster: RedisCluster) -> AsyncIterator[WatchedArqQueue]:
    queue = WatchedArqQueue(redis_cluster.url, timeout_s=5)
    yield queue
    await queue.close()


@pytest.fixture(params=["memory", "arq", "arq on a cluster"])
def queue(request: pytest.FixtureRequest) -> AnyQueue:
    """An empty one of each kind."""
    if request.param == "memory":
        return MemoryJobQueue()
    found: WatchedArqQueue = request.getfixturevalue("arq_queue" if request.param == "arq" else "clustered_queue")
    return found


async def test_a_job_is_queued_once(queue: AnyQueue) -> None:
    """Not a second time while it waits or is in progress; another function's or tenant's is another job."""
    assert await queue.enqueue(INGEST, JOB) is True
    assert await queue.enqueue(INGEST, JOB) is False
    assert await queue.enqueue(PURGE, JOB) is True
    assert await queue.enqueue(INGEST, OTHER) is True
    await queue.start(INGEST, JOB, DAY_MS)
    assert await queue.enqueue(INGEST, JOB) is False


async def test_the_queue_says_which_jobs_it_lacks(queue: AnyQueue) -> None:
    """In the order in which they are asked after, in progress or not."""
    assert await queue.find_unqueued(INGEST, [], LEASE_MS) == []
    await queue.enqueue(INGEST, JOB)
    await queue.enqueue(PURGE, OTHER)

    assert await queue.find_unqueued(INGEST, [OTHER, JOB], LEASE_MS) == [OTHER]
    await queue.start(INGEST, JOB, DAY_MS)
    assert await queue.find_unqueued(INGEST, [OTHER, JOB], LEASE_MS) == [OTHER]
    assert await queue.find_unqueued(PURGE, [OTHER, JOB], LEASE_MS) == [JOB]


async def test_a_job_that_was_lost_can_be_queued_again(queue: AnyQueue) -> None:
    """The queue has no memory of it."""
    await queue.enqueue(INGEST, JOB)
    await queue.lose(INGEST, JOB)

    assert await queue.find_unqueued(INGEST, [JOB], LEASE_MS) == [JOB]
    assert await queue.enqueue(INGEST, JOB) is True


async def test_an_orphan_is_in_progress_for_a_lease_at_most(queue: AnyQueue) -> None:
    """One that ends sooner is not prolonged, and one that nobody has is not touched."""
    await queue.enqueue(INGEST, JOB)
    assert await queue.find_unqueued(INGEST, [JOB], LEASE_MS) == []

    await queue.start(INGEST, JOB, DAY_MS)
    await queue.find_unqueued(INGEST, [JOB], LEASE_MS)
    assert 0 < await queue.get_time_left_ms(INGEST, JOB) <= LEASE_MS
    await queue.find_unqueued(INGEST, [JOB], DAY_MS)
    assert 0 < await queue.get_time_left_ms(INGEST, JOB) <= LEASE_MS


# --- lanes, which only the real queue has ---


def make_job(tenant: str, number: int) -> DocumentJob:
    return DocumentJob(tenant=tenant, document_id=f"doc_{number}")


async def list_lane(queue: WatchedArqQueue, lane: str) -> list[str]:
    """Tenant and number of what waits in a lane, in the order in which it is taken."""
    members = await queue.arq.zrange(lane, 0, -1)
    return [member.decode().removeprefix(f"{INGEST}:").replace(":doc_", "") for member in members]


async def test_small_documents_wait_in_a_lane_of_their_own(arq_queue: WatchedArqQueue) -> None:
    """The largest small one and the smallest large one."""
    await arq_queue.enqueue(INGEST, make_job("t", 1), SMALL_BYTES)
    await arq_queue.enqueue(INGEST, make_job("t", 2), SMALL_BYTES + 1)

    assert await list_lane(arq_queue, LANES.small) == ["t1"]
    assert await list_lane(arq_queue, LANES.large) == ["t2"]


async def test_tenants_take_turns(arq_queue: WatchedArqQueue) -> None:
    """Who comes behind a hundred documents of another is served next but one; their own order stays."""
    for number in range(1, 6):
        await arq_queue.enqueue(INGEST, make_job("a", number), LARGE)
    for number in range(1, 4):
        await arq_queue.enqueue(INGEST, make_job("b", number), LARGE)

    assert await list_lane(arq_queue, LANES.large) == ["a1", "a2", "b1", "a3", "b2", "a4", "b3", "a5"]


async def test_a_turn_is_as_long_as_the_work(arq_queue: WatchedArqQueue) -> None:
    """Whose documents are a quarter as large gets four for one of the other."""
    for number in range(1, 4):
        await arq_queue.enqueue(INGEST, make_job("a", number), 4 * LARGE)
    for number in range(1, 9):
        await arq_queue.enqueue(INGEST, make_job("b", number), LARGE)

    order = await list_lane(arq_queue, LANES.large)

    assert order[0] == "a1"
    assert order.index("b3") < order.index("a2") < order.index("b5")
    assert order.index("b7") < order.index("a3")


async def test_nobody_waits_for_ever(arq_queue: WatchedArqQueue) -> None:
    """A large document is passed by smaller ones, of another tenant that never end; but only by so many."""
    await arq_queue.enqueue(INGEST, make_job("small", 0), LARGE)
    await arq_queue.enqueue(INGEST, make_job("huge", 1), 20 * LARGE)
    passed = 0
    while (first := (await list_lane(arq_queue, LANES.large))[0]) != "huge1":
        await arq_queue.enqueue(INGEST, make_job("small", passed := passed + 1), LARGE)
        await arq_queue.lose(INGEST, make_job("small", int(first.removeprefix("small"))))
    assert 10 <= passed <= 25


async def test_an_empty_lane_begins_anew(arq_queue: WatchedArqQueue) -> None:
    """What a tenant was served when nobody else waited does not count against it."""
    for number in range(1, 4):
        await arq_queue.enqueue(INGEST, make_job("a", number), LARGE)
        await arq_queue.lose(INGEST, make_job("a", number))
    await arq_queue.enqueue(INGEST, make_job("a", 4), LARGE)
    await arq_queue.enqueue(INGEST, make_job("b", 1), LARGE)
    await arq_queue.enqueue(INGEST, make_job("b", 2), LARGE)

    assert await list_lane(arq_queue, LANES.large) == ["a4", "b1", "b2"]


async def test_the_background_waits_behind_all_uploads(arq_queue: WatchedArqQueue) -> None:
    """However much of it there is, whoever comes later, and of whatever size: the tenant's own uploads, too."""
    background = [DocumentJob(tenant="t", document_id=f"old-{n}") for n in range(3)]
    for job in background:
        assert await arq_queue.enqueue(INGEST, job, 1, background=True)
    uploads = [DocumentJob(tenant=tenant, document_id="new") for tenant in ("t", "u")]
    for job in uploads:
        assert await arq_queue.enqueue(INGEST, job, LARGE)
    assert not await arq_queue.enqueue(INGEST, background[0], 1, background=True)

    lane = [name.decode().rpartition(":")[2] for name in await arq_queue.arq.zrange(LANES.large, 0, -1)]

    assert lane == ["new", "new", "old-0", "old-1", "old-2"]
    assert await arq_queue.find_unqueued(INGEST, [*background, *uploads], LEASE_MS) == []
    # Somebody replaces one of them: it is an upload now.
    assert await arq_queue.enqueue(INGEST, background[1], LARGE)
    lane = [name.decode().rpartition(":")[2] for name in await arq_queue.arq.zrange(LANES.large, 0, -1)]
    assert (sorted(lane[:3]), lane[3:]) == (["new", "new", "old-1"], ["old-0", "old-2"])
