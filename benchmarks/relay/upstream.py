"""A provider in OpenAI's format that writes tokens at a steady rate: `python -m benchmarks.relay.upstream`.

Each token is ` NUMBER@TIME`: its place in the answer, from 0, and when it was written, in microseconds of the machine's
monotonic clock. So whoever reads it, behind whatever, can tell whether all came and how late. The last ones are a
citation marker, the end, the counts and `[DONE]`, as OpenAI sends them. While it is not read it writes nothing, as any
provider. In a process of its own it is the gateway's search, and finds the same three passages whatever it is asked.
"""

import argparse
import asyncio
import random
import time

import uvloop

from shared.contracts.search import Passage, RerankerState, SearchResponse, SearchTimings, StageScores

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_CHUNK = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795300000,"model":"bench",%s}\n\n'
_DELTA = _CHUNK % b'"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}]'
_STOP = _CHUNK % b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]'
_USAGE = _CHUNK % b'"choices":[],"usage":{"prompt_tokens":42,"completion_tokens":%d,"total_tokens":%d}'
_MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"bench"}]}'
_PASSAGES = [
    Passage(
        document_id="doc_bench",
        chunk_id=n,
        title="Filing",
        page=n + 1,
        start=0,
        end=45,
        text=f"Net sales of unit {n} were 383.3 billion euro.",
        score=0.03,
        scores=StageScores(dense=0.9, bm25=3.0, fused=0.03),
    )
    for n in range(3)
]
_FOUND = SearchResponse(
    passages=_PASSAGES,
    timings_ms=SearchTimings(embed=1, search=1, rerank=None, total=2),
    reranker=RerankerState(status="off", reason="disabled"),
)
_WHOLE = {b"GET": _MODELS, b"POST /search": _FOUND.model_dump_json().encode()}


class Upstream(asyncio.Protocol):
    """One connection; requests on it come one after the other.

    Parameters:
        phases: chooses when in its interval a stream writes.
    """

    def __init__(self, rate: float, tokens: int, phases: random.Random) -> None:
        self._interval_s = 1 / rate
        self._tokens = tokens
        self._phases = phases
        self._received = b""
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None
        self._answering = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the way to write."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop writing."""
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """Wait for the reader."""
        if self._timer is not None:
            self._timer.cancel()

    def resume_writing(self) -> None:
        """Go on; what was due meanwhile is not made up for."""
        if self._answering:
            self._go_on(self._loop.time())

    def data_received(self, data: bytes) -> None:
        """Begin to answer once a request is whole."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        if len(body) < int(length.partition(b":")[2]):
            return
        self._received = b""
        whole = next((answer for begin, answer in _WHOLE.items() if head.startswith(begin)), None)
        if whole is not None:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(whole), whole)
            )
            return
        self._written = 0
        self._answering = True
        self._transport.write(_HEAD)
        self._go_on(self._loop.time() + self._phases.random() * self._interval_s)

    def _go_on(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._write_token)

    def _write_token(self) -> None:
        if self._written == self._tokens:
            self._answering = False
            self._write(_DELTA % b" [1].", _STOP, _USAGE % (self._tokens, self._tokens + 42), b"data: [DONE]\n\n")
            self._transport.write(b"0\r\n\r\n")
            return
        self._go_on(self._due + self._interval_s)
        self._write(_DELTA % (b" %d@%d" % (self._written, time.monotonic_ns() // 1000)))
        self._written += 1

    def _write(self, *events: bytes) -> None:
        self._transport.write(b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events))


async def serve(port: int, rate: float, tokens: int) -> None:
    """Serve until cancelled."""
    phases = random.Random(7)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(rate, tokens, phases), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=50, help="tokens per second and stream")
    parser.add_argument("--tokens", type=int, default=500, help="tokens per stream")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.rate, arguments.tokens))


if __name__ == "__main__":
    main()
