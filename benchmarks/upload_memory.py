"""Measures the memory of a gateway that takes many large uploads at once: `python -m benchmarks.upload_memory`.

Prints its resident memory before, at most during, and after. The gateway is a process of its own, with a Redis of its
own and a folder for blobs; nothing ingests. Takes `uploads × megabytes` of disk, which are freed in the end.
"""

import argparse
import asyncio
import fcntl
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from shared.private_redis import start_private_redis

MEGABYTE = 1024 * 1024
PIECE = b"\0" * (64 * 1024)
HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="%d.pdf"\r\n\r\n%%PDF-1.7\n'
TAIL = b"\r\n--B--\r\n"


def read_memory(process: int, field: str = "VmRSS") -> float:
    """Return the resident memory of a process in MB; `VmHWM` for the most that it ever was."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def upload(client: httpx.AsyncClient, number: int, size: int) -> int:
    """Send one upload of `size` bytes; return the status."""

    async def write_body() -> AsyncIterator[bytes]:
        yield HEAD % number
        for _ in range(size // len(PIECE)):
            yield PIECE
        yield TAIL

    length = len(HEAD % number) + size // len(PIECE) * len(PIECE) + len(TAIL)
    headers = {"Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(length)}
    response = await client.post("/documents", content=write_body(), headers=headers)
    return response.status_code


async def measure(url: str, process: int, uploads: int, size: int) -> None:
    """Send all uploads at once, and print a line for each moment."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits, trust_env=False) as client:
        while True:
            try:
                await client.get("/health/live")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        idle = read_memory(process)
        print(f"idle      {idle:7.0f} MB")
        began = time.monotonic()
        statuses = Counter(await asyncio.gather(*(upload(client, number, size) for number in range(uploads))))
        took = time.monotonic() - began
        print(
            f"at most   {read_memory(process, 'VmHWM'):7.0f} MB, {read_memory(process, 'VmHWM') - idle:.0f} over idle"
        )
        print(f"after     {read_memory(process):7.0f} MB, {read_memory(process) - idle:.0f} over idle")
        print(f"{uploads} uploads of {size // MEGABYTE} MB in {took:.1f} s, by status: {dict(statuses)}")


def main() -> None:
    """Start the parts and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=50)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(folder) / "redis", lock.fileno()) as redis:
            environment = os.environ | {
                "PAGEWIRE_REDIS_URL": redis.url,
                "PAGEWIRE_DATA_DIR": str(Path(folder) / "data"),
                "PAGEWIRE_PORT": str(port),
                "PAGEWIRE_MAX_UPLOAD_MB": str(arguments.megabytes + 1),
                "PAGEWIRE_LOG_LEVEL": "ERROR",
            }
            with subprocess.Popen([sys.executable, "-m", "services.gateway.main"], env=environment) as gateway:
                try:
                    size = arguments.megabytes * MEGABYTE
                    asyncio.run(measure(f"http://127.0.0.1:{port}", gateway.pid, arguments.uploads, size))
                finally:
                    gateway.terminate()


if __name__ == "__main__":
    main()
