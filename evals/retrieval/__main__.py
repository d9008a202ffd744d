"""Measure what searches find, leg by leg, through the production code: parse, chunk, embed, index, search.

    python -m evals.retrieval --data ../shared/data                 # all sets
    python -m evals.retrieval --data … --save after.json --compare before.json
    python -m evals.retrieval --data … --sets financebench tatqa

PDFs count a page that holds evidence (hit@k); texts the share of the evidence's words in the first k passages
(recall@k). `mrr`: of the first passage with any of it. Embeddings are kept in --cache, so that a second
run takes minutes.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.measured_system import MeasuredSystem
from evals.retrieval.question_sets import load_set
from evals.retrieval.statistics import compare, estimate_mean, score_question
from shared.embedding.dense import DenseEmbedder

SETS = ("financebench", "handbooks", "tatqa", "xquad", "covidqa")
MODEL = "all-MiniLM-L6-v2"

Scores = dict[str, dict[str, dict[str, float]]]
"""By what was searched (`financebench, within, dense`), measure (`@1`) and question."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = _parse_arguments(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # a line per document helps nobody
    scores = asyncio.run(_measure_sets(options.sets, options.data, options.cache))
    before: Scores = json.loads(options.compare.read_text()) if options.compare else {}
    if options.save:
        options.save.write_text(json.dumps(scores))
    print(render_table(scores, before))
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.retrieval", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with `financebench` and `passages`")
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="SET", help=f"default: {' '.join(SETS)}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pagewire-evals"
    parser.add_argument("--cache", type=Path, default=cache, help=f"a folder for embeddings; default: {cache}")
    parser.add_argument("--save", type=Path, help="write the scores of each question here, to compare with later")
    parser.add_argument("--compare", type=Path, help="scores that were saved before")
    return parser.parse_args(arguments)


async def _measure_sets(names: Sequence[str], data: Path, cache: Path) -> Scores:
    model = DenseEmbedder(MODEL)
    embedder = KeptVectors(model, cache / "vectors.sqlite")
    scores: Scores = {}
    try:
        for name in names:
            questions = load_set(name, data)
            async with MeasuredSystem.open(questions, embedder) as system:
                for scope, within in (("within", True), ("over all", False)):
                    for leg, found in (await system.measure(within=within)).items():
                        rows = {one.question_id: score_question(one.shares) for one in found}
                        measures = next(iter(rows.values()))
                        scores[f"{name}, {scope}, {leg}"] = {
                            measure: {question: row[measure] for question, row in rows.items()} for measure in measures
                        }
            print(f"{name}: {len(questions.questions)} questions, {embedder.computed} embedded", file=sys.stderr)
    finally:
        embedder.close()
        model.close()
    return scores


def render_table(scores: Scores, before: Mapping[str, dict[str, dict[str, float]]]) -> str:
    """Return the table in Markdown; what was measured before makes lines of differences below each line."""
    measures = list(next(iter(scores.values()))) if scores else []
    lines = ["| searched | " + " | ".join(measures) + " |", "|---|" + "---|" * len(measures)]
    for name, by_measure in scores.items():
        means = [f"{estimate_mean(list(by_measure[measure].values())).mean:.3f}" for measure in measures]
        lines.append(f"| {name} | " + " | ".join(means) + " |")
        if name in before:
            gains = [str(compare(before[name][measure], by_measure[measure])) for measure in measures]
            lines.append("| … against before | " + " | ".join(gains) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
