"""Runs a real nginx in front of a gateway, set up as little as it can be: as people do who know nothing of streams."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.conftest import skip_or_fail
from tests.gateway_process import find_free_port
from tests.standalone_process import ROOT

# Buffering, HTTP/1.0 to the gateway and all else is nginx's default. One process, files in a folder of its own.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off;
  {compression}
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {gateway};
    }}
  }}
}}
"""
COMPRESSION = "gzip on; gzip_types *;"
"""What many add: then a token stays in the compressor until much more has come, unless the answer forbids buffering."""
START_TIMEOUT_S = 60.0


@asynccontextmanager
async def run_nginx(gateway: str, folder: Path, *, compresses: bool = False) -> AsyncIterator[str]:
    """An nginx with its defaults; yields its URL. Skips where there is none, and fails so in CI.

    Parameters:
        compresses: whether it has one setting more.
    """
    port = find_free_port()
    compression = COMPRESSION if compresses else ""
    values = {"folder": folder, "port": port, "gateway": gateway, "compression": compression}
    async with _run(CONFIGURATION.format(**values), folder, port) as url:
        yield url


@asynccontextmanager
async def run_our_nginx(gateway: str, folder: Path) -> AsyncIterator[str]:
    """An nginx as compose sets it up, but for addresses and folders; yields its URL. Skips as the other one does."""
    port = find_free_port()
    ours = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("/tmp/", f"{folder}/"),
        ("worker_processes auto;", "daemon off; master_process off;"),
        ("listen 8000;", f"listen 127.0.0.1:{port};"),
        ("set $gateway gateway;", f"set $gateway {gateway.removeprefix('http://')};"),
        ("http://$gateway:8000;", "http://$gateway;"),
    ):
        assert old in ours
        ours = ours.replace(old, new)
    async with _run(ours, folder, port) as url:
        yield url


@asynccontextmanager
async def _run(text: str, folder: Path, port: int) -> AsyncIterator[str]:
    program = shutil.which("nginx", path="/usr/local/bin:/usr/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if program is None:
        skip_or_fail("no nginx: install it (Debian: nginx-light)")
        return
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    process = await asyncio.create_subprocess_exec(program, "-e", "stderr", "-c", str(configuration))
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(START_TIMEOUT_S), httpx.AsyncClient(base_url=url) as client:
            while process.returncode is None:
                try:
                    await client.get("/health/live")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
        assert process.returncode is None, "nginx ended while it was starting"
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
