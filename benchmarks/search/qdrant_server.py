"""A Qdrant server from its binary, in a folder of its own, whose memory and disk can be looked at."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.gateway_process import find_free_port

START_S = 60.0


@dataclass(frozen=True)
class QdrantServer:
    """A server that answers."""

    url: str
    grpc_port: int
    process: subprocess.Popen[bytes]
    folder: Path

    def measure_memory(self) -> tuple[float, float]:
        """Return gigabytes that it has for itself, and those of its files that are in memory now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
        return kilobytes["RssAnon"] / 1e6, (kilobytes["RssFile"] + kilobytes["RssShmem"]) / 1e6

    def measure_disk(self) -> float:
        """Return gigabytes of its folder."""
        return sum(path.lstat().st_blocks * 512 for path in self.folder.rglob("*")) / 1e9


@contextmanager
def run_qdrant_server(binary: Path, folder: Path) -> Iterator[QdrantServer]:
    """Start the server, as nice as the caller is, and end it afterwards."""
    port, grpc_port = find_free_port(), find_free_port()
    variables = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(port),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc_port),
        "QDRANT__STORAGE__STORAGE_PATH": str(folder / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(folder / "snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__LOG_LEVEL": "WARN",
    }
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary.resolve()], cwd=folder, env=os.environ | variables, stdout=log, stderr=log)
    try:
        _wait_until_ready(url)
        yield QdrantServer(url, grpc_port, process, folder)
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(url: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)
