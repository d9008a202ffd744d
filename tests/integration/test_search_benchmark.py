"""A small sample of the benchmark of the search: it measures what it says, on both engines and beside the plain way."""

import asyncio
import os
from pathlib import Path

from benchmarks.search.__main__ import Places, measure_size
from benchmarks.search.corpus import read_originals
from benchmarks.search.measure import AT_ONCE
from benchmarks.search.report import write_report
from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.question_sets import load_handbooks
from shared.embedding.dense import DenseEmbedder

CHUNKS = 90


async def test_every_way_answers_and_the_table_tells_each_stage(
    embedder: DenseEmbedder, redis_url: str, qdrant_url: str, tmp_path: Path
) -> None:
    """More chunks than there are real ones, so that some are copies. No time is judged: others use the machine."""
    handbooks = await asyncio.to_thread(load_handbooks, "held-out/*")
    vectors = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    originals = await read_originals(handbooks.documents[:2], vectors, 40)
    await asyncio.to_thread(vectors.close)
    assert len(originals.vectors) < CHUNKS
    questions = [question.text for question in handbooks.questions[:2]]
    places = Places(redis_url, qdrant_url, os.getpid())  # the server is in a container; its CPU is not looked at

    measured = await measure_size(CHUNKS, originals, questions, embedder, places, seconds=0.1)

    assert [(one.way, one.chunks) for one in measured] == [("Edge", CHUNKS), ("server", CHUNKS), ("plain", CHUNKS)]
    for one in measured:
        assert one.per_second.keys() == set(AT_ONCE)
        assert all(rate > 0 for rate in one.per_second.values())
        assert {len(times) for times in one.stages.values()} == {len(questions)}
    await asyncio.to_thread(write_report, measured, tmp_path, len(questions), len(originals.vectors), loaded=True)
    table = await asyncio.to_thread((tmp_path / "search.md").read_text)
    assert f"## {CHUNKS} chunks" in table
    for row in ("hybrid: both legs", "rerank 20 by a cross-encoder", "CPU: all but embedding", "32 at once"):
        (line,) = (line for line in table.splitlines() if line.startswith("|") and row in line)
        assert all(cell.strip() for cell in line.split("|")[1:-1]), line
