"""A question in words that no document has finds its passage by what the glossary says: in both legs, and reranked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.domain.glossary import NO_GLOSSARY, Glossary, read_glossary
from services.retrieval.ports import Reranker
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.contracts.search import Passage, SearchRequest
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.registry.port import DocumentRegistry
from shared.vector_index.edge import EdgeIndex
from tests.indexed_texts import index_texts

TEXTS = [
    "Boats are painted every spring.",
    "Guests may bring dogs.",
    "Property is guarded at night. Equipment for guests is at the plant, and purchases are not.",
    "Purchases of property, plant and equipment came to nine million.",
]
RIGHT = len(TEXTS) - 1
GLOSSARY = read_glossary("zorbing = purchases of property, plant and equipment")


@pytest.mark.parametrize("make_reranker", [NoReranker, lambda: TermProximityReranker(Bm25Encoder())])
async def test_what_the_glossary_says_is_found(
    make_reranker: Callable[[], Reranker],
    embedder: DenseEmbedder,
    registry: DocumentRegistry,
    ready_document: str,
    tmp_path: Path,
) -> None:
    """Its words are in the lexical leg, where the question's are not, and the meaning is nearer than without it."""
    index, bm25 = EdgeIndex(tmp_path / "index", embedder.dimension), Bm25Encoder()
    await index.prepare()
    await index_texts(index, embedder, bm25, ready_document, TEXTS)

    async def search(glossary: Glossary) -> list[Passage]:
        options = SearchOptions(50, 20, FusionWeights(), joined=False, glossary=glossary)
        deps = SearchDependencies(embedder, bm25, index, registry, make_reranker(), options)
        return (
            await search_passages(SearchRequest(tenant="default", query="How much zorbing was there?"), deps)
        ).passages

    without = {passage.chunk_id: passage.scores for passage in await search(NO_GLOSSARY)}
    ranked = await search(GLOSSARY)
    scores = {passage.chunk_id: passage.scores for passage in ranked}
    await index.close()

    assert ranked[0].chunk_id == RIGHT
    assert {chunk: score.bm25 for chunk, score in without.items()} == dict.fromkeys(range(len(TEXTS)))
    assert scores[RIGHT].bm25 is not None
    assert scores[0].bm25 is scores[1].bm25 is None
    before, after = without[RIGHT].dense, scores[RIGHT].dense
    assert before is not None
    assert after is not None
    assert before + 0.1 < after <= 1
    assert max(score.dense or 0 for score in scores.values()) == after
