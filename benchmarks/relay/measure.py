"""Measures one system with one number of streams."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.relay.process_usage import read_cpu_s, read_memory_kb
from benchmarks.relay.readers import read_streams
from benchmarks.relay.systems import Running, System

WARM_UP: Final = 5
"""Streams that are read before: the first request of a process imports and connects."""
SAMPLE_S: Final = 0.25
RAMP_S: Final = 1.0
"""Over which the streams begin: they would begin together in no real system."""


@dataclass(frozen=True)
class Measurement:
    """What one system did with so many streams.

    Attributes:
        cpu_us: microseconds of CPU of the system's process per token, of the whole run with its requests.
        core: share of one core that was used while the streams ran.
        p50_ms, p99_ms: from the provider's writing of a token to its arrival at the client.
        kb_per_stream: resident memory at most, less that before, per stream.
        broken: streams that were not whole, with what was wrong.
    """

    system: str
    streams: int
    tokens: int
    cpu_us: float
    tokens_per_s: float
    core: float
    p50_ms: float
    p99_ms: float
    kb_per_stream: float
    broken: list[str]

    def count_streams_per_core(self, rate: float) -> float:
        """Return how many streams of `rate` tokens a second the CPU of one core is enough for."""
        return 1e6 / self.cpu_us / rate if self.cpu_us else 0.0


async def measure(system: System, running: Running, *, streams: int, tokens: int) -> Measurement:
    """Read the streams to their ends and note what that took."""
    url, body = running.url + system.path, system.dump_body()
    await read_streams(url, body, WARM_UP, tokens, ramp_s=0)
    before_kb, most_kb = read_memory_kb(running.process), 0
    began, cpu_s = time.monotonic(), read_cpu_s(running.process)
    reading = asyncio.create_task(read_streams(url, body, streams, tokens, ramp_s=RAMP_S))
    while not reading.done():
        await asyncio.wait({reading}, timeout=SAMPLE_S)
        most_kb = max(most_kb, read_memory_kb(running.process))
    read = await reading
    took, cpu_s = time.monotonic() - began, read_cpu_s(running.process) - cpu_s
    late = statistics.quantiles(read.late_us, n=100) if len(read.late_us) > 1 else [0] * 99
    return Measurement(
        system=system.name,
        streams=streams,
        tokens=read.tokens,
        cpu_us=cpu_s / max(1, read.tokens) * 1e6,
        tokens_per_s=read.tokens / took,
        core=cpu_s / took,
        p50_ms=late[49] / 1000,
        p99_ms=late[98] / 1000,
        kb_per_stream=(most_kb - before_kb) / streams,
        broken=read.broken,
    )
