"""How a Redis connection is made, with timeouts on every command and retries for blips; and what its errors mean.

All keys of one client begin with the same prefix. On a Redis Cluster it is in braces, so that they have one slot: a
script or a transaction may take any of them.
"""

from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.bounded_calls import BoundedCalls, CrowdedError
from shared.errors import DependencyUnavailable, DiskFull, ServiceError, make_busy_error
from shared.redis_cluster import SCHEMES, make_cluster_pool

PREFIX: Final = "pagewire:"
"""Of all keys on a single Redis."""
TRIES = 3
_CANNOT_WRITE = "The server can record nothing now: the disk of its Redis is full, or fails. Free some space there."


def connect_redis(url: str, *, timeout_s: float, part: str = "") -> Redis:
    """Return a client that answers str, and sends a command again that gets no answer.

    Parameters:
        timeout_s: how long a caller is going to wait for a command; each try of it gets a third.
        part: of the data. On a Redis Cluster each has a slot of its own; a single Redis has them all together.
    """
    pool = make_pool(
        url,
        part,
        decode_responses=True,
        socket_timeout=timeout_s / TRIES,
        socket_connect_timeout=timeout_s / TRIES,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), TRIES - 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        max_connections=100,
    )
    return Redis.from_pool(pool)  # closing the client closes the pool


def make_pool(url: str, part: str = "", **options: Any) -> ConnectionPool:
    """Return connections to a Redis, or to that node of a cluster which has a part of the data."""
    if is_cluster(url):
        return make_cluster_pool(url, f"{{pagewire{part}}}:", **options)
    return ConnectionPool.from_url(url, **options)


def is_cluster(url: str) -> bool:
    """Return whether a URL is of a Redis Cluster."""
    return url.partition("://")[0] in SCHEMES


def name_prefix(redis: Redis) -> str:
    """Return what all keys begin with that are used with this client."""
    slot = redis.connection_pool.connection_kwargs.get("slot")
    return slot.prefix if slot is not None else PREFIX


async def run_command(calls: BoundedCalls, command: Any, message: str) -> Any:
    """Return the reply to a command. Raise DependencyUnavailable when none comes in time (`server_busy` where others
    come), DiskFull when Redis cannot write.

    Parameters:
        command: a coroutine of the client, or of our own that runs several.
        message: for the caller, where there is no reply.
    """
    try:
        return await calls.run(command)
    except (RedisError, OSError) as error:  # a missed deadline is an OSError
        raise _explain(error, message) from error


def _explain(error: Exception, message: str) -> ServiceError:
    # Within a script or a transaction the word stands somewhere in the text.
    if isinstance(error, ResponseError) and "MISCONF" in str(error):
        return DiskFull(_CANNOT_WRITE)
    if isinstance(error, CrowdedError):
        return make_busy_error()
    return DependencyUnavailable(message, retry_after=5)
