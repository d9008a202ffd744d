"""Fills both engines and the registry with one collection, and times searches in it through `search_passages`."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.relay.process_usage import read_cpu_s
from benchmarks.search.corpus import TENANT, VERSION, MadeDocument, make_points
from benchmarks.search.plain import PlainSearch
from services.retrieval.ports import QueryEmbedder, Reranker
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import SearchRequest, SearchResponse
from shared.embedding.sparse import Bm25Encoder
from shared.registry.port import DocumentRegistry, Lease, NewDocument
from shared.vector_index.port import IndexPoint, VectorIndex

TOP_K = 5
"""As questions have by default."""
WRITTEN_AT_ONCE = 2048
WARM_UP = 5
AT_ONCE = (1, 8, 32)

Milliseconds = Sequence[float]


@dataclass(frozen=True)
class Way:
    """How to search, and in which process the engine is."""

    deps: SearchDependencies
    engine: int

    def read_cpu_ms(self) -> float:
        """Return what this process and the engine's have used of the CPU."""
        return (time.process_time() + read_cpu_s(self.engine)) * 1000


@dataclass(frozen=True)
class Measured:
    """One way to search in one collection.

    Attributes:
        stages: milliseconds of each search by stage.
        cpu: milliseconds of CPU of a search on average, the engine's included and Redis' not, by how it is reranked;
            `embed` of embedding alone.
        per_second: searches in a second, by how many there are at once.
    """

    way: str
    chunks: int
    stages: Mapping[str, Milliseconds]
    cpu: Mapping[str, float]
    per_second: Mapping[int, float]

    def find_percentile(self, stage: str, percentile: float) -> float | None:
        """Return it in milliseconds; None where there is no such stage."""
        times = self.stages.get(stage)
        return float(np.percentile(times, percentile)) if times else None


async def fill(
    documents: Iterable[MadeDocument], indexes: Iterable[VectorIndex], registry: DocumentRegistry, bm25: Bm25Encoder
) -> None:
    """Write the points into each index and publish the documents."""
    waiting: list[IndexPoint] = []
    for document in documents:
        await registry.create(NewDocument(TENANT, document.document_id, document.title, document.document_id, 1))
        lease = await registry.claim(DocumentJob(tenant=TENANT, document_id=document.document_id), "bench", 600_000)
        assert isinstance(lease, Lease)
        waiting += await asyncio.to_thread(make_points, document, lease.text_key, bm25)
        await registry.publish(lease, VERSION, [], document.card)
        if len(waiting) >= WRITTEN_AT_ONCE:
            await _write(waiting, indexes)
            waiting = []
    await _write(waiting, indexes)


async def _write(points: Sequence[IndexPoint], indexes: Iterable[VectorIndex]) -> None:
    for index in indexes:
        await index.upsert(TENANT, points)


async def measure_stages(
    ways: Mapping[str, Way], rerankers: Mapping[str, Reranker], questions: Sequence[str]
) -> dict[str, tuple[dict[str, list[float]], dict[str, float]]]:
    """Return by way the milliseconds of each question by stage, and those of CPU; one search at a time, the ways in
    turn."""
    measured: dict[str, tuple[dict[str, list[float]], dict[str, float]]] = {way: ({}, {}) for way in ways}
    for number, question in enumerate([*questions[:WARM_UP], *questions], start=-len(questions[:WARM_UP])):
        for (name, way), (kind, reranker) in itertools.product(ways.items(), rerankers.items()):
            before = way.read_cpu_ms()
            found = await _search(question, replace(way.deps, reranker=reranker))
            used = way.read_cpu_ms() - before
            assert found.passages
            timings = found.timings_ms
            told = {f"whole, {kind}": timings.total}
            if timings.rerank is None:
                over = timings.total - timings.embed
                told |= {"embed": timings.embed, "hybrid": timings.search, "over embed": over}
            else:
                told[f"rerank, {kind}"] = timings.rerank
            if number >= 0:
                stages, cpu = measured[name]
                cpu[kind] = cpu.get(kind, 0.0) + used / len(questions)
                for stage, milliseconds in told.items():
                    stages.setdefault(stage, []).append(milliseconds)
    for _, cpu in measured.values():
        cpu["embed"] = await _measure_embedding(next(iter(ways.values())).deps.embedder, questions)
    return measured


async def _measure_embedding(embedder: QueryEmbedder, questions: Sequence[str]) -> float:
    """Return the milliseconds of CPU of a question."""
    before = time.process_time()
    for question in questions:
        await embedder.embed_query(question)
    return (time.process_time() - before) * 1000 / len(questions)


async def measure_rate(deps: SearchDependencies, questions: Sequence[str], at_once: int, seconds: float) -> float:
    """Return searches per second in one process, with so many at once."""
    return await _count(lambda question: _search(question, deps), questions, at_once, seconds)


async def measure_plain(
    plain: PlainSearch, questions: Sequence[str], chunks: int, seconds: float, *, at_once: Sequence[int]
) -> Measured:
    """Time the plain way: stages one search at a time, rates without reranking."""
    stages: dict[str, list[float]] = {}
    cpu = {"off": 0.0, "cross-encoder": 0.0, "embed": 0.0}
    for number, question in enumerate([*questions[:WARM_UP], *questions], start=-len(questions[:WARM_UP])):
        for rerank in (False, True):
            before = time.process_time()
            times = await asyncio.to_thread(plain.search, question, rerank=rerank)
            used = (time.process_time() - before) * 1000 / len(questions)
            if number < 0:
                continue
            cpu["cross-encoder" if rerank else "off"] += used
            if times.rerank is None:
                hybrid = times.total - times.embed
                told = {"embed": times.embed, "bm25": times.bm25, "dense": times.dense}
                told |= {"hybrid": hybrid, "over embed": hybrid, "whole, off": times.total}
            else:
                told = {"rerank, cross-encoder": times.rerank, "whole, cross-encoder": times.total}
            for stage, milliseconds in told.items():
                stages.setdefault(stage, []).append(milliseconds)

    for question in questions:
        cpu["embed"] += await asyncio.to_thread(plain.embed, question) / len(questions)

    async def search(question: str) -> object:
        return await asyncio.to_thread(plain.search, question, rerank=False)

    rates = {count: await _count(search, questions, count, seconds) for count in at_once}
    return Measured("plain", chunks, stages, cpu, rates)


async def _search(question: str, deps: SearchDependencies) -> SearchResponse:
    return await search_passages(SearchRequest(tenant=TENANT, query=question, top_k=TOP_K), deps)


async def _count(
    search: Callable[[str], Awaitable[object]], questions: Sequence[str], at_once: int, seconds: float
) -> float:
    """Return how many searches ended per second; those that were under way at the end are counted with their time."""
    done = 0
    order = itertools.cycle(questions)
    began = time.perf_counter()

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await search(next(order))
            done += 1

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return done / (time.perf_counter() - began)
