"""How many cancellations get lost in Redis commands: `python -m benchmarks.lost_cancellations`.

A task that only sends Redis commands is cancelled once, at a random moment; a cancellation is lost when the task goes
on all the same. This is why `shared.tasks.end_tasks` asks again (docs/decisions/0009).
"""

import asyncio
import fcntl
import random
import tempfile
from pathlib import Path

from arq.connections import ArqRedis

from shared.private_redis import start_private_redis
from shared.queue.arq_queue import ArqJobQueue
from shared.tasks import end_tasks

TRIALS = 60
LONGEST_S = 0.004
GONE_ON_S = 0.2


async def _loses_cancellation(queue: ArqRedis) -> bool:
    async def send_for_ever() -> None:
        while True:
            await queue.zcard("nothing")

    task = asyncio.create_task(send_for_ever())
    await asyncio.sleep(random.random() * LONGEST_S)
    task.cancel()
    _, going_on = await asyncio.wait({task}, timeout=GONE_ON_S)
    await end_tasks(task)
    return bool(going_on)


async def _count(url: str) -> int:
    queue = ArqJobQueue(url, timeout_s=5)
    await queue.arq.ping()
    lost = [await _loses_cancellation(queue.arq) for _ in range(TRIALS)]
    await queue.close()
    return sum(lost)


def main() -> None:
    """Prints lost and all cancellations."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(folder) / "redis", lock.fileno()) as redis:
            print(f"lost {asyncio.run(_count(redis.url))} of {TRIALS} cancellations")


if __name__ == "__main__":
    main()
