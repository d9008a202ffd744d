"""BM25 term weights, by the encoder that comes with Qdrant Edge: the same for both engines, with no download.

The engine multiplies by the inverse document frequency at search time (the IDF modifier), so a point's weights do
not change when other documents come and go.
"""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import qdrant_edge as edge

from shared.embedding.segments import part_passage, part_query
from shared.vector_index.port import SparseVector

AVERAGE_CHUNK_TERMS = 110.0
"""Terms per chunk after stop words, for length normalisation: chunks aim at 180 word pieces, about 110 such terms."""


KNOWN_WORDS = 50_000
"""Words whose terms are remembered, of at most so many letters: most words of a language."""
KNOWN_CHARS = 32
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
        found = map(self._read_word, _WORD.findall(part_passage(text).lower()))
        return [term for term in found if term is not None]

    def _read_word(self, word: str) -> int | None:
        # The encoder parts figures at their points: 3.5 and 5.3 would share a term.
        return zlib.crc32(word.encode()) if word[0].isdigit() or len(word) > KNOWN_CHARS else self._find_term(word)

    def _encode_word(self, word: str) -> int | None:
        indices = self._model.embed_query(word).indices
        return int(indices[0]) if indices else None


def _convert(vector: edge.SparseVector) -> SparseVector:
    return SparseVector(indices=list(vector.indices), values=list(vector.values))
