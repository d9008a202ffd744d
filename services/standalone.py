"""Composition root of the whole system in one process: `python -m services.standalone`.

Whatever keeps it from starting (a wrong setting, a port or a data folder in use) is said before it listens. Then the
port answers, and the models, whose libraries take seconds to import, load behind it. Redis is a private child process
that ends with this one, and this one with it.
"""

import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from services.gateway.listen import CannotListenError, bind_socket
from services.standalone_settings import StandaloneSettings, load_standalone_settings
from shared.disk import check_free_space, telling_full_disk
from shared.errors import DiskFull
from shared.folder_lock import FolderNotUsableError, lock_folder
from shared.private_redis import RedisDidNotStartError, start_private_redis
from shared.spool_folder import prepare_folder
from shared.telemetry import configure_logging

if TYPE_CHECKING:
    from services.gateway.api.dependencies import GatewayDependencies

BROKEN = "stopped because a part of it broke; the last critical line of the log says which."


def _announce_listening(url: str) -> None:
    _say(f"Pagewire answers on {url} and loads its models, which takes some seconds. PDFs can be added meanwhile.")


def _announce_ready(url: str) -> None:
    _say(
        f"\n  Pagewire is ready:  {url}\n"
        f"\n  Add a PDF:          curl -F file=@report.pdf '{url}/documents?wait=60'"
        f"\n  Ask:                curl -N {url}/query/stream -H 'Content-Type: application/json'"
        ' -d \'{"question": "What is it about?"}\'\n'
    )


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person at the terminal


def _exit_on_signals() -> None:
    """While it starts, a signal ends the process at once; `serve` has handlers of its own.

    Not by an exception: raised in the middle of an import it gets lost in somebody's callback, and the start goes on.
    Nothing is left behind: the end of this process releases the folder, and closes the pipe on which the private Redis
    lives.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda *_: os._exit(0))


def _run(settings: StandaloneSettings, lock: int) -> str | None:
    """Serve until a signal; return why it was ours, should a part have broken."""
    gateway = settings.gateway
    broken: str | None = None
    url = ""

    def stop(error: BaseException | None) -> None:
        nonlocal broken
        broken = broken or (str(error) if isinstance(error, PartNotUsableError) else BROKEN)
        os.kill(os.getpid(), signal.SIGTERM)

    def announce_listening(address: str) -> None:
        nonlocal url
        url = address
        _announce_listening(url)

    prepare_folder(gateway.spool_folder)  # what a process that was killed has left there may be all that is missing
    check_free_space(gateway.data_dir, gateway.min_free_disk_bytes)
    with (
        bind_socket(gateway.host, gateway.port, unsent_timeout_s=gateway.send_timeout_s) as listener,
        start_private_redis(gateway.data_dir / "redis", lock) as redis,
    ):
        from services.gateway.main import create_app, serve
        from services.standalone_system import PartNotUsableError, open_standalone

        private = settings.point_at(redis.url)

        def open_system() -> "AbstractAsyncContextManager[GatewayDependencies]":
            return open_standalone(private, redis, stop=stop, on_loaded=lambda: _announce_ready(url))

        app = create_app(open_system, private.gateway)
        serve(app, private.gateway, listener, on_listening=announce_listening)
    return broken


def main() -> None:
    """Entry point."""
    _exit_on_signals()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = load_standalone_settings()
    gateway = settings.gateway
    configure_logging("standalone", gateway.log_level, gateway.log_format)
    try:
        with telling_full_disk(), lock_folder(gateway.data_dir) as lock:
            problem = _run(settings, lock)
    except (CannotListenError, FolderNotUsableError, RedisDidNotStartError) as error:
        problem = str(error)
    except DiskFull:
        problem = (
            f"Less than {gateway.min_free_disk_mb} MB are free on the disk of {gateway.data_dir.absolute()}."
            " Free some space, or lower PAGEWIRE_MIN_FREE_DISK_MB."
        )
    if problem is not None:
        print(f"pagewire: {problem}", file=sys.stderr, flush=True)  # noqa: T201 - for the person at the terminal
    # Everything is closed. The loader may still be in the middle of an import, which an orderly end of the interpreter
    # would wait for, or crash in.
    os._exit(0 if problem is None else 1)


if __name__ == "__main__":
    main()
