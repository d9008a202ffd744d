"""A stop finds the one process that has a run, on a real Redis: who has it says so, who has not, too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from services.gateway import stop_requests
from services.gateway.stop_requests import RedisStopRequests, name_channel
from shared.errors import DependencyUnavailable
from shared.event_log.port import StreamId
from shared.redis_client import connect_redis
from tests.patience import PATIENT_S

RUN = StreamId("t", "run", "run_1")


class Gateway:
    """A gateway that has some runs."""

    def __init__(self, redis: Redis, *known: StreamId) -> None:
        self.asked: list[StreamId] = []
        self.requests = RedisStopRequests(redis)
        self.requests.on_request = self.note
        self._known = known

    def note(self, stream: StreamId) -> bool:
        self.asked.append(stream)
        return stream in self._known


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect_redis(redis_url, timeout_s=PATIENT_S) as redis:
        yield redis


async def wait_for_listeners(redis: Redis, count: int) -> None:
    async with asyncio.timeout(PATIENT_S):
        while (await redis.pubsub_numsub(name_channel(redis)))[0][1] != count:
            await asyncio.sleep(0.01)


@pytest.fixture
async def gateways(redis: Redis) -> AsyncIterator[list[Gateway]]:
    """Three gateways, of which the last has the run."""
    async with AsyncExitStack() as stack:
        opened = [Gateway(redis), Gateway(redis), Gateway(redis, RUN)]
        for gateway in opened:
            gateway.requests.start()
            stack.push_async_callback(gateway.requests.close)
        await wait_for_listeners(redis, len(opened))
        yield opened


async def test_who_has_the_run_is_found(redis: Redis, gateways: list[Gateway]) -> None:
    """Each is asked once; nothing stays in Redis for ever."""
    assert await gateways[0].requests.ask(RUN)
    assert not await gateways[0].requests.ask(StreamId("other", "run", "run_1"))
    assert [len(gateway.asked) for gateway in gateways] == [2, 2, 2]
    assert all([await redis.pttl(key) > 0 for key in await redis.keys("*")])


async def test_where_nobody_listens_nobody_has_it(redis: Redis) -> None:
    """A gateway that is alone, and has just started."""
    assert not await RedisStopRequests(redis).ask(RUN)


async def test_a_gateway_that_does_not_answer_may_have_it(
    redis: Redis, gateways: list[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the run is not called unknown; where another has it, that is enough."""
    async with redis.pubsub() as silent:
        await silent.subscribe(name_channel(redis))
        await wait_for_listeners(redis, 4)
        assert await gateways[0].requests.ask(RUN)
        monkeypatch.setattr(stop_requests, "REPLY_S", 0.1)
        with pytest.raises(DependencyUnavailable) as caught:
            await gateways[0].requests.ask(StreamId("t", "run", "run_2"))
    assert caught.value.retry_after


async def test_a_connection_that_breaks_is_made_anew(
    redis: Redis, gateways: list[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway listens as long as it lives."""
    monkeypatch.setattr(stop_requests, "PAUSE_S", 0.01)
    old = {client["id"] for client in await redis.client_list(_type="pubsub")}
    for number in old:
        await redis.client_kill_filter(_id=number)
    async with asyncio.timeout(PATIENT_S):
        while len({client["id"] for client in await redis.client_list(_type="pubsub")} - old) < 3:
            await asyncio.sleep(0.01)
    await wait_for_listeners(redis, 3)
    assert await gateways[0].requests.ask(RUN)


async def test_a_silent_connection_is_tried_and_kept(
    redis: Redis, gateways: list[Gateway], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is dead without a sign would never bring a stop again; one that lives answers the trial."""
    monkeypatch.setattr(stop_requests, "LISTEN_S", 0.3)
    lazy = Gateway(redis)
    lazy.requests.start()
    await wait_for_listeners(redis, 4)
    await redis.config_resetstat()
    async with asyncio.timeout(PATIENT_S):
        while (await redis.info("commandstats")).get("cmdstat_ping", {}).get("calls", 0) < 2:
            await asyncio.sleep(0.01)
    assert await gateways[0].requests.ask(RUN)
    assert lazy.asked == [RUN]
    await lazy.requests.close()
    assert "stop_requests_away" not in caplog.text


async def test_what_cannot_be_read_ends_no_listening(
    redis: Redis, gateways: list[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the request of a gateway of another version, while one replaces the other."""
    monkeypatch.setattr(stop_requests, "PAUSE_S", 1)  # long enough to see that nobody listens
    for request in ("no JSON", "7", '["t", "run"]'):
        assert await redis.publish(name_channel(redis), request) == 3
        await wait_for_listeners(redis, 0)
        await wait_for_listeners(redis, 3)
    assert await gateways[0].requests.ask(RUN)


async def test_gateways_of_other_databases_are_not_asked(redis: Redis, redis_url: str, gateways: list[Gateway]) -> None:
    """They have nothing to do with ours, and answer where nobody looks."""
    async with connect_redis(redis_url.replace("db=0", "db=1"), timeout_s=PATIENT_S) as other:
        stranger = Gateway(other)
        stranger.requests.start()
        await wait_for_listeners(other, 1)
        assert not await gateways[0].requests.ask(StreamId("t", "run", "run_2"))
        await stranger.requests.close()
    assert stranger.asked == []
