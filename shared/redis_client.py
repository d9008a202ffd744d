"""How a Redis connection is made, with timeouts on every command and retries for blips; and what its errors mean."""

from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.bounded_calls import BoundedCalls, CrowdedError
from shared.errors import DependencyUnavailable, DiskFull, ServiceError, make_busy_error

TRIES = 3
_CANNOT_WRITE = "The server can record nothing now: the disk of its Redis is full, or fails. Free some space there."


def connect_redis(url: str, *, timeout_s: float) -> Redis:
    """Return a client that answers str, and sends a command again that gets no answer.

    Parameters:
        timeout_s: how long a caller is going to wait for a command; each try of it gets a third.
    """
    pool = ConnectionPool.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s / TRIES,
        socket_connect_timeout=timeout_s / TRIES,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), TRIES - 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        max_connections=100,
    )
    return Redis.from_pool(pool)  # closing the client closes the pool


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
