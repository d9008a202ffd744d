"""BM25 term weights, by the encoder that comes with Qdrant Edge: the same for both engines, with no download.

The engine multiplies by the inverse document frequency at search time (the IDF modifier), so a point's weights do
not change when other documents come and go.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import qdrant_edge as edge

from shared.embedding.segments import part_passage, part_query
from shared.vector_index.port import SparseVector

AVERAGE_CHUNK_TERMS = 110.0
"""Terms per chunk after stop words, for length normalisation: chunks aim at 180 word pieces, about 110 such terms."""


KNOWN_WORDS = 100_000
"""Words whose terms are remembered, which takes some 15 MB: most words of a language, and figures come and go."""
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


class Bm25Encoder:
    """Encodes texts for the lexical leg; English stop words and stemming, accents folded. Safe to share by threads.

    Scripts without spaces between words are parted before (`segments.py`).
    """

    def __init__(self) -> None:
        self._find_term = lru_cache(maxsize=KNOWN_WORDS)(self._encode_word)
        self._model = edge.Bm25(edge.Bm25Config(avg_len=AVERAGE_CHUNK_TERMS, language="english", ascii_folding=True))

    def encode_passages(self, texts: Sequence[str]) -> list[SparseVector]:
        """Saturated, length-normalised term frequencies, one vector per text."""
        return [_convert(self._model.embed_document(part_passage(text))) for text in texts]

    def encode_query(self, text: str) -> SparseVector:
        """Each distinct term once, with weight 1."""
        return _convert(self._model.embed_query(part_query(text)))

    def list_terms(self, text: str) -> list[int]:
        """The ids of the text's terms in their order; a text of 20 passages takes some milliseconds."""
        found = (self._find_term(word) for word in _WORD.findall(part_passage(text).lower()))
        return [term for term in found if term is not None]

    def _encode_word(self, word: str) -> int | None:
        indices = self._model.embed_query(word).indices
        return int(indices[0]) if indices else None


def _convert(vector: edge.SparseVector) -> SparseVector:
    return SparseVector(indices=list(vector.indices), values=list(vector.values))
