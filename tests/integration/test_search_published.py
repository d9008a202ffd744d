"""Which versions a search sees while documents are published and deleted, on a real Redis and a real index."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.contracts.search import SearchRequest
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_point_id
from shared.registry.registry import DocumentRegistry
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, LegHits

BM25 = Bm25Encoder()


class OneVector:
    """Every question has the same vector: what is found is decided by the versions alone."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.array([1, 0], dtype=np.float32)


class PublishingIndex(EdgeIndex):
    """The real index; in its second search a worker publishes version v2 of a document."""

    registry: DocumentRegistry
    document_id: str
    searches = 0

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        hits = await super().search(tenant, query)
        self.searches += 1
        if self.searches == 2:
            redis: Any = self.registry._redis
            await redis.hset(f"pagewire:default:document:{self.document_id}", "version", "v2")
        return hits


@pytest.fixture
async def index(tmp_path: Path, registry: DocumentRegistry, ready_document: str) -> AsyncIterator[PublishingIndex]:
    index = PublishingIndex(tmp_path / "index", 2)
    index.registry, index.document_id = registry, ready_document
    await index.prepare()
    yield index
    await index.close()


def make_point(document_id: str, version: str) -> IndexPoint:
    text = f"The crane lifts tonnes, says {version}."
    payload = ChunkPayload(document_id, version, 0, "T", 1, 0, len(text), text)
    point_id = make_point_id("default", document_id, version, 0)
    return IndexPoint(point_id, payload, [1.0, 0.0], BM25.encode_passages([text])[0])


async def test_a_version_that_is_published_during_a_search_is_found(
    index: PublishingIndex, registry: DocumentRegistry
) -> None:
    """It was left out in the first round, its predecessor is in the next: the document must not vanish."""
    await index.upsert("default", [make_point(index.document_id, version) for version in ("v1", "v2")])
    options = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights())
    deps = SearchDependencies(OneVector(), BM25, index, registry, NoReranker(), options)

    found = await search_passages(SearchRequest(tenant="default", query="What does the crane lift?"), deps)

    assert [passage.text for passage in found.passages] == ["The crane lifts tonnes, says v2."]
