"""Runs between two gateway processes on one Redis: cut, resumed elsewhere, left, stopped, killed.

`make test` takes a sample with a fixed seed; `make chaos` sets PAGEWIRE_CHAOS=1 and takes all of it.
"""

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from mcp import Client

from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.gateway_process import (
    GATEWAY,
    INSPECTED,
    GatewayProcess,
    find_free_port,
    run_canned_search,
    run_gateway_process,
)
from tests.integration.conftest import StreamEvent, publish_document, read_stream
from tests.llm_server import LlmServer, Scenario, run_llm_server
from tests.patience import PATIENT_S
from tests.raw_stream import open_stream

FULL = os.environ.get("PAGEWIRE_CHAOS") == "1"
CUTS = 100 if FULL else 12
DISCONNECTS = 500 if FULL else 40
ROLLING = 200 if FULL else 20
AT_ONCE = 20
WAYS = ("cancel", "continue")
TOKENS = tuple(f" t{n}é" for n in range(400))
SEED = 6

pytestmark = [pytest.mark.timeout(600 if FULL else 300), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class System:
    """Two gateways with a client for each, and what they are started with."""

    gateways: tuple[GatewayProcess, GatewayProcess]
    clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    llm: LlmServer
    environment: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(private_redis: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Started once: a gateway takes seconds to start, and is the same for all that it is asked."""
    async with AsyncExitStack() as stack:
        llm = await stack.enter_async_context(run_llm_server())
        llm.tokens = TOKENS
        redis = await stack.enter_async_context(connect_redis(private_redis, timeout_s=PATIENT_S))
        await redis.flushall()
        document_id = await publish_document(RedisDocumentRegistry(redis, deadline_s=PATIENT_S))
        environment = {
            "PAGEWIRE_REDIS_URL": private_redis,
            "PAGEWIRE_RETRIEVAL_URL": await stack.enter_async_context(run_canned_search(document_id)),
            "OPENAI_BASE_URL": llm.urls["openai"],
            "PAGEWIRE_OPENAI_MODEL": Scenario.OK,
            "ANTHROPIC_API_KEY": "sk-ours",
            "ANTHROPIC_BASE_URL": llm.urls["anthropic"],
            "PAGEWIRE_ANTHROPIC_MODEL": Scenario.ENDLESS,
        }
        folder = tmp_path_factory.mktemp("gateways")
        starting = [stack.enter_async_context(run_gateway_process(environment, folder)) for _ in range(2)]
        first, second = await asyncio.gather(*starting)
        clients = [await stack.enter_async_context(open_client(gateway)) for gateway in (first, second)]
        yield System((first, second), (clients[0], clients[1]), llm, environment)


@pytest.fixture
def system(running: System) -> System:
    """The system, with a provider that is quick."""
    running.llm.delay_s = 0.001
    running.llm.requests.clear()
    return running


def open_client(gateway: GatewayProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, timeout=PATIENT_S, limits=httpx.Limits(max_connections=None))


def ask(on_disconnect: str = "continue") -> dict[str, Any]:
    return {"question": "How much?", "provider": "openai", "on_disconnect": on_disconnect}


async def take(response: httpx.Response, count: int) -> list[StreamEvent]:
    """The first events of a stream, or all."""
    events: list[StreamEvent] = []
    async for event in read_stream(response):
        events.append(event)
        if len(events) == count:
            break
    return events


async def resume(client: httpx.AsyncClient, run_id: str, after: str, count: int = 10**9) -> list[StreamEvent]:
    """What comes of a run behind the event `after`."""
    async with client.stream("GET", f"/runs/{run_id}/events", headers={"Last-Event-ID": after}) as response:
        assert response.status_code == 200, await response.aread()
        return await take(response, count)


def check_whole(events: list[StreamEvent]) -> None:
    """The text is the reference's, no event came twice, and exactly one is terminal, last."""
    assert "".join(event.data["token"] for event in events if event.event == "token") == "".join(TOKENS)
    assert [event.id for event in events] == [str(n) for n in range(3, len(events) + 3)]
    assert [event.event for event in events if event.event != "token"] == ["sources"]


async def test_a_run_that_is_cut_anywhere_goes_on_at_the_other_gateway(system: System) -> None:
    """Cut twice at random places, each time resumed at the other process: no token lost, none twice, one end."""
    places = random.Random(SEED)
    gate = asyncio.Semaphore(AT_ONCE)

    async def cut_and_resume() -> None:
        first, second = sorted(places.randint(1, len(TOKENS)) for _ in range(2))
        async with gate:
            async with system.clients[0].stream("POST", "/query/stream", json=ask()) as response:
                run_id = response.headers["X-Run-Id"]
                events = await take(response, first)
            events += await resume(system.clients[1], run_id, events[-1].id, max(1, second - first))
            if events[-1].event == "token":
                events += await resume(system.clients[0], run_id, events[-1].id)
        check_whole(events)
        # The first time the end may still be on its way to Redis, and is waited for.
        headers = {"Last-Event-ID": events[-1].id}
        again = [await system.clients[1].get(f"/runs/{run_id}/events", headers=headers) for _ in range(2)]
        assert "event:" not in again[0].text
        assert again[1].status_code == 204

    async with asyncio.TaskGroup() as group:
        for _ in range(CUTS):
            group.create_task(cut_and_resume())


async def test_random_disconnects_leave_nothing(system: System) -> None:
    """Each that cancels closes its connection to the provider, at once and also while others go on; each that continues
    comes to its end and can be read; then no connection is left."""
    places = random.Random(SEED)
    gate = asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()
    left: dict[str, float] = {}
    run_ids: list[str] = []

    async def leave(n: int, body: dict[str, Any]) -> None:
        count = places.randint(1, len(TOKENS) - 1)
        question = f"question {n}?"
        async with gate:
            async with system.clients[0].stream(
                "POST", "/query/stream", json={**body, "question": question}
            ) as response:
                if body["on_disconnect"] == "continue":
                    run_ids.append(response.headers["X-Run-Id"])
                await take(response, count)
            left[question] = loop.time()

    await leave(0, ask("cancel"))
    before = count_files(system.gateways[0])
    async with asyncio.TaskGroup() as group:
        for n in range(1, DISCONNECTS):
            body = ask("continue") if n % 4 == 0 else {**ask("cancel"), "provider": "anthropic"}
            group.create_task(leave(n, body))
    for run_id in run_ids:
        check_whole(await resume(system.clients[1], run_id, "0"))
    took: list[float] = []
    for request in system.llm.requests:
        if request.provider == "anthropic":
            await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)
            asked = request.body["messages"][-1]["content"]
            question = next(question for question in left if f"\n{question}\n" in asked)
            took.append(request.disconnected_at - left[question])
    assert len(took) == len(system.llm.requests) - len(run_ids) - 1
    took.sort()
    print(f"upstream closed: p50 {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[int(len(took) * 0.99)] * 1e3:.1f} ms")
    async with asyncio.timeout(PATIENT_S):
        while count_files(system.gateways[0]) > before + 2 * AT_ONCE:  # idle connections, of clients and providers
            await asyncio.sleep(0.05)


def count_files(gateway: GatewayProcess) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("on_disconnect", WAYS)
async def test_a_stop_at_either_gateway_ends_the_run(system: System, on_disconnect: str) -> None:
    """DELETE at the other process: its readers get what there is, and `finish_reason: stopped`.

    Once it has ended, one that ends with its client is unknown."""
    system.llm.delay_s = 0.05
    async with system.clients[0].stream("POST", "/query/stream", json=ask(on_disconnect)) as response:
        run_id = response.headers["X-Run-Id"]
        stream = read_stream(response)
        await anext(stream)
        assert (await system.clients[1].delete(f"/runs/{run_id}")).status_code == 204
        rest = [event async for event in stream]

    assert rest[-1].event == "sources"
    assert rest[-1].data["finish_reason"] == "stopped"
    again = await system.clients[1].delete(f"/runs/{run_id}")
    assert again.status_code == (204 if on_disconnect == "continue" else 404)
    assert (await system.clients[1].delete("/runs/run_unknown")).status_code == 404


async def test_the_readers_of_a_killed_gateway_get_a_retryable_error(system: System, tmp_path: Path) -> None:
    """SIGKILL in the middle of a run: whoever resumes elsewhere is told within seconds, and nobody waits for ever."""
    system.llm.delay_s = 0.05
    starting = run_gateway_process(system.environment, tmp_path, module=GATEWAY)  # which is soon taken for dead
    async with starting as doomed, open_client(doomed) as client:
        async with client.stream("POST", "/query/stream", json=ask()) as response:
            run_id = response.headers["X-Run-Id"]
            seen = await take(response, 3)
            (known,) = await resume(system.clients[1], run_id, seen[0].id, 1)
            doomed.kill()
        events = await asyncio.wait_for(resume(system.clients[1], run_id, known.id), PATIENT_S)
        # Who sat beside the writer may have had more than was written.
        (late,) = await asyncio.wait_for(resume(system.clients[1], run_id, str(int(known.id) + 100)), PATIENT_S)

    assert [event.event for event in events if event.event != "token"] == ["error"]
    error = events[-1].data["error"]
    assert (error["code"], error["retryable"]) == ("run_lost", True)
    assert int(events[-1].id) >= int(known.id) + len(events)
    assert late.data == events[-1].data


async def test_a_rolling_restart_takes_no_token(system: System, tmp_path: Path) -> None:
    """Two gateways restarted one after the other under `continue` streams: every client gets the whole text, those who
    are cut off by resuming at the other."""
    system.llm.delay_s = 0.01 if FULL else 0.005  # a gateway that stops waits for its answers
    environment = {**system.environment, "PAGEWIRE_SHUTDOWN_GRACE_S": "60"}
    ports = [find_free_port() for _ in range(2)]
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(run_gateway_process(environment, tmp_path, port)) for port in ports]
        gateways = await asyncio.gather(*starting)
        clients = [await stack.enter_async_context(open_client(gateway)) for gateway in gateways]
        asking = [asyncio.create_task(ask_until_whole(clients, n % 2)) for n in range(ROLLING)]
        for number, gateway in enumerate(gateways):
            while len(system.llm.requests) < ROLLING // 2 * (number + 1):
                await asyncio.sleep(0.01)
            asking += [asyncio.create_task(ask_until_whole(clients, 1 - number)) for _ in range(ROLLING // 2)]
            assert await gateway.stop() in (0, -signal.SIGTERM)
            await stack.enter_async_context(run_gateway_process(environment, tmp_path, ports[number]))
        for events in await asyncio.gather(*asking):
            check_whole(events)


async def ask_until_whole(clients: Sequence[httpx.AsyncClient], first: int) -> list[StreamEvent]:
    """What a client gets that goes to the other gateway when one refuses, breaks off or says that it stops."""
    run_id, events, number = "", list[StreamEvent](), first
    while not events or events[-1].event != "sources":
        with suppress(httpx.TransportError):
            if not run_id:
                request = clients[number].stream("POST", "/query/stream", json=ask())
            else:
                headers = {"Last-Event-ID": events[-1].id} if events else {}
                request = clients[number].stream("GET", f"/runs/{run_id}/events", headers=headers)
            async with request as response:
                if response.status_code == 200:
                    run_id = response.headers["X-Run-Id"]
                    async for event in read_stream(response):
                        assert event.event != "error" or event.data["error"]["code"] == "server_shutdown"
                        events += [event] * (event.event != "error")
                else:
                    assert response.status_code == 503
        number = 1 - number
        await asyncio.sleep(0.01)
    return events


async def test_sigterm_ends_every_request_within_the_grace_period(system: System, tmp_path: Path) -> None:
    """Streams with a terminal event, a whole answer and an upload with a 503; a client that reads nothing holds nobody
    up; the process ends by itself, without a word of faults, and the providers are left."""
    environment = {**system.environment, "PAGEWIRE_SHUTDOWN_GRACE_S": "4"}
    body = {**ask("cancel"), "provider": "anthropic"}  # endless
    starting = run_gateway_process(environment, tmp_path, module=INSPECTED)
    async with starting as gateway, open_client(gateway) as client:
        deaf = await open_full_connection(system, client, body)
        system.llm.delay_s = 0.01
        streams = [asyncio.create_task(read_stream_to_end(client, {**body, "on_disconnect": how})) for how in WAYS * 5]
        whole = asyncio.create_task(client.post("/query", json=body))
        upload = asyncio.create_task(upload_without_end(client.base_url))
        while len(system.llm.requests) < len(streams) + 2:  # the whole answer's, too, and the one that nobody reads
            await asyncio.sleep(0.01)
        await wait_for_upload(tmp_path)
        status = await asyncio.wait_for(gateway.stop(), PATIENT_S)
        deaf.close()

        assert status in (0, -signal.SIGTERM)
        for stream in streams:
            *_, last = await stream
            assert (last.event, last.data["error"]["code"]) == ("error", "server_shutdown")
        assert ((await whole).status_code, (await whole).json()["error"]["code"]) == (503, "server_shutdown")
        answer = await upload
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"server_shutdown"' in answer
    for request in system.llm.requests:
        await asyncio.wait_for(request.disconnected.wait(), PATIENT_S)
    assert "Traceback" not in gateway.log.read_text()


async def test_ctrl_c_ends_every_request_at_once(system: System, tmp_path: Path) -> None:
    """However long the grace period is: who presses it does not want to wait for an upload either."""
    environment = {**system.environment, "PAGEWIRE_SHUTDOWN_GRACE_S": "600"}
    async with run_gateway_process(environment, tmp_path) as gateway, open_client(gateway) as client:
        stream = asyncio.create_task(read_stream_to_end(client, {**ask("cancel"), "provider": "anthropic"}))
        upload = asyncio.create_task(upload_without_end(client.base_url))
        while not system.llm.requests:
            await asyncio.sleep(0.01)
        await wait_for_upload(tmp_path)
        assert await asyncio.wait_for(gateway.stop(signal.SIGINT), PATIENT_S) == 0

        assert (await stream)[-1].data["error"]["code"] == "server_shutdown"
        assert b'"server_shutdown"' in await upload


async def test_ctrl_c_once_more_ends_what_is_left(system: System, tmp_path: Path) -> None:
    """A client that reads nothing has the grace period, however long that is, until somebody presses it again; the log
    says nothing of faults then."""
    environment = {**system.environment, "PAGEWIRE_SHUTDOWN_GRACE_S": "600", "PAGEWIRE_SEND_TIMEOUT_S": "600"}
    starting = run_gateway_process(environment, tmp_path, module=INSPECTED)
    async with starting as gateway, open_client(gateway) as client:
        deaf = await open_full_connection(system, client, {**ask("cancel"), "provider": "anthropic"})
        ending = asyncio.create_task(gateway.stop(signal.SIGINT))
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=gateway.url) as newcomer:
                while not ending.done():
                    await newcomer.get("/health", headers={"Connection": "close"})
        assert not ending.done()
        gateway.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(ending, PATIENT_S) == 0
        deaf.close()

    assert "Traceback" not in gateway.log.read_text()


async def test_sigterm_lets_the_answers_of_the_model_context_protocol_come_to_their_end(
    system: System, tmp_path: Path
) -> None:
    """In both kinds of its revisions: their streams are the SDK's own, and no other than ours."""
    system.llm.delay_s = 0.005
    environment = {**system.environment, "PAGEWIRE_SHUTDOWN_GRACE_S": "60"}
    async with run_gateway_process(environment, tmp_path) as gateway:
        asking = [asyncio.create_task(ask_by_tool(gateway.url, mode)) for mode in ("legacy", "auto")]
        while len(system.llm.requests) < len(asking):
            await asyncio.sleep(0.01)
        status = await asyncio.wait_for(gateway.stop(), PATIENT_S)

        assert status in (0, -signal.SIGTERM)
        assert await asyncio.gather(*asking) == ["".join(TOKENS).strip()] * 2


async def ask_by_tool(url: str, mode: str) -> str:
    async with Client(f"{url}/mcp", mode=mode, read_timeout_seconds=PATIENT_S) as client:
        await client.list_tools()  # by whose schemas it checks the result
        result = await client.call_tool("ask", {"question": "How much?"})
    answer: str = result.structured_content["answer"]
    return answer


async def read_stream_to_end(client: httpx.AsyncClient, body: dict[str, Any]) -> list[StreamEvent]:
    async with client.stream("POST", "/query/stream", json=body) as response:
        return [event async for event in read_stream(response)]


async def upload_without_end(url: httpx.URL) -> bytes:
    """Send a form whose file does not come to its end, until there is an answer; return that."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = b"POST /documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += b"Content-Length: 1000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=file; filename=a.pdf\r\n"
    writer.write(head + b"\r\n%PDF-1.7")
    answering = asyncio.create_task(reader.read())
    while not answering.done():
        writer.write(b"more")
        await asyncio.wait({answering}, timeout=0.005)
    writer.close()
    return await answering


async def wait_for_upload(data: Path) -> None:
    """Return when the gateway with this data folder receives a file."""
    spool = data / "spool"
    while not list(spool.iterdir()):
        await asyncio.sleep(0.01)


async def open_full_connection(system: System, client: httpx.AsyncClient, body: dict[str, Any]) -> socket.socket:
    """Ask for a stream and read nothing of it; return when the gateway waits for that."""
    system.llm.tokens, system.llm.delay_s = ("x" * 4000,), 0.0
    deaf = await open_stream(str(client.base_url), "/query/stream", body, reads=False)
    while not (await client.get("/inspect")).json()["full_connections"]:
        await asyncio.sleep(0.01)
    system.llm.tokens = TOKENS
    return deaf


async def test_a_stalled_redis_takes_no_token_from_a_connected_client(system: System, private_redis: str) -> None:
    """Redis stops answering in the middle of a run: the client that is connected gets the whole answer, and when Redis
    is back, others can read it."""
    system.llm.delay_s = 0.002
    async with connect_redis(private_redis, timeout_s=PATIENT_S) as redis:
        process = int((await redis.info("server"))["process_id"])
    async with system.clients[0].stream("POST", "/query/stream", json=ask()) as response:
        run_id = response.headers["X-Run-Id"]
        stream = read_stream(response)
        events = [await anext(stream)]
        os.kill(process, signal.SIGSTOP)
        try:
            events += [event async for event in stream]
        finally:
            os.kill(process, signal.SIGCONT)

    check_whole(events)
    check_whole(await resume(system.clients[1], run_id, "0"))
