"""Fixtures that more than one test needs: real servers, the real model, and a detector of blocking calls."""

import asyncio
import fcntl
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from shared.telemetry import configure_logging
from tests.patience import PATIENT_S
from tests.standalone_process import StandaloneProcess
from tests.steady_loop import pytest_asyncio_loop_factories as pytest_asyncio_loop_factories

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from testcontainers.core.container import DockerContainer

    from shared.embedding.dense import DenseEmbedder
    from tests.redis_cluster import RedisCluster

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A shell has its background jobs ignore Ctrl-C, and their children inherit that; tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with a hang-up. A handler of ours is not inherited, and lets the tests themselves go on.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

configure_logging("test", "INFO", "json")

CI = os.environ.get("CI") == "true"

# CI tries the same examples each time, so that what fails there is what a change broke; a laptop tries new ones.
# No deadline: these machines are noisy, and no test asserts an absolute time.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("laptop", deadline=None)
hypothesis.settings.load_profile("ci" if CI else "laptop")


def skip_or_fail(reason: str) -> None:
    """A check that cannot run is skipped on a laptop and fails in CI: it never passes silently."""
    if CI:
        pytest.fail(f"{reason} (skips are failures where CI=true)")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fails a test in which our own code blocks the event loop (files, sockets, sleeps, locks)."""
    with blockbuster_ctx(scanned_modules=["services", "shared"]) as detector:
        yield detector


@pytest.fixture(scope="session")
def private_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server for the session. None of its writes waits for the disk, which others may keep busy.

    A write that waited for more than a third of the clients' time would be sent again, and answered differently.
    """
    from shared import private_redis as redis
    from shared.redis_client import connect_redis

    async def leave_the_disk_alone(url: str) -> None:
        client = connect_redis(url, timeout_s=PATIENT_S)
        await client.config_set("appendfsync", "no")
        await client.aclose()

    folder = tmp_path_factory.mktemp("redis")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with redis.start_private_redis(folder / "data", lock.fileno()) as running:
            asyncio.run(leave_the_disk_alone(running.url))
            yield running.url


@pytest.fixture
async def redis_url(private_redis: str) -> str:
    """The session's redis-server, empty."""
    from shared.redis_client import connect_redis

    redis = connect_redis(private_redis, timeout_s=PATIENT_S)
    await redis.flushall()
    await redis.aclose()
    return private_redis


@pytest.fixture
async def redis(redis_url: str) -> "AsyncIterator[Redis]":
    """A client of an empty Redis."""
    from shared.redis_client import connect_redis

    client = connect_redis(redis_url, timeout_s=PATIENT_S)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["RedisCluster"]:
    """A real Redis Cluster for the session."""
    from tests.redis_cluster import run_redis_cluster

    with run_redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def redis_cluster(session_cluster: "RedisCluster") -> "RedisCluster":
    """The session's cluster, empty."""
    session_cluster.flush()
    return session_cluster


@pytest.fixture(scope="session")
def embedder() -> Iterator["DenseEmbedder"]:
    """The real embedding model, loaded once."""
    from shared.embedding.dense import DenseEmbedder

    loaded = DenseEmbedder("all-MiniLM-L6-v2")
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneProcess]:
    """The whole system as a process, for the session; tests add documents of their own and name them."""
    process = StandaloneProcess(tmp_path_factory.mktemp("standalone"))
    yield process
    assert process.stop() == 0, "".join(process.output)


@pytest.fixture(scope="session")
def standalone_url(standalone: StandaloneProcess) -> str:
    """Where the session's system answers."""
    return standalone.url


@pytest.fixture(scope="session")
def qdrant_url() -> Iterator[str]:
    """A real Qdrant server: QDRANT_URL if set, else a container."""
    if given := os.environ.get("QDRANT_URL"):
        yield given
        return
    require_docker("no Qdrant server: set QDRANT_URL or start Docker")
    with run_qdrant() as running:
        yield f"http://127.0.0.1:{running.get_exposed_port(6333)}"


def require_docker(reason: str) -> None:
    """Go on only where Docker answers."""
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode != 0:
        skip_or_fail(reason)


def run_qdrant() -> "DockerContainer":
    """Return a Qdrant server in a container, to be started as a context."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "localhost")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    # The same tag as docker-compose.yml: what is tested is what is run.
    container = DockerContainer("qdrant/qdrant:v1.16.3").with_exposed_ports(6333)
    return container.waiting_for(HttpWaitStrategy(6333, "/readyz").for_status_code(200))
