"""Measures one system with one number of streams."""

import asyncio
import os
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.relay.process_usage import read_busy_s, read_cpu_s, read_memory_kb
from benchmarks.relay.readers import read_streams
from benchmarks.relay.systems import Running, System

WARM_UP: Final = 5
"""Streams that are read before: the first request of a process imports and connects."""
SAMPLE_S: Final = 0.25
REQUESTS_PER_S: Final = 50
MOST_RAMP_S: Final = 10.0
"""How fast the streams begin, and how long that takes at most: all together they would in no real system."""
FULL: Final = 0.95
"""Share of their core at which the clients and the provider are late themselves."""


@dataclass(frozen=True)
class Measurement:
    """What one system did with so many streams.

    Attributes:
        cpu_us: microseconds of CPU of the system's process per token, of the whole run with its requests.
        core: share of one core that was used while the streams ran.
        clients: share of what clients and provider may use that was used.
        p50_ms, p99_ms: from the provider's writing of a token to its arrival at the client.
        steady_p99_ms: the same of those that arrive when all streams have begun.
        kb_per_stream: resident memory at most, less that before, per stream that was not refused.
        cut_off: streams that had not ended when the time was over; up to there they were whole.
        refused: streams that never began, because the system had too much to do and said so (429, 503).
        broken: streams that were not whole, with what was wrong.
    """

    system: str
    streams: int
    tokens: int
    cpu_us: float
    tokens_per_s: float
    core: float
    clients: float
    p50_ms: float
    p99_ms: float
    steady_p99_ms: float
    kb_per_stream: float
    cut_off: int
    refused: int
    broken: list[str]

    @property
    def late_clients(self) -> bool:
        """Whether the latency is also that of clients and provider."""
        return self.clients >= FULL

    def count_streams_per_core(self, rate: float) -> float:
        """Return how many streams of `rate` tokens a second the CPU of one core is enough for."""
        return 1e6 / self.cpu_us / rate if self.cpu_us else 0.0


async def measure(
    system: System, running: Running, *, streams: int, tokens: int, most_s: float, client_cores: Collection[int]
) -> Measurement:
    """Read the streams to their ends, but no longer than `most_s` seconds, and note what that took.

    Parameters:
        client_cores: those that clients and provider may use.
    """
    url, body = running.url + system.path, system.dump_body()
    await read_streams(url, body, WARM_UP, tokens, ramp_s=0, most_s=most_s)
    before_kb, most_kb = read_memory_kb(running.process), 0
    began, cpu_s = time.monotonic(), read_cpu_s(running.process)
    busy_s, own_s = read_busy_s(client_cores), read_cpu_s(os.getpid())
    reading = asyncio.create_task(
        read_streams(url, body, streams, tokens, ramp_s=min(streams / REQUESTS_PER_S, MOST_RAMP_S), most_s=most_s)
    )
    while not reading.done():
        await asyncio.wait({reading}, timeout=SAMPLE_S)
        most_kb = max(most_kb, read_memory_kb(running.process))
    read = await reading
    took, cpu_s = time.monotonic() - began, read_cpu_s(running.process) - cpu_s
    busy_s, own_s = read_busy_s(client_cores) - busy_s, read_cpu_s(os.getpid()) - own_s
    late, steady = _find_percentiles(read.late_us), _find_percentiles(read.late_us[read.begun :])
    return Measurement(
        system=system.name,
        streams=streams,
        tokens=read.tokens,
        cpu_us=cpu_s / max(1, read.tokens) * 1e6,
        tokens_per_s=read.tokens / took,
        core=cpu_s / took,
        clients=max(busy_s / len(client_cores), own_s) / took,
        p50_ms=late[49] / 1000,
        p99_ms=late[98] / 1000,
        steady_p99_ms=steady[98] / 1000,
        kb_per_stream=(most_kb - before_kb) / max(1, streams - read.refused),
        cut_off=read.cut_off,
        refused=read.refused,
        broken=read.broken,
    )


def _find_percentiles(values: Sequence[int]) -> list[float]:
    """Return the first to the 99th."""
    return statistics.quantiles(values, n=100) if len(values) > 1 else [0.0] * 99
