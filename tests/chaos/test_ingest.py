"""What an ingest survives: workers killed and frozen, Redis and Qdrant gone, a document that kills whoever reads it.

After each the history is held against what there is: every upload that got its 202 is ready or has failed with a
reason, the points are exactly those that there should be, and nothing is left over. `make test` takes a sample with a
fixed seed; `make chaos` sets PAGEWIRE_CHAOS=1 and takes all of it.
"""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shared.contracts.documents import DocumentStatus
from shared.errors import NotFound
from shared.redis_client import connect_redis
from shared.registry.keys import RegistryKeys
from tests.conftest import require_docker, run_qdrant
from tests.gateway_process import find_free_port
from tests.patience import PATIENT_S
from tests.pdfs import make_long_pdf, make_pdf
from tests.worker_fleet import TENANT, Fleet, RedisProcess, job_of, run_fleet, send_signal, wait_until

KEYS = RegistryKeys()

FULL = os.environ.get("PAGEWIRE_CHAOS") == "1"
SEED = 8
SEEDS = range(50) if FULL else [SEED]
QUICK = {"lease_s": 6, "reconcile_interval_s": 0.5, "max_attempts": 100}
"""Leases that outlast what a busy machine stands still. One that stands still for longer costs an attempt, which does
not count where nothing depends on how many there are."""

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800 if FULL else 400)]
only_full = pytest.mark.skipif(not FULL, reason="a part of the long form: make chaos")


@pytest.fixture
def own_qdrant() -> Iterator[tuple[str, str]]:
    """A Qdrant server of the test's own, which has the same port when it is started again: its URL and container."""
    require_docker("no Docker engine to run a Qdrant server with")
    port = find_free_port()
    with run_qdrant().with_bind_ports(6333, port) as running:
        yield f"http://127.0.0.1:{port}", running.get_wrapped_container().id


@pytest.mark.parametrize("seed", SEEDS)
async def test_killed_workers_lose_nothing(tmp_path: Path, redis: RedisProcess, qdrant_url: str, seed: int) -> None:
    """SIGKILL at random moments, while uploads go on; whoever is killed is replaced."""
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=2, **QUICK) as fleet:
        await kill_under_uploads(fleet, random.Random(seed), documents=6, pages=5, kills=2)


@only_full
async def test_many_killed_workers_lose_nothing(tmp_path: Path, redis: RedisProcess, qdrant_url: str) -> None:
    """The same at length, with the default lease."""
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=4) as fleet:
        await kill_under_uploads(fleet, random.Random(SEED), documents=174, pages=12, kills=50)


async def kill_under_uploads(fleet: Fleet, chance: random.Random, *, documents: int, pages: int, kills: int) -> None:
    """Upload so many documents of so many pages at most, kill workers meanwhile, and check that all is there."""
    async with asyncio.TaskGroup() as uploading:
        uploading.create_task(upload_all(fleet, [chance.randint(1, pages) for _ in range(documents)], chance))
        # From the first that is read on: what kills a worker that only loads its model kills nothing.
        await wait_until(lambda: any_document(fleet, DocumentStatus.PARSING, DocumentStatus.EMBEDDING))
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.2, 3))  # the moment is what is random
            await fleet.kill_one(chance)
            fleet.start_worker()
    records = await fleet.wait_until_final(list(fleet.accepted))

    assert {record.status for record in records} == {DocumentStatus.READY}
    await fleet.check()


async def upload_all(fleet: Fleet, pages: list[int], chance: random.Random) -> None:
    """Upload documents of so many pages, a tenth of them twice under another name."""
    for number, count in enumerate(pages):
        content = await asyncio.to_thread(make_long_pdf, f"Depot {number}", count)
        await fleet.upload(f"depot-{number}.pdf", content)
        if chance.random() < 0.1:
            await fleet.upload(f"copy-of-depot-{number}.pdf", content)


async def any_document(fleet: Fleet, *statuses: DocumentStatus) -> bool:
    """Whether a document has one of these statuses."""
    for document_id in list(fleet.accepted):
        if (await fleet.get(document_id)).status in statuses:
            return True
    return False


@only_full
async def test_a_takeover_takes_no_longer_than_is_promised(
    tmp_path: Path, redis: RedisProcess, qdrant_url: str
) -> None:
    """With the default lease, another worker has each document of a killed one within 40 s."""
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=1) as fleet:
        ids = [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Mill {n}", 150)) for n in range(2)]
        await wait_until(lambda: all_leased(fleet, ids))
        fleet.start_worker()
        await fleet.wait_until_last_runs()
        killed = fleet.workers[0]
        epochs = [await read_epoch(redis.url, document_id) for document_id in ids]
        killed.kill()
        began = time.monotonic()
        took = []
        for document_id, epoch in zip(ids, epochs, strict=True):
            while await read_epoch(redis.url, document_id) == epoch:
                await asyncio.sleep(0.1)
            took.append(time.monotonic() - began)
        print(f"taken over after {', '.join(f'{seconds:.1f} s' for seconds in took)}")
        await fleet.wait_until_final(ids)
        await fleet.check()
    assert max(took) <= 40


async def all_leased(fleet: Fleet, document_ids: list[str]) -> bool:
    """Whether workers have all of these documents."""
    return all([await fleet.registry.is_leased(job_of(document_id)) for document_id in document_ids])


async def read_epoch(redis_url: str, document_id: str) -> int:
    """The epoch of a document's record: each claim raises it."""
    client = connect_redis(redis_url, timeout_s=PATIENT_S)
    try:
        record = await client.hgetall(KEYS.document(TENANT, document_id))  # type: ignore[misc]
        return int(record.get("epoch", 0))
    finally:
        await client.aclose()


async def test_a_job_survives_ten_stops(tmp_path: Path, redis: RedisProcess, qdrant_url: str) -> None:
    """SIGTERM, each time that the document has got further: each worker ends in good order, and no attempt is lost."""
    stops = 10 if FULL else 1
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=1, max_attempts=2, reconcile_interval_s=0.5) as fleet:
        document_id = await fleet.upload("long.pdf", make_long_pdf("Quarry", 30 * stops))
        done = 0
        for _ in range(stops):
            await wait_until(partial(got_further, fleet, document_id, done))
            worker = fleet.workers[-1]
            worker.terminate()
            await asyncio.to_thread(worker.join, 60)
            assert worker.exitcode == 0
            record = await fleet.get(document_id)
            assert not record.status.final, "the document is too short for so many stops"
            done = record.chunks_done
            fleet.start_worker()
        (record,) = await fleet.wait_until_final([document_id])

        assert record.status is DocumentStatus.READY
        await fleet.check()


async def got_further(fleet: Fleet, document_id: str, done: int) -> bool:
    """Whether more of a document is done, or all."""
    record = await fleet.get(document_id)
    return record.chunks_done > done or record.status.final


async def test_a_frozen_worker_does_no_harm_when_it_wakes(tmp_path: Path, redis: RedisProcess, qdrant_url: str) -> None:
    """One that stands still for longer than its lease finds its document taken over, and writes nothing over it."""
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=1, **QUICK) as fleet:
        document_id = await fleet.upload("long.pdf", make_long_pdf("Harbour", 30))
        await wait_until(lambda: got_further(fleet, document_id, 0))
        frozen = fleet.workers[0]
        send_signal(frozen, signal.SIGSTOP)
        assert not (await fleet.get(document_id)).status.final
        fleet.start_worker()
        (record,) = await fleet.wait_until_final([document_id])
        assert record.status is DocumentStatus.READY
        send_signal(frozen, signal.SIGCONT)
        again = await fleet.upload("next.pdf", make_pdf(["The gate opens at nine."]))
        await fleet.wait_until_final([again])

        assert frozen.is_alive(), "it goes on"
        await fleet.check()


@only_full
async def test_redis_comes_back_with_its_data(tmp_path: Path, redis: RedisProcess, qdrant_url: str) -> None:
    """Killed five times under work and started anew: what was accepted is done, by the same workers."""
    chance = random.Random(SEED)
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=2, lease_s=5) as fleet:
        ids = [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Lock {n}", 8)) for n in range(20)]
        for _ in range(5):
            await wait_until(lambda: any_document(fleet, DocumentStatus.PARSING, DocumentStatus.EMBEDDING))
            await asyncio.sleep(chance.uniform(0.1, 2))
            redis.kill()
            await asyncio.sleep(chance.uniform(0.1, 8))
            await redis.start()
        records = await fleet.wait_until_final(ids)

        assert {record.status for record in records} == {DocumentStatus.READY}
        assert all(worker.is_alive() for worker in fleet.workers)
        await fleet.check()


@only_full
async def test_redis_comes_back_without_its_data(tmp_path: Path, redis: RedisProcess, qdrant_url: str) -> None:
    """The records are gone, and with them the documents: they are unknown, not half there; the workers go on with new
    ones, and what the old ones left is found and removed by the repair."""
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=2, lease_s=5) as fleet:
        old = [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Weir {n}", 8)) for n in range(6)]
        await wait_until(lambda: any_document(fleet, DocumentStatus.READY))
        redis.kill()
        redis.lose_data()
        await redis.start()
        fleet.accepted.clear()
        new = [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Weir {n}", 4)) for n in range(3)]
        records = await fleet.wait_until_final(new)

        assert {record.status for record in records} == {DocumentStatus.READY}
        for document_id in old:
            with pytest.raises(NotFound):
                await fleet.get(document_id)
        assert all(worker.is_alive() for worker in fleet.workers)
        assert await fleet.repair() == 0
        await fleet.check()


@only_full
@pytest.mark.parametrize(("end", "start"), [("pause", "unpause"), ("kill", "start")])
async def test_qdrant_away_for_half_a_minute(
    tmp_path: Path, redis: RedisProcess, own_qdrant: tuple[str, str], end: str, start: str
) -> None:
    """Whether it is silent or gone: nothing fails for it, and what was at work is tried again."""
    url, container = own_qdrant
    async with run_fleet(tmp_path, redis.url, url, workers=2, lease_s=5, qdrant_timeout_s=3) as fleet:
        ids = [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Sluice {n}", 8)) for n in range(12)]
        await wait_until(lambda: any_document(fleet, DocumentStatus.EMBEDDING))
        await asyncio.to_thread(subprocess.run, ["docker", end, container], check=True)
        try:
            await asyncio.sleep(30)  # what is tested: that long
        finally:
            await asyncio.to_thread(subprocess.run, ["docker", start, container], check=True)
        records = await fleet.wait_until_final(ids)

        assert {record.status for record in records} == {DocumentStatus.READY}
        await fleet.check()


@only_full
async def test_a_poison_among_good_ones(tmp_path: Path, redis: RedisProcess, qdrant_url: str) -> None:
    """A document of which every worker dies ends as failed, and costs none of the 50 others their life."""
    async with run_fleet(tmp_path, redis.url, qdrant_url, workers=2, **QUICK | {"max_attempts": 2}) as fleet:
        good = [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Pump {n}", 2)) for n in range(25)]
        poison = await fleet.upload("poison.pdf", make_long_pdf("Poison", 30))
        good += [await fleet.upload(f"{n}.pdf", make_long_pdf(f"Pump {n}", 2)) for n in range(25, 50)]
        killing = asyncio.create_task(kill_whoever_takes(fleet, poison))
        records = await fleet.wait_until_final([*good, poison])
        deaths = await killing

        *others, failed = records
        assert {record.status for record in others} == {DocumentStatus.READY}
        assert failed.failure is not None
        assert failed.failure.code == "crashes_worker"
        assert deaths >= 4, "twice among others, twice alone"
        await fleet.check()


async def kill_whoever_takes(fleet: Fleet, document_id: str) -> int:
    """Kill all workers and start new ones whenever one has the document, until it has failed; how often that was."""
    deaths = 0
    while not (await fleet.get(document_id)).status.final:
        if await fleet.registry.is_leased(job_of(document_id)):
            epoch = await read_epoch(fleet.redis_url, document_id)
            await asyncio.to_thread(fleet.kill_all)
            deaths += 1
            for _ in range(2):
                fleet.start_worker()
            while await read_epoch(fleet.redis_url, document_id) == epoch:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.02)
    return deaths
