"""Composition root of the whole system in one process: `python -m services.standalone`.

Whatever keeps it from starting (a wrong setting, a port or a data folder in use) is said within a second, before the
model libraries are imported. Redis is a private child process that ends with this one.
"""

import os
import sys

from services.gateway.listen import CannotListenError, bind_socket
from services.gateway.settings import GatewaySettings
from shared.folder_lock import FolderNotUsableError, lock_folder
from shared.private_redis import RedisDidNotStartError, start_private_redis
from shared.settings import load_settings
from shared.telemetry import configure_logging


def _announce(url: str) -> None:
    _say(
        f"\n  Pagewire is ready:  {url}\n"
        f"\n  Add a PDF:          curl -F file=@report.pdf '{url}/documents?wait=60'"
        f"\n  Ask:                curl -N {url}/query/stream -H 'Content-Type: application/json'"
        ' -d \'{"question": "What is it about?"}\'\n'
    )


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person at the terminal


def main() -> None:
    """Entry point."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    gateway = load_settings(GatewaySettings)
    configure_logging("standalone", gateway.log_level, gateway.log_format)
    try:
        with (
            lock_folder(gateway.data_dir) as lock,
            bind_socket(gateway.host, gateway.port, unsent_timeout_s=gateway.send_timeout_s) as listener,
            start_private_redis(gateway.data_dir / "redis", lock) as redis_url,
        ):
            _say("Pagewire is starting: loading the models takes some seconds.")
            from services.gateway.main import create_app, serve
            from services.standalone_system import open_standalone, read_settings

            settings = read_settings(redis_url)
            app = create_app(lambda: open_standalone(settings), settings.gateway)
            serve(app, settings.gateway, listener, on_listening=_announce)
    except (CannotListenError, FolderNotUsableError, RedisDidNotStartError) as error:
        sys.exit(f"pagewire: {error}")


if __name__ == "__main__":
    main()
