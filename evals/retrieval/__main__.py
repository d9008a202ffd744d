"""Measure what searches find, leg by leg, through the production code: parse, chunk, embed, index, search.

    make evals                                                       # all sets of ../shared/data, written down
    python -m evals.retrieval --data ../shared/data --sets financebench tatqa
    python -m evals.retrieval --data … --results evals/retrieval/results --keep-as-baseline

Embeddings are kept in --cache, so that a second run takes minutes. What is measured: evals/retrieval/README.md.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.measured_system import MeasuredSystem
from evals.retrieval.question_sets import SETS, load_set
from evals.retrieval.report import count_gains, render_gains, render_means, write_report
from evals.retrieval.scores import BASELINE, Scores
from services.retrieval.adapters.cross_encoder import CrossEncoderReranker
from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.ports import Reranker
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder

MODEL = "all-MiniLM-L6-v2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = _parse_arguments(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # a line per document helps nobody
    scores = asyncio.run(_measure_sets(options))
    baseline = Scores.load(BASELINE) if BASELINE.exists() else None
    print(render_means(scores))
    if baseline is not None:
        print(render_gains(scores, baseline), count_gains(scores, baseline), sep="\n")
    if options.results:
        write_report(scores, baseline, options.results)
    if options.keep_as_baseline:
        scores.save(BASELINE)
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.retrieval", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder with `financebench`, `passages` and others"
    )
    parser.add_argument(
        "--sets", nargs="+", default=SETS, choices=SETS, metavar="SET", help=f"default: {' '.join(SETS)}"
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pagewire-evals"
    parser.add_argument("--cache", type=Path, default=cache, help=f"a folder for embeddings; default: {cache}")
    parser.add_argument("--whole", action="store_true", help="all documents of the large sets, not a part of them")
    parser.add_argument("--reranker", help="a cross-encoder's name or folder; default: the one without a model")
    parser.add_argument(
        "--results", type=Path, help=f"a folder for table and plot; those of the project: {BASELINE.parent}"
    )
    parser.add_argument("--keep-as-baseline", action="store_true", help="what later measurements are compared with")
    return parser.parse_args(arguments)


def _load_reranker(model: str | None) -> Reranker:
    if model is None:
        return TermProximityReranker(Bm25Encoder())
    reranker = CrossEncoderReranker(model)
    reranker.loaded.wait()
    if reranker.state.status != "on":
        raise SystemExit(f"{model}: {reranker.state.reason}")
    return reranker


async def _measure_sets(options: argparse.Namespace) -> Scores:
    reranker = _load_reranker(options.reranker)
    model = DenseEmbedder(MODEL)
    embedder = KeptVectors(model, options.cache / "vectors.sqlite")
    scores = Scores()
    try:
        for name in options.sets:
            questions = load_set(name, options.data, whole=options.whole)
            async with MeasuredSystem.open(questions, embedder, reranker) as system:
                for scope, within in questions.scopes.items():
                    for leg, rows in (await system.measure(within=within)).items():
                        scores.add(questions, scope, leg, rows)
            print(f"{name}: {len(questions.questions)} questions, {embedder.computed} embedded", file=sys.stderr)
    finally:
        embedder.close()
        model.close()
        reranker.close()
    return scores


if __name__ == "__main__":
    sys.exit(main())
