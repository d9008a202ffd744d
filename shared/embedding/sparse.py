"""BM25 term weights, by the encoder that comes with Qdrant Edge: the same for both engines, with no download.

The engine multiplies by the inverse document frequency at search time (the IDF modifier), so a point's weights do
not change when other documents come and go.
"""

from collections.abc import Sequence

import qdrant_edge as edge

from shared.embedding.segments import part_passage, part_query
from shared.vector_index.port import SparseVector

AVERAGE_CHUNK_TERMS = 110.0
"""Terms per chunk after stop words, for length normalisation: chunks aim at 180 word pieces, about 110 such terms."""


class Bm25Encoder:
    """Encodes texts for the lexical leg; English stop words and stemming, accents folded. Safe to share by threads.

    Scripts without spaces between words are parted before (`segments.py`).
    """

    def __init__(self) -> None:
        self._model = edge.Bm25(edge.Bm25Config(avg_len=AVERAGE_CHUNK_TERMS, language="english", ascii_folding=True))

    def encode_passages(self, texts: Sequence[str]) -> list[SparseVector]:
        """Saturated, length-normalised term frequencies, one vector per text."""
        return [_convert(self._model.embed_document(part_passage(text))) for text in texts]

    def encode_query(self, text: str) -> SparseVector:
        """Each distinct term once, with weight 1."""
        return _convert(self._model.embed_query(part_query(text)))


def _convert(vector: edge.SparseVector) -> SparseVector:
    return SparseVector(indices=list(vector.indices), values=list(vector.values))
