"""A small sample of the benchmark of the relay: it measures what it says, and Pagewire costs less than the usual."""

import asyncio
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.relay.measure import Measurement, measure
from benchmarks.relay.report import README_MARKS, Conditions, write_readme, write_report
from benchmarks.relay.systems import list_systems, prepare_gateway, run_process, run_search, run_upstream
from tests.conftest import skip_or_fail

STREAMS = 20
TOKENS = 200
RATE = 100.0
SAMPLE = Measurement(
    system="pagewire",
    streams=1,
    tokens=100,
    cpu_us=82.4,
    tokens_per_s=50,
    core=0.5,
    clients=0.5,
    p50_ms=0.4,
    p99_ms=2,
    steady_p99_ms=1,
    kb_per_stream=50,
    cut_off=0,
    refused=0,
    broken=[],
)


async def test_every_token_arrives_and_costs_less_than_through_a_typed_sdk(redis_url: str, tmp_path: Path) -> None:
    """The CPU of the two processes is compared, not times: whoever else uses the machine slows both down."""
    if sys.platform != "linux":
        skip_or_fail("there is no /proc to read a process's CPU time from")
    async with run_upstream(RATE, TOKENS, None) as upstream, run_search(None) as search:
        environment = await prepare_gateway(tmp_path, redis_url, upstream, search)
        chosen = {
            system.name: (system, port)
            for system, port in list_systems(environment, upstream, tmp_path)
            if system.name in ("pagewire", "pagewire-continue", "tutorial")
        }
        results: dict[str, Measurement] = {}
        for name, (system, port) in chosen.items():
            starting = run_process(system.command, system.environment, port, health=system.health, cores=None)
            async with starting as running:
                results[name] = await measure(
                    system, running, streams=STREAMS, tokens=TOKENS, most_s=60, client_cores=os.sched_getaffinity(0)
                )

    assert {name: (result.tokens, result.refused, result.broken) for name, result in results.items()} == {
        name: (STREAMS * TOKENS, 0, []) for name in chosen
    }
    assert results["pagewire"].cpu_us < results["tutorial"].cpu_us
    conditions = Conditions(RATE, TOKENS, most_s=60, loaded=True)
    await asyncio.to_thread(write_report, list(results.values()), tmp_path, conditions)
    table, plot = [await asyncio.to_thread((tmp_path / name).read_text) for name in ("relay.md", "relay.svg")]
    assert f"| pagewire | {STREAMS} |" in table
    assert plot.rstrip().endswith("</svg>")


def test_the_readme_gets_its_table_and_keeps_the_rest(tmp_path: Path) -> None:
    """What stands between the marks is replaced, and a file without them is left alone."""
    results = [replace(SAMPLE, streams=50), replace(SAMPLE, streams=200, cpu_us=70.4), replace(SAMPLE, system="other")]
    readme = tmp_path / "README.md"
    begin, end = README_MARKS
    readme.write_text(f"before\n{begin}old\n{end}after\n")

    write_readme(results, readme, Conditions(RATE, TOKENS, most_s=60, loaded=False))

    before, table, after = re.split(f"{begin}|{end}", readme.read_text())
    assert (before, after) == ("before\n", "after\n")
    assert "| 82 µs | 70 µs |" in table
    assert "old" not in table
    assert "other" not in table  # was not measured with both numbers of streams
    readme.write_text("no marks\n")
    with pytest.raises(ValueError, match="has no <!--"):
        write_readme(results, readme, Conditions(RATE, TOKENS, most_s=60, loaded=False))
    assert readme.read_text() == "no marks\n"
