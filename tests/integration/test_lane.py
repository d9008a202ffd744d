"""arq on one of our lanes, on a real Redis."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from arq import func
from arq.constants import in_progress_key_prefix

from services.ingest.lane import Lane
from shared.contracts.jobs import DocumentJob
from shared.queue.arq_queue import SMALL_BYTES, ArqJobQueue, LaneNames, deserialize_job, make_job_id, serialize_job
from shared.queue.port import INGEST
from tests.patience import PATIENT_S

LANES = LaneNames()


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[ArqJobQueue]:
    queue = ArqJobQueue(redis_url, timeout_s=PATIENT_S)
    yield queue
    await queue.close()


async def add_jobs(queue: ArqJobQueue, count: int, *, running: bool) -> list[str]:
    """Jobs of the large lane, waiting or in progress elsewhere; the names of their documents."""
    names = [f"{'running' if running else 'waiting'}{number}" for number in range(count)]
    for name in names:
        job = DocumentJob(tenant="t", document_id=name)
        assert await queue.enqueue(INGEST, job, SMALL_BYTES + 1)
        if running:
            await queue.arq.psetex(in_progress_key_prefix + make_job_id(INGEST, job), 600_000, b"1")
    return names


def make_lane(queue: ArqJobQueue, ran: list[str]) -> Lane:
    async def run(context: dict[Any, Any], job: dict[str, str]) -> None:
        ran.append(job["document_id"])

    return Lane(
        functions=[func(cast("Any", run), name=INGEST)],
        queue_name=LANES.large,
        redis_pool=queue.arq,
        max_jobs=2,
        handle_signals=False,
        job_serializer=serialize_job,
        job_deserializer=deserialize_job,
        keep_result=0,
    )


async def count_calls(queue: ArqJobQueue) -> int:
    """Commands that the server has run, those of scripts not counted."""
    return int((await queue.arq.info("stats"))["total_commands_processed"])


async def test_a_look_costs_the_same_however_many_jobs_run(queue: ArqJobQueue) -> None:
    """Running jobs are not tried, and a single command tells which they are."""
    lane, costs = make_lane(queue, []), []
    for count in (1, 200):
        await add_jobs(queue, count, running=True)
        ids = await queue.arq.zrange(LANES.large, 0, -1)
        before = await count_calls(queue)
        await lane.start_jobs(ids)
        costs.append(await count_calls(queue) - before)
        await queue.arq.flushall()
    assert costs == [2, 2]  # the one command, and the question how many there were
    assert not lane.tasks


async def test_who_waits_behind_running_jobs_is_taken(queue: ArqJobQueue) -> None:
    """As many as there are places for; each runs once."""
    await add_jobs(queue, 50, running=True)
    waiting = await add_jobs(queue, 3, running=False)
    ran: list[str] = []
    lane = make_lane(queue, ran)
    while len(ran) < len(waiting):
        await lane.start_jobs(await queue.arq.zrange(LANES.large, 0, -1))
        assert len(lane.tasks) <= 2
        for job_id, task in [*lane.tasks.items()]:
            await task
            del lane.tasks[job_id]
    assert sorted(ran) == waiting
    await lane.start_jobs(await queue.arq.zrange(LANES.large, 0, -1))
    assert not lane.tasks
