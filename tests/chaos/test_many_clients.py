"""Many clients at once that vanish, or that read nothing: nothing of them is left, and nobody else notices.

`make test` takes a sample; `make chaos` sets PAGEWIRE_CHAOS=1 and takes all of it.
"""

import asyncio
import os
import random
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from benchmarks.relay.readers import Reading, read_streams
from benchmarks.relay.systems import run_upstream
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.conftest import skip_or_fail
from tests.gateway_process import INSPECTED, GatewayProcess, run_canned_search, run_gateway_process
from tests.integration.conftest import publish_document
from tests.llm_server import LlmServer, Scenario, run_llm_server
from tests.patience import PATIENT_S
from tests.raw_stream import open_stream, read_until, reset

FULL = os.environ.get("PAGEWIRE_CHAOS") == "1"
VANISHING = 1000 if FULL else 40
ROUNDS = 10 if FULL else 2
AT_ONCE = 50
SHARE_UNREAD = 0.1
"""Of the clients that vanish: those that go before they have read anything, wherever their request is then."""
DEAF = 200 if FULL else 5
READERS = 50 if FULL else 10
RATE, TOKENS = (50.0, 250) if FULL else (100.0, 40)
NOTICED_MS = 1000 / RATE / 2
"""Half the time between two tokens nobody notices, and it is the noise of a busy machine."""
ATTEMPTS = 5
"""Until others are not late. The sample cannot tell that from a busy machine: there, others come to their end."""
SEND_TIMEOUTS_S = (600, 10 if FULL else 1)
"""Of the two gateways."""
SEARCH_CONNECTIONS = 50
"""What the client of the search keeps open for the next one."""
GROWTH = 1.1
"""Of the memory in the later half of the rounds. A stream has 90 kB: 5,000 that are not freed would be 450 MB."""
WAIT_S = 60.0
SEED = 7

pytestmark = [pytest.mark.timeout(600 if FULL else 300), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class System:
    """Two gateways alike: what clients do to the first is compared with the second, on the same machine at the time.
    Only the second is strict with those who read nothing.

    `openai` writes at a steady rate, `anthropic` without end, `groq` one token and nothing more.
    """

    gateways: tuple[GatewayProcess, GatewayProcess]
    client: httpx.AsyncClient
    llm: LlmServer

    async def inspect(self, number: int = 0) -> dict[str, int]:
        """What a gateway holds."""
        counts: dict[str, int] = (await self.client.get(f"{self.gateways[number].url}/inspect")).json()
        return counts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(private_redis: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Started once."""
    if sys.platform != "linux":
        skip_or_fail("there is no /proc to read a process's memory from")
    async with AsyncExitStack() as stack:
        llm = await stack.enter_async_context(run_llm_server())
        upstream = await stack.enter_async_context(run_upstream(RATE, TOKENS, None))
        redis = await stack.enter_async_context(connect_redis(private_redis, timeout_s=PATIENT_S))
        await redis.flushall()
        document_id = await publish_document(RedisDocumentRegistry(redis, deadline_s=PATIENT_S))
        environment = {
            "PAGEWIRE_REDIS_URL": private_redis,
            "PAGEWIRE_RETRIEVAL_URL": await stack.enter_async_context(run_canned_search(document_id)),
            "PAGEWIRE_MAX_ANSWER_CHARACTERS": "100000000",
            "PAGEWIRE_LLM_IDLE_TIMEOUT_S": "120",
            "PAGEWIRE_ANSWER_CACHE": "off",  # all ask the same
            "OPENAI_BASE_URL": upstream,
            "ANTHROPIC_API_KEY": "sk-ours",
            "ANTHROPIC_BASE_URL": llm.urls["anthropic"],
            "PAGEWIRE_ANTHROPIC_MODEL": Scenario.ENDLESS,
            "GROQ_API_KEY": "sk-ours",
            "GROQ_BASE_URL": llm.urls["groq"],
            "PAGEWIRE_GROQ_MODEL": Scenario.STALL_MIDWAY,
        }
        folder = tmp_path_factory.mktemp("gateways")
        starting = [
            stack.enter_async_context(
                run_gateway_process({**environment, "PAGEWIRE_SEND_TIMEOUT_S": str(seconds)}, folder, module=INSPECTED)
            )
            for seconds in SEND_TIMEOUTS_S
        ]
        first, second = await asyncio.gather(*starting)
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENT_S))
        for gateway in (first, second):
            await client.post(f"{gateway.url}/mcp")  # answers when what is loaded behind the port has been
        yield System((first, second), client, llm)


def ask(number: int, provider: str) -> tuple[str, dict[str, Any]]:
    """Path and body of a question, in each dialect in turn."""
    message = {"role": "user", "content": "How much?"}
    match number % 4:
        case 0:
            return "/query/stream", {"question": "How much?", "provider": provider}
        case 1:
            body = {"model": f"pagewire/{provider}", "stream": True, "messages": [message]}
            return "/v1/chat/completions", body
        case 2:
            return "/v1/responses", {"model": f"pagewire/{provider}", "stream": True, "input": [message]}
        case _:
            parts = [{"type": "text", "text": "How much?"}]
            return "/api/chat", {"id": "c", "messages": [{"role": "user", "parts": parts}], "provider": provider}


async def wait_until_left(system: System, before: dict[str, int], number: int = 0) -> dict[str, int]:
    """What a gateway holds, once that is as much as before, but for memory and connections that wait for reuse."""
    kept = before.keys() - {"memory_kb", "files"}
    now: dict[str, int] = {}
    try:
        async with asyncio.timeout(WAIT_S):
            while not now or any(now[name] != before[name] for name in kept):
                now = await system.inspect(number)
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"there were {before}, and there are {now}")
    return now


async def test_clients_that_vanish_together_leave_nothing(system: System) -> None:
    """Each reset in the middle of its stream, whatever the dialect, or before it; then no connection, task, run and
    provider's stream is left, and memory grows no more from round to round."""
    places = random.Random(SEED)
    system.llm.tokens, system.llm.delay_s = (" marker", " more"), 0.5 if FULL else 0.02
    gate = asyncio.Semaphore(AT_ONCE)

    async def begin(number: int, clients: ExitStack) -> socket.socket:
        async with gate:
            path, body = ask(number, "anthropic" if places.random() < 0.5 else "groq")
            client = clients.enter_context(await open_stream(system.gateways[0].url, path, body))
            await read_until(client, b"marker")
            return client

    async def vanish() -> float:
        """Seconds from the first reset to the last."""
        with ExitStack() as stack:
            clients = await asyncio.gather(*(begin(number, stack) for number in range(VANISHING)))
            for number in range(int(VANISHING * SHARE_UNREAD)):
                client = await open_stream(system.gateways[0].url, *ask(number, "anthropic"))
                clients.append(stack.enter_context(client))
            began = time.monotonic()
            for client in places.sample(clients, len(clients)):
                reset(client)
            took = time.monotonic() - began
        await wait_until_providers_are_left(system)
        return took

    await vanish()  # what is imported, and kept for the next, with the first ones
    before = await wait_until_left(system, await settle(system))
    memory = []
    for number in range(ROUNDS):
        took = await vanish()
        after = await wait_until_left(system, before)
        memory.append(after["memory_kb"])
        print(f"round {number}: {VANISHING} reset in {took * 1e3:.0f} ms; then {after}")
        assert after["files"] <= before["files"] + SEARCH_CONNECTIONS
    assert memory[-1] <= memory[len(memory) // 2 - 1] * GROWTH


async def settle(system: System, number: int = 0) -> dict[str, int]:
    """What a gateway holds once nobody but us is connected, and nothing changes any more."""
    last, now = None, await system.inspect(number)
    while now["HttpProtocol"] > 1 or last != now["tasks"]:
        await asyncio.sleep(0.05)
        last, now = now["tasks"], await system.inspect(number)
    return now


async def test_clients_that_read_nothing_slow_nobody_down(system: System) -> None:
    """While their connections are full, and their runs held back, others get their whole answers, in the long form as
    soon as at a gateway beside; when they leave nothing is left."""
    beside_them, alone = system.gateways
    for gateway in system.gateways:  # the first request of a process imports and connects
        await read(gateway, 2)
    before = await settle(system)
    with ExitStack() as deaf:
        await open_deaf(system, beside_them, deaf)
        began, now = time.monotonic(), before
        try:
            async with asyncio.timeout(WAIT_S):
                while not DEAF == now["full_connections"] == now["held_writers"]:
                    await asyncio.sleep(0.2)  # to look into a gateway takes it longer than a token
                    now = await system.inspect()
        except TimeoutError:
            pytest.fail(f"of {DEAF} that read nothing not all are held back: {now}")
        print(f"{DEAF} connections full, and the runs held back, after {time.monotonic() - began:.1f} s more")
        for _ in range(ATTEMPTS):
            late = await asyncio.gather(measure_p99_ms(beside_them), measure_p99_ms(alone))
            print(f"p99 beside {DEAF} that read nothing: {late[0]:.1f} ms, without: {late[1]:.1f} ms")
            if not FULL or late[0] <= max(2 * late[1], NOTICED_MS):
                break
        else:
            pytest.fail("others waited for their tokens")
        assert (await system.inspect())["full_connections"] == DEAF
    await wait_until_providers_are_left(system)
    print(f"then {await wait_until_left(system, before)}")


async def test_clients_that_read_nothing_are_given_up(system: System) -> None:
    """After the send timeout, though they stay connected: their providers are left, and nothing of them is."""
    gateway = system.gateways[1]
    before = await settle(system, 1)
    with ExitStack() as deaf:
        await open_deaf(system, gateway, deaf)
        await wait_until_providers_are_left(system)
        print(f"{DEAF} given up; then {await wait_until_left(system, before, 1)}")


async def open_deaf(system: System, gateway: GatewayProcess, stack: ExitStack) -> None:
    """Ask for streams without end, and read nothing of them."""
    system.llm.requests.clear()
    system.llm.tokens, system.llm.delay_s = ("x" * 2000,), 0.0
    for number in range(DEAF):
        stack.enter_context(await open_stream(gateway.url, *ask(number, "anthropic"), reads=False))
        if number % AT_ONCE == 0:  # they are not here to see how many searches there can be at once
            await system.llm.wait_for_request(number)
    await system.llm.wait_for_request(DEAF - 1)


async def wait_until_providers_are_left(system: System) -> None:
    for request in system.llm.requests:
        await asyncio.wait_for(request.disconnected.wait(), WAIT_S)
    system.llm.requests.clear()


async def measure_p99_ms(gateway: GatewayProcess) -> float:
    """How late the latest of a hundred tokens comes."""
    reading = await read(gateway, READERS)
    assert reading.broken == []
    return statistics.quantiles(reading.late_us, n=100)[98] / 1000


async def read(gateway: GatewayProcess, streams: int) -> Reading:
    """Read so many answers of the steady provider to their ends."""
    path, body = ask(0, "openai")
    content = httpx.Request("POST", gateway.url, json=body).content
    return await read_streams(gateway.url + path, content, streams, TOKENS, ramp_s=1 / RATE, most_s=WAIT_S)
