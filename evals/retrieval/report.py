"""Writes what was measured as tables in Markdown and as a plot."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from evals.retrieval.judgement import MEASURES
from evals.retrieval.scores import Columns, Ranking, Scores
from evals.retrieval.statistics import Estimate, compare, estimate_mean

PLOTTED = "@3"
_SAME = Estimate(0, 0, 0)
_COLOURS = {
    "dense": "#4e79a7",
    "bm25": "#f28e2b",
    "ranks": "#bab0ac",
    "fused": "#59a14f",
    "reranked": "#b07aa1",
    "sources": "#e15759",
}
_WIDTH, _LEFT, _TOP, _LINE = 760, 170, 48, 12

_HEAD = """# What searches find

Made by `make evals` (what the measures and sets are: [evals/retrieval](../README.md)). Mean and 95 % interval over the
questions (bootstrap). `within`: only the question's own document is searched; `over all`: all of the set.

![hits among the first three](retrieval.svg)

"""
_DIFFERENCES = """
## Against the baseline

Paired differences, question by question, to the baseline that there was; **bold** where the interval leaves out 0.
Rankings that are the same are left out. {summary}

"""


def write_report(scores: Scores, baseline: Scores | None, folder: Path) -> None:
    """Write `retrieval.md` and `retrieval.svg`."""
    text = _HEAD + render_means(scores)
    if baseline is not None and (gains := render_gains(scores, baseline)):
        text += _DIFFERENCES.format(summary=count_gains(scores, baseline)) + gains
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "retrieval.md").write_text(text)
    (folder / "retrieval.svg").write_text(_plot(scores, baseline))


def render_means(scores: Scores) -> str:
    """Return the table of all rankings."""
    rows = (
        [_name(ranking, scores), *(_format_mean(estimate_mean(columns[measure])) for measure in MEASURES)]
        for ranking, columns in scores.searched.items()
    )
    return _render_table(["searched", *MEASURES], rows)


def render_gains(scores: Scores, baseline: Scores) -> str:
    """Return the table of paired differences; empty where nothing differs, or the two have nothing in common."""
    rows = [
        [_name(ranking, scores), *(_format_gain(gain) for gain in gains.values())]
        for ranking, gains in _compare_all(scores, baseline)
        if any(gain != _SAME for gain in gains.values())
    ]
    return _render_table(["searched", *MEASURES], rows) if rows else ""


def count_gains(scores: Scores, baseline: Scores) -> str:
    """Return a sentence on how many differences are certain, in either direction, among the fused rankings."""
    gains = [
        gain
        for (_, _, leg), by_measure in _compare_all(scores, baseline)
        if leg == "fused"
        for gain in by_measure.values()
    ]
    better, worse = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
    return f"Of {len(gains)} fused figures {better} are better with confidence, {worse} are worse."


def _compare_all(scores: Scores, baseline: Scores) -> Iterator[tuple[Ranking, Mapping[str, Estimate]]]:
    for ranking, columns in scores.searched.items():
        before = scores.find_comparable(ranking, baseline)
        if before is not None:
            yield ranking, {measure: compare(before[measure], columns[measure]) for measure in MEASURES}


def _name(ranking: Ranking, scores: Scores) -> str:
    set_name, scope, leg = ranking
    return f"{set_name} ({len(scores.searched[ranking][MEASURES[0]])}) {scope}, {leg}"


def _format_mean(estimate: Estimate) -> str:
    return f"{_trim(estimate.mean)} [{_trim(estimate.low)}, {_trim(estimate.high)}]"


def _format_gain(estimate: Estimate) -> str:
    text = f"{estimate.mean:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
    return f"**{text}**" if estimate.is_certain else text


def _trim(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def _render_table(head: list[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _plot(scores: Scores, baseline: Scores | None) -> str:
    """A dot with its interval for each ranking; a hollow one where the baseline was."""
    parts: list[str] = []
    y = _TOP
    by_search: dict[tuple[str, str], list[tuple[Ranking, Columns]]] = {}
    for ranking, columns in scores.searched.items():
        by_search.setdefault(ranking[:2], []).append((ranking, columns))
    for (set_name, scope), rankings in by_search.items():
        middle = y + _LINE * (len(rankings) - 1) / 2 + 4
        parts.append(f'<text x="{_LEFT - 12}" y="{middle:.0f}" text-anchor="end">{set_name}, {scope}</text>')
        for ranking, columns in rankings:
            before = scores.find_comparable(ranking, baseline) if baseline else None
            parts += _draw_dot(y, _COLOURS[ranking[2]], estimate_mean(columns[PLOTTED]), before)
            y += _LINE
        y += _LINE
    scale = [
        f'<line x1="{_place(tick / 10)}" y1="{_TOP - 10}" x2="{_place(tick / 10)}" y2="{y - _LINE}" stroke="#ddd"/>'
        f'<text x="{_place(tick / 10)}" y="{_TOP - 14}" text-anchor="middle">{tick / 10:.1f}</text>'
        for tick in range(0, 11, 2)
    ]
    legend = "".join(f'<tspan fill="{colour}" dx="10">● {leg}</tspan>' for leg, colour in _COLOURS.items())
    title = f'<text x="8" y="16" font-size="13">{PLOTTED}, 95 % intervals; ○ baseline {legend}</text>'
    style = 'font-family="sans-serif" font-size="11"'
    body = "\n".join([title, *scale, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" {style}>\n{body}\n</svg>\n'


def _draw_dot(y: int, colour: str, estimate: Estimate, before: Columns | None) -> Iterator[str]:
    yield (
        f'<line x1="{_place(estimate.low)}" y1="{y}" x2="{_place(estimate.high)}" y2="{y}" stroke="{colour}"'
        ' stroke-width="2"/>'
    )
    if before is not None:
        x = _place(estimate_mean(before[PLOTTED]).mean)
        yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="white" stroke="{colour}"/>'
    yield f'<circle cx="{_place(estimate.mean)}" cy="{y}" r="3.5" fill="{colour}"/>'


def _place(share: float) -> str:
    return f"{_LEFT + share * (_WIDTH - _LEFT - 30):.1f}"
