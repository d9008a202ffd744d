"""A language model for the tests of the compose system: one word, then nothing until it is told to go on.

Runs as a script inside a container, with nothing but Python. `/tmp/ready` says that it listens; `/tmp/go` tells it to
go on; `/tmp/left` says that its client has left before.
"""

import asyncio
import json
from pathlib import Path

READY, GO, LEFT = Path("/tmp/ready"), Path("/tmp/go"), Path("/tmp/left")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def encode(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """One event of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "held", "choices": [choice]}
    return b"data: %s\n\n" % json.dumps(chunk).encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one question."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)
    writer.write(HEAD + encode({"content": "first"}))
    departure = asyncio.create_task(reader.read())
    while not GO.exists():  # noqa: ASYNC240 - nobody else waits here
        await asyncio.wait({departure}, timeout=0.05)
        if departure.done():
            LEFT.touch()  # noqa: ASYNC240
            writer.close()
            return
    departure.cancel()
    writer.write(encode({"content": " second"}) + encode({}, "stop") + b"data: [DONE]\n\n")
    await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until killed."""
    async with await asyncio.start_server(answer, "0.0.0.0", 8000) as server:
        READY.touch()  # noqa: ASYNC240
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
