"""Reads many streams at once, checks each token and notes how late it came."""

import asyncio
import re
import time
from array import array
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools

_REFUSALS = (429, 503)
_TOKEN = re.compile(rb" (\d+)@(\d+)")


@dataclass
class Reading:
    """What came of all streams.

    Attributes:
        late_us: for each token in the order of arrival, microseconds from its writing to its arrival here.
        begun: how many of them arrived before all streams had begun.
        cut_off: streams that were left before their end.
        refused: questions that were not answered because the server has too much to do.
        broken: what was wrong with the streams that were not whole.
    """

    expected: int
    tokens: int = 0
    late_us: "array[int]" = field(default_factory=lambda: array("q"))
    begun: int = 0
    cut_off: int = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)


class StreamReader(asyncio.Protocol):
    """One request and its answer; `done` is set at the answer's end, or with what went wrong."""

    def __init__(self, request: bytes, reading: Reading) -> None:
        self._request = request
        self._reading = reading
        self._parser: Any = httptools.HttpResponseParser(self)
        self._next = 0
        self._rest = b""
        self._now_us = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask."""
        self._transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an end that came too early."""
        self._finish(f"closed after {self._next} tokens")

    def data_received(self, data: bytes) -> None:
        """Note the time and read on."""
        self._now_us = time.monotonic_ns() // 1000
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Check the tokens of a piece of the answer; httptools calls this."""
        whole, newline, self._rest = (self._rest + body).rpartition(b"\n")
        for number, written in _TOKEN.findall(whole + newline):
            if int(number) != self._next:
                self._finish(f"token {int(number)} came where {self._next} was due")
                return
            self._next += 1
            self._reading.tokens += 1
            self._reading.late_us.append(self._now_us - int(written))

    def on_message_complete(self) -> None:
        """Check that all tokens came; httptools calls this."""
        status = self._parser.get_status_code()
        if status in _REFUSALS and not self.done.done():
            self._reading.refused += 1
            self._finish(None)
        whole = status == 200 and self._next == self._reading.expected
        self._finish(None if whole else f"status {status}, {self._next} tokens")

    def leave(self) -> None:
        """Close the connection, whatever is still to come."""
        if not self.done.done():
            self._reading.cut_off += 1
            self.done.set_result(None)
            self._transport.abort()

    def _finish(self, problem: str | None) -> None:
        if not self.done.done():
            if problem is not None:
                self._reading.broken.append(problem)
            self.done.set_result(None)
            self._transport.close()


async def read_streams(url: str, body: bytes, streams: int, tokens: int, *, ramp_s: float, most_s: float) -> Reading:
    """Ask `streams` times, spread over `ramp_s`, and read all answers to their end; leave after `most_s` seconds."""
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or 80
    request = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer sk-bench\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    reading = Reading(expected=tokens)
    loop = asyncio.get_running_loop()
    until = loop.time() + most_s

    async def read_one(number: int) -> None:
        await asyncio.sleep(ramp_s * number / streams)
        _, reader = await loop.create_connection(lambda: StreamReader(request, reading), host, port)
        reading.begun = len(reading.late_us)
        await asyncio.wait([reader.done], timeout=until - loop.time())
        reader.leave()

    await asyncio.gather(*(read_one(number) for number in range(streams)))
    return reading
