"""Writes measurements down: a table in Markdown and a plot in SVG."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.relay.measure import Measurement

_COLOURS = ("#0b6e4f", "#4fb286", "#c44536", "#e09f3e", "#540b0e", "#3d5a80", "#888888")
_WIDTH, _LEFT, _TOP = 640, 150, 36


def write_report(results: Sequence[Measurement], folder: Path, *, rate: float, tokens: int, loaded: bool) -> None:
    """Write `relay.md` and `relay.svg`.

    Parameters:
        loaded: whether others used the machine meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = results[0].system if results else ""
    base = {result.streams: result for result in results if result.system == first}
    head = (
        "# Relay\n\n"
        f"`python -m benchmarks.relay`: {tokens} tokens per stream at {rate:g} a second, every token checked; one"
        " process per system, on a core of its own where there are two. CPU is all of that process's, requests"
        " included; latency is from the provider's writing of a token to its arrival at the client, both of which use"
        " the other core.\n\n"
        f"Machine: {describe_machine()}{', **in use by others meanwhile**' if loaded else ''}.\n\n"
        f"| system | streams | CPU µs per token | × {first} | tokens/s | of a core | streams per core | p50 ms |"
        " p99 ms | kB per stream | not whole |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    rows = [_write_row(result, base.get(result.streams), rate) for result in results]
    (folder / "relay.md").write_text(head + "".join(rows) + "\n![CPU per token](relay.svg)\n")
    (folder / "relay.svg").write_text(_plot(results))


def describe_machine() -> str:
    """Return what the numbers depend on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}, CPython {platform.python_version()}"


def _write_row(result: Measurement, base: Measurement | None, rate: float) -> str:
    ratio = f"{result.cpu_us / base.cpu_us:.1f}" if base and base.cpu_us else ""
    return (
        f"| {result.system} | {result.streams} | {result.cpu_us:.0f} | {ratio} | {result.tokens_per_s:.0f} |"
        f" {result.core:.0%} | {result.count_streams_per_core(rate):.0f} | {result.p50_ms:.1f} | {result.p99_ms:.1f} |"
        f" {result.kb_per_stream:.0f} | {len(result.broken)} |\n"
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
