"""Writes measurements of the search down: a table in Markdown, with the ratios to the plain way."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.relay.report import describe_machine
from benchmarks.search.measure import Measured

_STAGES = {
    "embed": "embed the question",
    "hybrid": "hybrid: both legs, registry, fusion",
    "over embed": "all but embedding, without reranking",
    "rerank, offline": "rerank without a model",
    "rerank, cross-encoder": "rerank 20 by a cross-encoder",
    "whole, off": "whole, without reranking",
    "whole, offline": "whole, reranked without a model",
    "whole, cross-encoder": "whole, reranked by a cross-encoder",
}
_CPU = {
    "embed": "CPU: embed the question",
    "over embed": "CPU: all but embedding, without reranking",
    "offline": "CPU: whole, reranked without a model",
    "cross-encoder": "CPU: whole, reranked by a cross-encoder",
}
_HEAD = """# Search

`python -m benchmarks.search`: {questions} real questions, one after the other, then as many at once as the table says.
Ours is `search_passages` in one process, as the retrieval service has it, without HTTP: 50 candidates a leg, 5 passages
returned, Redis on a socket, sealed texts. Rates are with the reranker without a model, which is the default where
no cross-encoder's weights are there. `plain`: rank-bm25 over all chunks, all vectors compared by numpy, reciprocal rank
fusion, `CrossEncoder.predict` in one forward pass; its rates are without reranking, in as many threads. Chunks are some
{originals:,} real ones and copies with other words and vectors beside theirs; the cross-encoder has the size of
ms-marco-MiniLM-L6-v2 and random weights, so only its time counts. `CPU` is milliseconds of our process and the
engine's, Redis not counted; it, too, grows with what others do on the machine, though less than times.

Machine: {machine}, {date}{loaded}.

"""


def write_report(measured: Sequence[Measured], folder: Path, questions: int, originals: int, *, loaded: bool) -> None:
    """Write `search.md`, and print it."""
    ahead = os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR)
    load = ", **in use by others meanwhile**" if loaded else ""
    load += ", with real-time priority over them (`chrt -r 5`)" if loaded and ahead else ""
    machine, date = describe_machine(), f"{datetime.now(UTC):%-d %B %Y}"
    text = _HEAD.format(questions=questions, originals=originals, machine=machine, date=date, loaded=load)
    for chunks in dict.fromkeys(one.chunks for one in measured):
        text += _write_size([one for one in measured if one.chunks == chunks])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.md").write_text(text.rstrip() + "\n")
    print(text, flush=True)


def _write_size(ways: Sequence[Measured]) -> str:
    """The table of one size of the collection: rows are stages, columns are ways."""
    (plain,) = (one for one in ways if one.way == "plain")
    ours = [one for one in ways if one is not plain]
    columns = [*(one.way for one in ours), "plain", *(f"{one.way}: plain / ours" for one in ours)]
    lines = [
        f"## {plain.chunks:,} chunks",
        "",
        f"| p50 (p95), ms | {' | '.join(columns)} |",
        f"|---|{'--:|' * len(columns)}",
    ]
    for stage, name in _STAGES.items():
        cells = [_write_times(one, stage) for one in [*ours, plain]]
        cells += [_divide(plain.find_percentile(stage, 50), one.find_percentile(stage, 50)) for one in ours]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for kind, name in _CPU.items():
        used = [_find_cpu(one, kind) for one in [*ours, plain]]
        cells = ["" if milliseconds is None else f"{milliseconds:.1f}" for milliseconds in used]
        cells += [_divide(used[-1], milliseconds) for milliseconds in used[:-1]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for at_once in plain.per_second:
        cells = [f"{one.per_second[at_once]:.1f}" for one in [*ours, plain]]
        cells += [_divide(one.per_second[at_once], plain.per_second[at_once]) for one in ours]
        lines.append(f"| searches per second, {at_once} at once | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _write_times(one: Measured, stage: str) -> str:
    middle, slow = one.find_percentile(stage, 50), one.find_percentile(stage, 95)
    return "" if middle is None or slow is None else f"{middle:.1f} ({slow:.1f})"


def _find_cpu(one: Measured, kind: str) -> float | None:
    return one.cpu["off"] - one.cpu["embed"] if kind == "over embed" else one.cpu.get(kind)


def _divide(one: float | None, other: float | None) -> str:
    return f"{one / other:.1f}" if one and other else ""
