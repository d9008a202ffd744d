"""Runs a question set through the production code: jobs of the ingest worker, then searches of the retrieval.

Of the parts only the stores are in memory or in a folder that is thrown away: registry and blobs are those of the
tests, the index is Qdrant Edge.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from evals.retrieval.judgement import DEPTHS, Judge, Measures
from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.printed_text import PrintedTextParser
from evals.retrieval.question_sets import Question, QuestionSet, SourceDocument
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.stored_parse import MAX_PARSE_BYTES, PARSER_VERSION, StoredParse
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job
from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.ports import Reranker
from services.retrieval.settings import RetrievalSettings
from services.retrieval.use_cases.search_passages import SearchDependencies, search_passages
from shared.blobs.port import make_blob_key, make_parse_key
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.contracts.search import MAX_TOP_K, Passage, SearchFilter, SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.registry.port import NewDocument
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import IndexQuery, LegHits
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.fakes.memory_registry import MemoryRegistry

TENANT = "evals"
LEASE_S = 3600.0
_LIMITS = ParseLimits(memory_mb=2048, cpu_s=300, wall_s=600, max_pages=5000)


@dataclass(frozen=True)
class Leg:
    """A stage of the search whose ranking is measured. `top_k`: None for as many passages as are reranked."""

    fusion: FusionWeights
    reranked: bool = False
    joined: bool = False
    top_k: int | None = None


LEGS = {
    "dense": Leg(FusionWeights(dense=1, bm25=0)),
    "bm25": Leg(FusionWeights(dense=0, bm25=1)),
    "ranks": Leg(FusionWeights(method="ranks")),
    "fused": Leg(FusionWeights()),
}
"""With a weight of 0 the other leg's hits stand behind those of this one. `ranks` is plain reciprocal rank fusion, to
compare with."""
RERANKED = {
    "reranked": Leg(FusionWeights(), reranked=True),
    "sources": Leg(FusionWeights(), reranked=True, joined=True, top_k=max(DEPTHS)),
}
"""`sources` are the passages that a user gets who asks for ten: neighbours joined, nothing twice."""


class LastSearchIndex(EdgeIndex):
    """Answers a search that is the same as the one before from memory: the legs are measured one after the other."""

    _last: tuple[str, IndexQuery, LegHits] | None = None

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run both legs."""
        if self._last is None or self._last[:2] != (tenant, query):
            self._last = (tenant, query, await super().search(tenant, query))
        return self._last[2]


class MeasuredSystem:
    """A question set that can be searched. `legs`: what `measure` measures, by name."""

    def __init__(
        self, questions: QuestionSet, ingest: IngestDependencies, search: SearchDependencies, legs: Mapping[str, Leg]
    ) -> None:
        self.legs = legs
        self._questions = questions
        self._ingest = ingest
        self._search = search
        self._judge = Judge()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, questions: QuestionSet, embedder: KeptVectors, reranker: Reranker | None = None
    ) -> AsyncIterator["MeasuredSystem"]:
        """Ingest all documents. Raises RuntimeError when one of them does not become ready.

        Parameters:
            reranker: is measured as one more leg; its state has to be `on`.
        """
        registry, bm25 = MemoryRegistry(), Bm25Encoder()
        with TemporaryDirectory(prefix="pagewire-evals-") as folder:
            index = LastSearchIndex(Path(folder), embedder.dimension)
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
                settings = RetrievalSettings.model_construct()  # the defaults, whatever the environment says
                options = await asyncio.to_thread(settings.make_search_options)
                search = SearchDependencies(embedder, bm25, index, registry, reranker or NoReranker(), options)
                legs = {**LEGS, **RERANKED} if reranker else LEGS
                system = cls(questions, ingest, search, legs)
                for document in questions.documents:
                    await system._add(document)
                yield system
            finally:
                await index.close()

    async def measure(self, *, within: bool) -> dict[str, list[Measures]]:
        """Return by leg how each question went, in their order; `within`: only its own document is searched."""
        found: dict[str, list[Measures]] = defaultdict(list)
        for question in self._questions.questions:
            for name, leg in self.legs.items():
                found[name].append(self._judge.judge(question, await self.search(question, leg, within=within)))
        return found

    async def search(self, question: Question, leg: Leg, *, within: bool) -> list[Passage]:
        """Return the passages of one search, best first.

        No more are asked for than are reranked: the first ones would be others than whoever asks for five gets.
        """
        document_ids = [question.document] if within else None
        count = self._search.options.rerank_count or self._search.reranker.depth or MAX_TOP_K
        request = SearchRequest(
            tenant=TENANT,
            query=question.text,
            top_k=leg.top_k or min(count, MAX_TOP_K),
            filter=SearchFilter(document_ids=document_ids),
        )
        reranker = self._search.reranker if leg.reranked else NoReranker()
        options = replace(self._search.options, fusion=leg.fusion, joined=leg.joined)
        deps = replace(self._search, options=options, reranker=reranker)
        return (await search_passages(request, deps)).passages

    async def _add(self, document: SourceDocument) -> None:
        sha256 = hashlib.sha256(document.content).hexdigest()
        await self._ingest.registry.create(
            NewDocument(TENANT, document.name, document.name, sha256, len(document.content))
        )
        await self._ingest.blobs.put(make_blob_key(TENANT, sha256, document.name), document.content)
        deps = replace(self._ingest, parser=PrintedTextParser()) if document.is_text else self._ingest
        job = DocumentJob(tenant=TENANT, document_id=document.name)

        async def keep() -> None:
            """Tell nobody: there is no queue."""

        outcome = await run_ingest_job(job, deps, lease_s=LEASE_S, max_attempts=1, keep_in_progress=keep)
        record = await self._ingest.registry.get(TENANT, document.name)
        if outcome is not Outcome.DONE or record.status is not DocumentStatus.READY:
            raise RuntimeError(f"{document.name}: {outcome}, {record.status}, {record.failure}")
        if document.is_text:
            parse = await self._ingest.blobs.get(make_parse_key(TENANT, sha256, PARSER_VERSION), MAX_PARSE_BYTES)
            self._judge.add_text(document.name, document.content.decode(), list(StoredParse.open(parse).read_pages()))
