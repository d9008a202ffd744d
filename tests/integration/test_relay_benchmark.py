"""A small sample of the benchmark of the relay: it measures what it says, and Pagewire costs less than the usual."""

import asyncio
import sys
from pathlib import Path

from benchmarks.relay.measure import Measurement, measure
from benchmarks.relay.report import write_report
from benchmarks.relay.systems import list_systems, prepare_gateway, run_process, run_upstream
from tests.conftest import skip_or_fail

STREAMS = 20
TOKENS = 200
RATE = 100.0


async def test_every_token_arrives_and_costs_less_than_through_a_typed_sdk(redis_url: str, tmp_path: Path) -> None:
    """The CPU of the two processes is compared, not times: whoever else uses the machine slows both down."""
    if sys.platform != "linux":
        skip_or_fail("there is no /proc to read a process's CPU time from")
    async with (
        run_upstream(RATE, TOKENS, None) as upstream,
        prepare_gateway(tmp_path, redis_url, upstream) as environment,
    ):
        chosen = {
            system.name: (system, port)
            for system, port in list_systems(environment, upstream, tmp_path)
            if system.name in ("pagewire", "pagewire-continue", "tutorial")
        }
        results: dict[str, Measurement] = {}
        for name, (system, port) in chosen.items():
            starting = run_process(system.command, system.environment, port, health=system.health, cores=None)
            async with starting as running:
                results[name] = await measure(system, running, streams=STREAMS, tokens=TOKENS)

    assert {name: (result.tokens, result.broken) for name, result in results.items()} == {
        name: (STREAMS * TOKENS, []) for name in chosen
    }
    assert results["pagewire"].cpu_us < results["tutorial"].cpu_us
    await asyncio.to_thread(write_report, list(results.values()), tmp_path, rate=RATE, tokens=TOKENS, loaded=True)
    table, plot = [await asyncio.to_thread((tmp_path / name).read_text) for name in ("relay.md", "relay.svg")]
    assert f"| pagewire | {STREAMS} |" in table
    assert plot.rstrip().endswith("</svg>")
