"""Stops runs in other processes that have written nothing of them anywhere: every gateway is asked, and answers.

Nothing is known outside of its process of a run that ends with its client, because that would cost each of them a
command. A stop is rare, so it costs a message to all.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.bounded_calls import BoundedCalls
from shared.event_log.port import StreamId
from shared.redis_client import name_prefix, run_command
from shared.tasks import end_tasks

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 2.0
"""Until all have answered; they need milliseconds."""
REPLY_S: Final = 1
"""How long one answer is waited for in one command."""
ASKED_AT_ONCE: Final = 16
"""Connections that these take of the client's pool of 100."""
KEPT_MS: Final = 10_000
"""How long an answer is kept that nobody has come for."""
LISTEN_S: Final = 5.0
"""After so long without a message the connection is tried, which may be dead without a sign."""
PAUSE_S: Final = 0.5
"""Pause after Redis failed."""


class RedisStopRequests:
    """Ask all gateways, and answer them. Between `start` and `close` others reach the runs of this process.

    Parameters:
        redis: a client whose replies are `str`.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._prefix = name_prefix(redis)
        self._channel = name_channel(redis)
        self._calls = BoundedCalls(deadline_s=DEADLINE_S, at_once=ASKED_AT_ONCE)
        self._listener: asyncio.Task[None] | None = None
        self.on_request: Callable[[StreamId], bool] = _know_none

    def start(self) -> None:
        """Begin to listen."""
        self._listener = asyncio.create_task(self._listen(), name="stop_requests")

    async def close(self) -> None:
        """End listening, and what is being asked."""
        if self._listener is not None:
            await end_tasks(self._listener)
        await self._calls.close()

    async def ask(self, stream: StreamId) -> bool:
        """Return whether a gateway has it, and has begun to end it. Raise ServiceError when not all have answered."""
        message = "Not all gateways answer now; try again in a few seconds."
        known: bool = await run_command(self._calls, self._ask(stream), message)
        return known

    async def _ask(self, stream: StreamId) -> bool:
        key = f"{self._prefix}stop-replies:{uuid4().hex}"
        request = json.dumps([stream.tenant, stream.kind, stream.name, key])
        pipe = self._redis.pipeline(transaction=False)  # `execute` gives its connection back
        pipe.exists(key)  # a node of a cluster that has the key no more says so: PUBLISH would ask nobody there
        pipe.publish(self._channel, request)
        _, asked = await pipe.execute()
        for _ in range(asked):
            taking: Any = self._redis.blpop([key], timeout=REPLY_S)
            reply = await taking
            if reply is None:
                raise TimeoutError
            if reply[1] == "1":
                return True
        return False

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    await self._answer_all(channel)
            except (RedisError, OSError, ValueError, TypeError) as error:  # the last two: what another version has sent
                log.warning("stop_requests_away", error=type(error).__name__)
                await asyncio.sleep(PAUSE_S)

    async def _answer_all(self, channel: Any) -> None:
        """Answer until the connection fails, or is not where others ask any more."""
        tried = False
        while True:
            message = await channel.get_message(timeout=LISTEN_S)
            if message is not None:
                tried = False
                if message["type"] == "message":
                    await self._answer(message["data"])
            elif tried:
                raise TimeoutError
            else:
                tried = True
                await self._redis.exists(self._channel)  # as an answer does: it learns where others ask by now
                await channel.ping()
            if getattr(channel.connection, "is_astray", False):
                return

    async def _answer(self, request: str) -> None:
        tenant, kind, name, key = json.loads(request)
        known = self.on_request(StreamId(tenant, kind, name))
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, int(known))
            pipe.pexpire(key, KEPT_MS)
            await pipe.execute()


def name_channel(redis: Redis) -> str:
    """Return where gateways hear of each other: Redis's databases share their channels, and may be of others each."""
    return f"{name_prefix(redis)}stop-requests:{redis.connection_pool.connection_kwargs.get('db', 0)}"


def _know_none(stream: StreamId) -> bool:
    """Say that no run is here."""
    return False
