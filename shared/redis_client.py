"""How a Redis connection is made: with timeouts on every command and retries for blips."""

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


def connect_redis(url: str, *, timeout_s: float) -> Redis:
    """A client that answers str; commands fail after `timeout_s` seconds and three quick tries."""
    pool = ConnectionPool.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        max_connections=100,
    )
    return Redis.from_pool(pool)  # closing the client closes the pool
