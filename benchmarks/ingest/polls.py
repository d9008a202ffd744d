"""What an idle worker asks of Redis while others run jobs: `python -m benchmarks.ingest.polls`.

A real Redis and arq; the running jobs are entries of the large lane with their marks, as workers leave them. Each row
is one lane that polls for some seconds and finds nothing to do: as arq does it, and as our lane does. A look that takes
longer than the pause between looks makes them fewer, so commands per look say more than those per second.
"""

import argparse
import asyncio
import fcntl
import tempfile
from pathlib import Path
from typing import Any

from arq import func
from arq.constants import in_progress_key_prefix
from arq.worker import Worker

from benchmarks.relay.report import describe_machine
from services.ingest.lane import Lane
from services.ingest.worker import PATIENT_POLL_S, POLL_S, READ_LIMIT
from shared.contracts.jobs import DocumentJob
from shared.private_redis import start_private_redis
from shared.queue.arq_queue import ArqJobQueue, LaneNames, deserialize_job, make_job_id, serialize_job
from shared.queue.port import INGEST
from shared.tasks import end_tasks

LANES = LaneNames()

SECONDS = 5.0


async def run_nothing(context: dict[Any, Any], job: dict[str, str]) -> None:
    """Be a job that nobody comes to run."""


async def count_commands(redis_url: str, kind: type[Worker], poll_s: float, running: int) -> tuple[float, float]:
    """Return the commands a look and a second of one lane, while so many of its jobs run elsewhere."""
    queue = ArqJobQueue(redis_url, timeout_s=5)
    redis: Any = queue.arq
    await redis.flushall()
    for number in range(running):
        job = DocumentJob(tenant="t", document_id=f"doc_{number}")
        await queue.enqueue(INGEST, job, 1_000_000)
        await redis.psetex(in_progress_key_prefix + make_job_id(INGEST, job), 600_000, b"1")
    lane = kind(
        functions=[func(run_nothing, name=INGEST)],  # type: ignore[arg-type]  # its protocol wants a `__qualname__`
        queue_name=LANES.large,
        redis_pool=queue.arq,
        poll_delay=poll_s,
        queue_read_limit=READ_LIMIT,
        handle_signals=False,
        job_serializer=serialize_job,
        job_deserializer=deserialize_job,
    )
    polling = asyncio.create_task(lane.main())
    await asyncio.sleep(1)
    await redis.config_resetstat()
    await asyncio.sleep(SECONDS)
    commands = await redis.info("commandstats")
    total = sum(each["calls"] for name, each in commands.items() if name != "cmdstat_config|resetstat")
    looks = commands["cmdstat_zrangebyscore"]["calls"]
    await end_tasks(polling)
    await queue.close()
    return total / looks, total / SECONDS


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="a folder for the table")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    arguments = parser.parse_args()
    loaded = ", **in use by others meanwhile**" if arguments.loaded else ""
    lines = [
        "# What an idle worker asks of Redis\n",
        "`python -m benchmarks.ingest.polls`: one lane that polls and finds nothing to do.\n",
        f"Machine: {describe_machine()}{loaded}.\n",
        "| lane | seconds between polls | jobs that others run | commands a look | a second |\n|---|--:|--:|--:|--:|",
    ]
    kinds = [("arq", Worker, POLL_S), ("ours, small", Lane, POLL_S), ("ours, large", Lane, PATIENT_POLL_S)]
    with tempfile.TemporaryDirectory() as root, (Path(root) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(root) / "redis", lock.fileno()) as redis:
            for name, kind, poll_s in kinds:
                for running in (0, 100):
                    looks, rate = asyncio.run(count_commands(redis.url, kind, poll_s, running))
                    lines.append(f"| {name} | {poll_s} | {running} | {looks:.0f} | {rate:.0f} |")
                    print(lines[-1], flush=True)
    if arguments.results is not None:
        (arguments.results / "polls.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
