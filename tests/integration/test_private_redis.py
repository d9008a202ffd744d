"""The private redis-server ends when we do, and we learn when it does, whoever of the three is killed."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis

from shared import private_redis
from shared.private_redis import PrivateRedis, RedisDidNotStartError, start_private_redis
from tests.standalone_process import ROOT


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets' folders are made; its name is short, as the names of sockets must be."""
    with TemporaryDirectory(prefix="pw-", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


@contextmanager
def run(folder: Path) -> Iterator[tuple[PrivateRedis, int]]:
    """A server and its process id."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(folder / "data", lock.fileno()) as running:
            yield running, ask_process_id(running.url)


def ask_process_id(url: str) -> int:
    client = Redis.from_url(url)
    try:
        return int(client.info("server")["process_id"])  # type: ignore[index]
    finally:
        client.close()


def wait_until_gone(process: int) -> None:
    """Returns when a process is no more, or only waits to be reaped."""
    while True:
        try:
            if " Z " in Path(f"/proc/{process}/stat").read_text():
                return
        except (FileNotFoundError, ProcessLookupError):  # the latter when it goes between the opening and the reading
            return
        time.sleep(0.01)


def test_leaving_ends_the_server_and_its_folder(tmp_path: Path, runtime: Path) -> None:
    """In the moment in which the block is left."""
    with run(tmp_path) as (running, process):
        assert running.guard.poll() is None
        assert len(list(runtime.iterdir())) == 1

    assert not Path(f"/proc/{process}").exists()
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("victim", ["server", "guard"])
def test_the_death_of_either_is_seen_and_leaves_nothing(tmp_path: Path, runtime: Path, victim: str) -> None:
    """A guard that was killed cannot end its server any more: the rest of its group does."""
    with run(tmp_path) as (running, process):
        os.kill(process if victim == "server" else running.guard.pid, signal.SIGKILL)
        asyncio.run(running.wait_until_dead())

    wait_until_gone(process)
    assert list(runtime.iterdir()) == []


def test_a_server_that_cannot_read_its_data_is_seen_at_once(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged append-only file: the error names the log, and nobody waits for a server that has ended."""
    with run(tmp_path):
        pass
    for part in (tmp_path / "data" / "appendonlydir").glob("*.aof"):
        part.write_bytes(b"no redis has written this")
    monkeypatch.setattr(private_redis, "START_TIMEOUT_S", 1e6)

    with pytest.raises(RedisDidNotStartError, match=r"redis\.log"), run(tmp_path):
        pass

    assert list(runtime.iterdir()) == []


STARTER = """
import os, sys, time
from pathlib import Path
from shared.private_redis import start_private_redis
with start_private_redis(Path(sys.argv[1]), os.open(sys.argv[1] + ".lock", os.O_CREAT)) as running:
    print(running.url, flush=True)
    time.sleep(1000)
"""


def test_kill_minus_nine_leaves_nothing(tmp_path: Path, runtime: Path) -> None:
    """Neither a server nor its folder."""
    command = [sys.executable, "-c", STARTER, str(tmp_path / "data")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        process = ask_process_id(starter.stdout.readline().strip())
        starter.kill()

    wait_until_gone(process)
    while list(runtime.iterdir()):
        time.sleep(0.01)
