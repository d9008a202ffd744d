"""Runs a question set through the production code: jobs of the ingest worker, then searches of the retrieval.

Of the parts only the stores are in memory or in a folder that is thrown away: registry and blobs are those of the
tests, the index is Qdrant Edge.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.printed_text import PrintedTextParser, find_span, list_words
from evals.retrieval.question_sets import Question, QuestionSet, SourceDocument
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.pages import Page
from services.ingest.domain.stored_parse import MAX_PARSE_BYTES, PARSER_VERSION, StoredParse
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.blobs.port import make_blob_key, make_parse_key
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import MAX_TOP_K, Passage, RerankerState, SearchFilter, SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.registry.port import NewDocument
from shared.vector_index.edge import EdgeIndex
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.fakes.memory_registry import MemoryRegistry

TENANT = "evals"
LEGS = {
    "dense": FusionWeights(dense=1.0, bm25=0.0),
    "bm25": FusionWeights(dense=0.0, bm25=1.0),
    "fused": FusionWeights(),
}
"""With a weight of 0 the other leg's hits stand behind all of this one's."""
CANDIDATES = 50
LEASE_S = 3600.0
_LIMITS = ParseLimits(memory_mb=2048, cpu_s=300, wall_s=600, max_pages=5000)


class NoReranker:
    """A Reranker that is off."""

    state = RerankerState(status="off", reason="disabled")

    async def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Never called."""
        raise NotImplementedError

    def close(self) -> None:
        """Close nothing."""


Place = tuple[int, int, int]
"""A page and a span of its text."""


@dataclass(frozen=True)
class Found:
    """How one question went in one leg: for each passage, best first, which share of the evidence it and those before
    it hold. Of evidence that is pages, a passage on one of them holds all."""

    question_id: str
    shares: Sequence[float]


class MeasuredSystem:
    """A question set that can be searched."""

    def __init__(self, questions: QuestionSet, ingest: IngestDependencies, search: SearchDependencies) -> None:
        self._questions = questions
        self._ingest = ingest
        self._search = search
        self._pages: dict[str, list[Page]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, questions: QuestionSet, embedder: KeptVectors) -> AsyncIterator["MeasuredSystem"]:
        """Ingest all documents. Raises RuntimeError when one of them does not become ready."""
        registry, bm25 = MemoryRegistry(), Bm25Encoder()
        with TemporaryDirectory(prefix="pagewire-evals-") as folder:
            index = EdgeIndex(Path(folder), embedder.dimension)
            try:
                await index.prepare()
                ingest = IngestDependencies(
                    registry=registry,
                    blobs=MemoryBlobStore(),
                    parser=ProcessPdfParser(_LIMITS),
                    embedder=embedder,
                    bm25=bm25,
                    index=index,
                )
                options = SearchOptions(CANDIDATES, rerank_count=1, fusion=FusionWeights())
                search = SearchDependencies(embedder, bm25, index, registry, NoReranker(), options)
                system = cls(questions, ingest, search)
                for document in questions.documents:
                    await system._add(document)
                yield system
            finally:
                await index.close()

    async def measure(self, *, within: bool) -> Mapping[str, list[Found]]:
        """Return by leg how each question went; `within`: only its own document is searched."""
        found: dict[str, list[Found]] = defaultdict(list)
        for question in self._questions.questions:
            for leg, weights in LEGS.items():
                passages = await self.search(question, weights, within=within)
                found[leg].append(Found(question.question_id, self._judge(question, passages)))
        return found

    async def search(self, question: Question, weights: FusionWeights, *, within: bool) -> list[Passage]:
        """Return the passages of one search, best first."""
        document_ids = [question.document] if within else None
        request = SearchRequest(
            tenant=TENANT, query=question.text, top_k=MAX_TOP_K, filter=SearchFilter(document_ids=document_ids)
        )
        options = replace(self._search.options, fusion=weights)
        return (await search_passages(request, replace(self._search, options=options))).passages

    async def _add(self, document: SourceDocument) -> None:
        sha256 = hashlib.sha256(document.content).hexdigest()
        await self._ingest.registry.create(
            NewDocument(TENANT, document.name, document.name, sha256, len(document.content))
        )
        await self._ingest.blobs.put(make_blob_key(TENANT, sha256, document.name), document.content)
        deps = replace(self._ingest, parser=PrintedTextParser()) if document.name.endswith(".txt") else self._ingest
        job = DocumentJob(tenant=TENANT, document_id=document.name)

        async def keep() -> None:
            """Tell nobody: there is no queue."""

        outcome = await run_ingest_job(job, deps, lease_s=LEASE_S, max_attempts=1, keep_in_progress=keep)
        record = await self._ingest.registry.get(TENANT, document.name)
        if outcome is not Outcome.DONE or record.status is not DocumentStatus.READY:
            raise RuntimeError(f"{document.name}: {outcome}, {record.status}, {record.failure}")
        parse = await self._ingest.blobs.get(make_parse_key(TENANT, sha256, PARSER_VERSION), MAX_PARSE_BYTES)
        self._pages[document.name] = list(StoredParse.open(parse).read_pages())

    def _judge(self, question: Question, passages: Sequence[Passage]) -> list[float]:
        own = [passage if passage.document_id == question.document else None for passage in passages]
        if question.evidence.pages:
            hits = [passage is not None and passage.page in question.evidence.pages for passage in own]
            return [float(any(hits[: rank + 1])) for rank in range(len(hits))]
        wanted = self._find_evidence(question)
        shares = []
        held: set[Place] = set()
        for passage in own:
            if passage is not None:
                held |= {
                    place for place in wanted if place[0] == passage.page and passage.start <= place[1] < passage.end
                }
            shares.append(len(held) / len(wanted))
        return shares

    def _find_evidence(self, question: Question) -> set[Place]:
        (source,) = (
            source.content.decode() for source in self._questions.documents if source.name == question.document
        )
        words, pages = list_words(source), self._pages[question.document]
        return {place for span in question.evidence.spans for place in find_span(words, pages, span)}
