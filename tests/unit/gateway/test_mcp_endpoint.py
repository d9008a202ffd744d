"""What the Model Context Protocol costs those who do not use it, and its first client."""

import subprocess
import sys

from tests.standalone_process import ROOT


def test_the_gateway_starts_without_the_sdk() -> None:
    """Its import takes a second or more, which the time until the port is open does not have."""
    program = "import sys, services.gateway.main; print([name for name in sys.modules if name.startswith('mcp')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


FIRST_REQUESTS = """
import asyncio, sys
from tests.bare_gateway import open_bare_gateway

ASK = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
CALL = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "search", "arguments": {"query": " "}}}

async def main():
    async with open_bare_gateway() as client:
        await client.post("/health")
        (starting,) = [task for task in asyncio.all_tasks() if task.get_name() == "mcp_start"]
        await starting
        before = set(sys.modules)
        for body in (ASK, LIST, CALL):
            response = await client.post("/mcp", json=body, headers={"Accept": "application/json, text/event-stream"})
            assert response.status_code == 200, response.text
            assert "result" in response.text, response.text
        print(sorted(set(sys.modules) - before))

asyncio.run(main())
"""


def test_the_first_request_imports_nothing() -> None:
    """All that it needs is loaded behind the open port: an import would hold up every stream of the process."""
    done = subprocess.run([sys.executable, "-c", FIRST_REQUESTS], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
