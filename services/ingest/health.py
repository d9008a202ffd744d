"""Says by its exit code whether this host's worker is alive: `python -m services.ingest.health`, for containers.

Apart from the worker, because it runs every few seconds and must not import the model libraries for it.
"""

import asyncio
import socket
import sys

from redis.exceptions import RedisError

from shared.queue.arq_queue import LaneNames
from shared.redis_client import connect_redis, name_prefix
from shared.settings import SharedSettings, load_settings

NOTE_INTERVAL_S = 5
"""How often a worker notes that it is alive; the note lasts a second longer."""
LATE_S = 15
"""How late a note may be: a worker that is busy, or whose machine is, comes to it later than it should."""
_LOOK_S = 0.5


def make_health_key(lanes: LaneNames) -> str:
    """Where arq notes that this host's worker is alive."""
    return f"{lanes.large}:health-check:{socket.gethostname()}"


async def check_worker(settings: SharedSettings) -> bool:
    """Whether the note is there, or comes while it is waited for."""
    redis = connect_redis(settings.redis_url, timeout_s=settings.redis_timeout_s)
    key = make_health_key(LaneNames(name_prefix(redis)))
    try:
        async with asyncio.timeout(LATE_S):
            while not await redis.exists(key):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(_LOOK_S)
    except (RedisError, OSError):  # the time that is over is an OSError
        return False
    finally:
        await redis.aclose()
    return True


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(check_worker(load_settings(SharedSettings))) else 1)
