"""What is measured: each system a process of its own, in front of the same upstream."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.integration.conftest import publish_document
from tests.standalone_process import ROOT, make_environment

START_S: Final = 60.0
LITELLM_VENV: Final = Path(__file__).parent / ".venv-litellm"


@dataclass(frozen=True)
class System:
    """How one system is started and asked.

    Attributes:
        path: what is asked with POST.
        body: the JSON that is sent.
        most_streams: more than these it is not asked for at once; None: as many as there are.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    path: str
    body: Mapping[str, Any]
    health: str = "/health"
    most_streams: int | None = None

    def dump_body(self) -> bytes:
        """Return the body of a request."""
        return json.dumps(self.body).encode()


@dataclass(frozen=True)
class Running:
    """A process that answers at `url`."""

    url: str
    process: int


def find_free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def pin(process: int, cores: set[int] | None) -> None:
    """Keep a process, with the threads it starts from now on, on these cores."""
    if cores:
        os.sched_setaffinity(process, cores)


@asynccontextmanager
async def run_process(
    command: Sequence[str], environment: Mapping[str, str], port: int, *, health: str, cores: set[int] | None
) -> AsyncIterator[Running]:
    """A process that listens on `port`; leaving ends it, whatever it is at."""
    log = asyncio.subprocess.DEVNULL if "BENCH_VERBOSE" not in os.environ else None
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=dict(environment), stdout=log, stderr=log)
    pin(process.pid, cores)
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(START_S), httpx.AsyncClient(trust_env=False) as client:
            while process.returncode is None:
                try:
                    await client.get(url + health)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        if process.returncode is not None:
            raise RuntimeError(f"{command[:4]} ended with {process.returncode}; BENCH_VERBOSE=1 shows why")
        yield Running(url, process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def run_upstream(rate: float, tokens: int, cores: set[int] | None) -> AsyncIterator[str]:
    """The provider; yields its base URL as OpenAI's SDK takes it.

    Where it could write more than the core of the clients is enough for, it is the one that waits.
    """
    port = find_free_port()
    command = [
        sys.executable,
        "-m",
        "benchmarks.relay.upstream",
        f"--port={port}",
        f"--rate={rate}",
        f"--tokens={tokens}",
    ]
    async with run_process(command, os.environ, port, health="/v1/models", cores=cores) as running:
        os.setpriority(os.PRIO_PROCESS, running.process, 10)
        yield f"{running.url}/v1"


@asynccontextmanager
async def run_search(cores: set[int] | None) -> AsyncIterator[str]:
    """The search: the provider's program, too, but in a process that has nothing else to do."""
    port = find_free_port()
    command = [sys.executable, "-m", "benchmarks.relay.upstream", f"--port={port}"]
    async with run_process(command, os.environ, port, health="/v1/models", cores=cores) as running:
        yield running.url


async def prepare_gateway(folder: Path, redis_url: str, upstream: str, search: str) -> dict[str, str]:
    """Publish a document, so that there is one to ask about; return a gateway's environment."""
    async with connect_redis(redis_url, timeout_s=5) as redis:
        await publish_document(RedisDocumentRegistry(redis))
    return make_environment(
        folder,
        {
            "PAGEWIRE_REDIS_URL": redis_url,
            "PAGEWIRE_RETRIEVAL_URL": search,
            "PAGEWIRE_LOG_LEVEL": "INFO",
            "PAGEWIRE_MAX_CONTINUED_RUNS": "10000",
            "PAGEWIRE_ANSWER_CACHE": "off",  # all ask the same
            "OPENAI_BASE_URL": upstream,
            "PAGEWIRE_OPENAI_MODEL": "bench",
        },
    )


def list_systems(gateway: Mapping[str, str], upstream: str, folder: Path) -> list[tuple[System, int]]:
    """Return what can be measured here, each with the port that it listens on."""
    question = {"question": "What were the net sales?"}
    chat = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "What were the net sales?"}]}
    python = sys.executable
    ports = [find_free_port() for _ in range(7)]
    typed = {**os.environ, "BENCH_UPSTREAM": upstream}

    def serve(module: str, port: int) -> list[str]:
        options = ["--port", str(port), "--no-access-log", "--log-level", "error"]
        return [python, "-m", "uvicorn", f"benchmarks.relay.{module}:app", *options]

    systems = [
        (
            System(
                name,
                [python, "-m", "services.gateway.main"],
                {**gateway, "PAGEWIRE_PORT": str(port)},
                "/query/stream",
                {**question, "on_disconnect": mode},
            ),
            port,
        )
        for name, mode, port in (("pagewire", "cancel", ports[0]), ("pagewire-continue", "continue", ports[1]))
    ]
    systems.append((System("bare", serve("bare_server", ports[6]), typed, "/", question), ports[6]))
    for name, port in (("typed-sse", ports[2]), ("typed-streaming", ports[3]), ("tutorial", ports[4])):
        systems.append((System(name, serve("typed_servers", port), typed, f"/{name}", question), port))
    if (LITELLM_VENV / "bin" / "litellm").exists():  # `make bench` installs it
        systems.append((_make_litellm(ports[5], upstream, folder, chat), ports[5]))
    return systems


def _make_litellm(port: int, upstream: str, folder: Path, chat: Mapping[str, Any]) -> System:
    config = folder / "litellm.json"  # JSON is YAML, too
    parameters = {"model": "openai/bench", "api_base": upstream, "api_key": "sk-bench"}
    config.write_text(json.dumps({"model_list": [{"model_name": "bench", "litellm_params": parameters}]}))
    command = [str(LITELLM_VENV / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
    return System(
        "litellm",
        [*command, "--port", str(port), "--num_workers", "1"],
        environment,
        "/v1/chat/completions",
        chat,
        health="/health/liveliness",
        most_streams=200,
    )
