"""Clients that ask for a stream over a bare socket, and then do with it what no client library does."""

import asyncio
import json
import socket
import struct
from typing import Any
from urllib.parse import urlsplit


async def open_stream(url: str, path: str, body: dict[str, Any], *, reads: bool = True) -> socket.socket:
    """Ask, and return without having read anything.

    Parameters:
        reads: false for a client that will not read, whose kernel then takes next to nothing in its place.
    """
    client = socket.socket()
    if not reads:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop, target = asyncio.get_running_loop(), urlsplit(url)
    await loop.sock_connect(client, (target.hostname, target.port))
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    await loop.sock_sendall(client, f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return client


async def read_until(client: socket.socket, expected: bytes) -> bytes:
    """Return what has come once this is in it."""
    received = b""
    while expected not in received:
        data = await asyncio.get_running_loop().sock_recv(client, 65536)
        assert data, received
        received += data
    return received


def reset(client: socket.socket) -> None:
    """Close with RST in place of FIN: lingering for 0 seconds makes the kernel send that."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
