"""Shows Pagewire in a minute: starts it, adds the sample PDF, asks a question, streams the answer, stops. `make demo`.

Everything is in a temporary folder and on a free port, so that it runs beside a Pagewire that is in use.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "samples" / "meridian-field-guide.pdf"
QUESTION = "What does fault code E17 mean?"
START_LIMIT_S = 120
"""The first start on a cold disk reads 1 GB of libraries; a warm one takes seconds."""
STOP_LIMIT_S = 20


class DemoError(Exception):
    """A step went wrong; the message is for the person who ran the demo."""


def say(text: str) -> None:
    """Prints at once, in order with what the commands print."""
    print(text, flush=True)  # noqa: T201 a command-line program


def find_free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    """Returns when the server says that it is ready; fails as soon as it has ended."""
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        if server.poll() is not None:
            raise DemoError(f"Pagewire ended with exit code {server.returncode}")
        try:
            with urlopen(f"{url}/health/ready", timeout=2):  # noqa: S310 our own http address
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise DemoError(f"Pagewire was not ready within {START_LIMIT_S} s")


def run_step(*command: str, environment: dict[str, str]) -> None:
    """Runs a `pagewire` command as a user would, with its output on this terminal."""
    say(f"\n$ pagewire {' '.join(command)}")
    program = [sys.executable, "-m", "services.cli", *command]
    code = subprocess.run(program, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 no outside input
    if code != 0:
        raise DemoError(f"`pagewire {command[0]}` ended with exit code {code}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Asks the server to stop, with Redis and all, and makes sure that it does."""
    server.terminate()
    try:
        server.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def run_demo(folder: Path) -> None:
    """The whole demo with its data in `folder`."""
    url = f"http://127.0.0.1:{find_free_port()}"
    environment = os.environ | {
        "PAGEWIRE_HOST": "127.0.0.1",
        "PAGEWIRE_PORT": url.rpartition(":")[2],
        "PAGEWIRE_DATA_DIR": str(folder / "data"),
        "PAGEWIRE_URL": url,
    }
    log = folder / "server.log"
    say(f"Starting Pagewire on {url} (the first start takes longest) ...")
    started = time.monotonic()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "services.standalone"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_ready(server, url)
            say(f"Ready after {time.monotonic() - started:.1f} s.")
            run_step("add", str(SAMPLE.relative_to(ROOT)), environment=environment)
            run_step("ask", QUESTION, environment=environment)
        except DemoError:
            say(f"\nThe last lines of the server's log:\n{log.read_text(errors='replace')[-3000:]}")
            raise
        finally:
            stop(server)
    say("\nStopped; nothing is left behind. Your own PDFs: `make run`.")


def end_by_signal(number: int, _frame: object) -> NoReturn:
    """Turns SIGTERM into an ordinary way out, so that the server is stopped and the folder removed."""
    raise SystemExit(128 + number)


def main() -> int:
    """Exit code 0 when every step went well, 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, end_by_signal)
    try:
        with tempfile.TemporaryDirectory(prefix="pagewire-demo-") as folder:
            run_demo(Path(folder))
    except DemoError as error:
        say(f"\nThe demo failed: {error}.")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; everything is stopped.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
