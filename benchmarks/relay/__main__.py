"""Measures what relaying a model's answer costs, beside the usual ways: `python -m benchmarks.relay`.

`make bench` also installs LiteLLM, which is left out where it is missing, and writes the table and the plot down.
"""

import argparse
import asyncio
import fcntl
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.relay.measure import Measurement, measure
from benchmarks.relay.report import write_report
from benchmarks.relay.systems import list_systems, pin, prepare_gateway, run_process, run_upstream
from shared.private_redis import start_private_redis


async def measure_all(arguments: argparse.Namespace, folder: Path, redis_url: str) -> list[Measurement]:
    """Measure each system with each number of streams."""
    available = sorted(os.sched_getaffinity(0))
    ours, theirs = ({available[0]}, set(available[1:])) if len(available) > 1 else (None, None)
    pin(os.getpid(), theirs)
    results: list[Measurement] = []
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(run_upstream(arguments.rate, arguments.tokens, theirs))
        gateway = await stack.enter_async_context(prepare_gateway(folder, redis_url, upstream))
        for system, port in list_systems(gateway, upstream, folder):
            if arguments.systems and system.name not in arguments.systems:
                continue
            for streams in arguments.streams:
                # A new process each time, so that its memory is that of these streams.
                starting = run_process(system.command, system.environment, port, health=system.health, cores=ours)
                async with starting as running:
                    result = await measure(system, running, streams=streams, tokens=arguments.tokens)
                results.append(result)
                print(
                    f"{result.system:18} {streams:5} streams {result.cpu_us:6.0f} us/token"
                    f" {result.tokens_per_s:7.0f}/s core {result.core:4.0%} p50 {result.p50_ms:7.1f}"
                    f" p99 {result.p99_ms:7.1f} ms {result.kb_per_stream:6.0f} kB"
                    f" {len(result.broken)} broken {result.broken[:2]}",
                    flush=True,
                )
    return results


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--tokens", type=int, default=500, help="tokens per stream")
    parser.add_argument("--rate", type=float, default=50, help="tokens per second and stream")
    parser.add_argument("--systems", nargs="+", default=[], help="only these")
    parser.add_argument("--results", type=Path, help="a folder for the table and the plot")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(folder) / "redis", lock.fileno()) as redis:
            results = asyncio.run(measure_all(arguments, Path(folder), redis.url))
    if arguments.results:
        write_report(results, arguments.results, rate=arguments.rate, tokens=arguments.tokens, loaded=arguments.loaded)


if __name__ == "__main__":
    main()
