"""Texts in an index, as passages of one document."""

from collections.abc import Sequence

from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_point_id
from shared.vector_index.port import ChunkPayload, IndexPoint, VectorIndex


async def index_texts(
    index: VectorIndex, embedder: DenseEmbedder, bm25: Bm25Encoder, document_id: str, texts: Sequence[str]
) -> None:
    """Write each text as the passage of a page of its own, of version v1."""
    dense, sparse = await embedder.embed_passages(texts), bm25.encode_passages(texts)
    points = [
        IndexPoint(
            make_point_id("default", document_id, "v1", n),
            ChunkPayload(document_id, "v1", n, "T", n + 1, 0, len(text), text),
            dense[n].tolist(),
            sparse[n],
        )
        for n, text in enumerate(texts)
    ]
    await index.upsert("default", points)
