"""What is opened to read and write events is closed again."""

import asyncio

import pytest

from services.gateway.runs.supervisor import make_lost_failure
from shared.event_log.codecs import RUN_EVENTS
from shared.event_log.redis_events import open_events, open_run_log
from shared.event_log.redis_log import RedisEventLog
from shared.event_log.spread_log import PARTS

CLUSTER = "redis+cluster://127.0.0.1:1"


async def test_the_logs_of_a_cluster_close_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that stops does not wait for one node after the other, each of which may not answer."""
    closing = most = 0

    async def close(log: object) -> None:
        nonlocal closing, most
        closing += 1
        most = max(most, closing)
        await asyncio.sleep(0)  # the others have their turn
        closing -= 1

    monkeypatch.setattr(RedisEventLog, "close", close)
    async with (
        open_events(CLUSTER, timeout_s=1) as client,
        open_run_log(CLUSTER, client, RUN_EVENTS, timeout_s=1, lost=make_lost_failure()),
    ):
        assert most == 0
    assert most == len(PARTS)
