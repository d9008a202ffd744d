"""Measures what relaying a model's answer costs, beside the usual ways: `python -m benchmarks.relay`.

`make bench` also installs LiteLLM, which is left out where it is missing, and writes the table and the plot down.
"""

import argparse
import asyncio
import fcntl
import os
import resource
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.relay.measure import Measurement, measure
from benchmarks.relay.report import Conditions, write_readme, write_report
from benchmarks.relay.systems import list_systems, pin, prepare_gateway, run_process, run_search, run_upstream
from shared.private_redis import start_private_redis


async def measure_all(arguments: argparse.Namespace, folder: Path, redis_url: str) -> list[Measurement]:
    """Measure each system with each number of streams."""
    available = sorted(os.sched_getaffinity(0))
    ours, theirs = ({available[0]}, set(available[1:])) if len(available) > 1 else (None, None)
    client_cores = theirs or set(available)
    pin(os.getpid(), theirs)
    results: list[Measurement] = []
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(run_upstream(arguments.rate, arguments.tokens, theirs))
        search = await stack.enter_async_context(run_search(theirs))
        gateway = await prepare_gateway(folder, redis_url, upstream, search)
        for system, port in list_systems(gateway, upstream, folder):
            if arguments.systems and system.name not in arguments.systems:
                continue
            for streams in arguments.streams:
                if system.most_streams is not None and streams > system.most_streams:
                    continue
                # A new process each time, so that its memory is that of these streams.
                starting = run_process(system.command, system.environment, port, health=system.health, cores=ours)
                async with starting as running:
                    result = await measure(
                        system,
                        running,
                        streams=streams,
                        tokens=arguments.tokens,
                        most_s=arguments.most_s,
                        client_cores=client_cores,
                    )
                results.append(result)
                print(
                    f"{result.system:18} {streams:5} streams {result.cpu_us:6.0f} us/token"
                    f" {result.tokens_per_s:7.0f}/s core {result.core:4.0%} clients {result.clients:4.0%}"
                    f" p50 {result.p50_ms:7.1f} p99 {result.p99_ms:7.1f} steady {result.steady_p99_ms:7.1f} ms"
                    f" {result.kb_per_stream:6.0f} kB"
                    f" {result.cut_off} cut off {result.refused} refused"
                    f" {len(result.broken)} broken {result.broken[:2]}",
                    flush=True,
                )
    return results


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 50, 200, 1000, 2000])
    parser.add_argument("--tokens", type=int, default=500, help="tokens per stream")
    parser.add_argument("--rate", type=float, default=50, help="tokens per second and stream")
    parser.add_argument("--most-s", type=float, default=40, help="seconds for one system and number of streams")
    parser.add_argument("--systems", nargs="+", default=[], help="only these")
    parser.add_argument("--results", type=Path, help="a folder for the table and the plot")
    parser.add_argument("--readme", type=Path, help="a file whose table between the marks is written anew")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    arguments = parser.parse_args()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a stream has two sockets in each system
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_private_redis(Path(folder) / "redis", lock.fileno()) as redis:
            results = asyncio.run(measure_all(arguments, Path(folder), redis.url))
    if arguments.results:
        conditions = Conditions(arguments.rate, arguments.tokens, arguments.most_s, arguments.loaded)
        write_report(results, arguments.results, conditions)
        if arguments.readme:
            write_readme(results, arguments.readme, conditions)


if __name__ == "__main__":
    main()
