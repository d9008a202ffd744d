"""Writes measurements down: a table in Markdown and a plot in SVG."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.relay.measure import FULL, MOST_RAMP_S, REQUESTS_PER_S, Measurement

_COLOURS = ("#0b6e4f", "#4fb286", "#c44536", "#e09f3e", "#540b0e", "#3d5a80", "#888888")
_WIDTH, _LEFT, _TOP = 640, 150, 36


_LABELS = {
    "pagewire": "Pagewire: citations, evidence, usage, heartbeats, idle and send timeouts",
    "pagewire-continue": "the same, with `on_disconnect: continue`: a real Redis",
    "bare": "the floor: aiohttp, uvicorn and nothing else",
    "typed-sse": "typed async SDK, sse-starlette",
    "typed-streaming": "typed async SDK, `StreamingResponse`",
    "tutorial": "the tutorial's way: a blocking generator in a thread pool",
    "litellm": "LiteLLM's proxy",
}
_README_STREAMS = (50, 200)
README_MARKS: Final = ("<!-- relay: written by make bench -->\n", "<!-- relay: end -->\n")


@dataclass(frozen=True)
class Conditions:
    """How it was measured.

    Attributes:
        rate: tokens per second and stream.
        tokens: per stream.
        most_s: seconds after which the clients left.
        loaded: whether others used the machine meanwhile.
    """

    rate: float
    tokens: int
    most_s: float
    loaded: bool

    def describe(self) -> str:
        """Return where and when."""
        loaded = ", **in use by others meanwhile**" if self.loaded else ""
        ahead = os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR)
        priority = ", with real-time priority over them (`chrt -r 5`)" if self.loaded and ahead else ""
        return f"{describe_machine()}, {datetime.now(UTC):%-d %B %Y}{loaded}{priority}"


def write_report(results: Sequence[Measurement], folder: Path, conditions: Conditions) -> None:
    """Write `relay.md` and `relay.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    first = results[0].system if results else ""
    base = {result.streams: result for result in results if result.system == first}
    head = (
        "# Relay\n\n"
        f"`python -m benchmarks.relay`: {conditions.tokens} tokens per stream at {conditions.rate:g} a second, every"
        f" token checked, {REQUESTS_PER_S} new streams a second, or all within {MOST_RAMP_S:g} seconds; one process per"
        " system, on a core of its own where there are two. CPU is all of that process's, requests included; latency is"
        " from the provider's writing of a token to its arrival at the client, both of which use the other core"
        f" (`clients`: how much of it). Where the core is full the clients leave after {conditions.most_s:g} s (`cut"
        " off`), and the tokens until then count; `refused` are questions that a full system answered with 429 or"
        " 503. Pagewire keeps no answers here, as all streams ask the same. `bare` is what the same libraries need to"
        " relay the tokens without doing anything else: what this machine can do at all.\n\n"
        f"Machine: {conditions.describe()}.\n\n"
        f"| system | streams | CPU µs per token | × {first} | tokens/s | of a core | streams per core | p50 ms |"
        " p99 ms | p99 ms when all have begun | kB per stream | clients | cut off | refused | broken |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    rows = [_write_row(result, base.get(result.streams), conditions.rate) for result in results]
    note = (
        f"\n†: clients and provider had {FULL:.0%} of their core or more in use: the latency is also theirs.\n"
        if any(result.late_clients for result in results)
        else ""
    )
    (folder / "relay.md").write_text(f"{head}{''.join(rows)}{note}\n![CPU per token](relay.svg)\n")
    (folder / "relay.svg").write_text(_plot(results))


def write_readme(results: Sequence[Measurement], readme: Path, conditions: Conditions) -> None:
    """Write the table between the marks of a file anew: what a token costs in each system."""
    begin, end = README_MARKS
    before, _, rest = readme.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{readme} has no {begin.strip()} and {end.strip()}")
    few, many = _README_STREAMS
    head = (
        f"| {conditions.describe()} | CPU per token, {few} streams | {many} streams | p50 / p99 added, {many} streams |"
        " memory per stream |\n|---|--:|--:|--:|--:|\n"
    )
    by_system = {(result.system, result.streams): result for result in results}
    systems = dict.fromkeys(result.system for result in results)
    full = " (core full)"
    rows = [
        f"| {_LABELS.get(name, name)} | {a.cpu_us:.0f} µs | {b.cpu_us:.0f} µs{full if b.core >= FULL else ''} |"
        f" {b.p50_ms:,.1f} / {b.p99_ms:,.1f} ms | {b.kb_per_stream:.0f} kB |\n"
        for name in systems
        if (a := by_system.get((name, few))) and (b := by_system.get((name, many)))
    ]
    readme.write_text(f"{before}{begin}{head}{''.join(rows)}{end}{after}")


def describe_machine() -> str:
    """Return what the numbers depend on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}, CPython {platform.python_version()}"


def _write_row(result: Measurement, base: Measurement | None, rate: float) -> str:
    ratio = f"{result.cpu_us / base.cpu_us:.1f}" if base and base.cpu_us else ""
    mark = "†" if result.late_clients else ""
    return (
        f"| {result.system} | {result.streams} | {result.cpu_us:.0f} | {ratio} | {result.tokens_per_s:.0f} |"
        f" {result.core:.0%} | {result.count_streams_per_core(rate):.0f} | {result.p50_ms:.1f}{mark} |"
        f" {result.p99_ms:.1f}{mark} | {result.steady_p99_ms:.1f}{mark} | {result.kb_per_stream:.0f} |"
        f" {result.clients:.0%} | {result.cut_off} | {result.refused} | {len(result.broken)} |\n"
    )


def _plot(results: Sequence[Measurement]) -> str:
    """Return bars of CPU per token, grouped by the number of streams."""
    counts = sorted({result.streams for result in results})
    systems = list(dict.fromkeys(result.system for result in results))
    most = max((result.cpu_us for result in results), default=1)
    bar = 14
    parts: list[str] = []
    y = _TOP
    for count in counts:
        parts.append(f'<text x="8" y="{y + 11}" font-weight="bold">{count} streams</text>')
        y += 18
        for result in (result for result in results if result.streams == count):
            width = result.cpu_us / most * (_WIDTH - _LEFT - 60)
            colour = _COLOURS[systems.index(result.system) % len(_COLOURS)]
            parts.append(
                f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{result.system}</text>'
                f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{bar - 2}" fill="{colour}"/>'
                f'<text x="{_LEFT + width + 4:.0f}" y="{y + 11}">{result.cpu_us:.0f}</text>'
            )
            y += bar
        y += 10
    title = '<text x="8" y="20" font-size="14">CPU of the process per token, µs</text>'
    style = 'font-family="sans-serif" font-size="11"'
    body = "\n".join([title, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" {style}>\n{body}\n</svg>\n'
