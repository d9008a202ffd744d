"""BM25 term weights, by the encoder that comes with Qdrant Edge: the same for both engines, with no download.

The engine multiplies by the inverse document frequency at search time (the IDF modifier), so a point's weights do
not change when other documents come and go.

Every text has the terms of the English stemmer, for which it need not be English: words that are the same, names, codes
and figures meet in whatever language they stand. A text in another language has the stems of that one besides, and a
question those of the languages that it may be in. A question is searched for in other forms of its words besides,
`shared/written_forms.py`.
"""

import re
import zlib
from collections.abc import Iterable, Sequence, Set

import qdrant_edge as edge

from shared.embedding.segments import part_passage, part_query
from shared.embedding.stems import STEMMED, Stems
from shared.languages import tell_question
from shared.vector_index.port import SparseVector
from shared.written_forms import join_thousands, list_compound_parts, list_forms, write_figure

AVERAGE_CHUNK_TERMS = 110.0
"""Terms per chunk after stop words, for length normalisation: chunks aim at 180 word pieces, about 110 such terms."""

DOUBTFUL = 0.3
"""Weight of stems in languages that a question may be in: where they find something it comes first, unless something
else has its words as they stand."""

COMPOUNDING = frozenset({"da", "de", "nl", "sv"})
"""Languages that write words in one, and that there are stems of."""

KNOWN_WORDS = 50_000
"""Words of a language whose terms are remembered, of at most so many letters: most of its words."""
KNOWN_CHARS = 32
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


class Bm25Encoder:
    """Encodes texts for the lexical leg; stop words and stemming by language, accents folded. Safe to share by threads.

    Scripts without spaces between words are parted before (`segments.py`).
    """

    def __init__(self) -> None:
        self._english = edge.Bm25(edge.Bm25Config(avg_len=AVERAGE_CHUNK_TERMS, language="english", ascii_folding=True))
        self._stems = {language: Stems(language, AVERAGE_CHUNK_TERMS) for language in STEMMED}
        self._terms = {language: _Terms(stems.model) for language, stems in self._stems.items()}
        self._english_terms = _Terms(self._english)

    def encode_passages(
        self, texts: Sequence[str], languages: Sequence[str | None] | None = None
    ) -> list[SparseVector]:
        """Saturated, length-normalised term frequencies, one vector per text."""
        return [
            self._encode_passage(join_thousands(part_passage(text)), self._stems.get(language or ""))
            for text, language in zip(texts, languages or [None] * len(texts), strict=True)
        ]

    def encode_query(self, text: str) -> SparseVector:
        """Each distinct term once: with weight 1, or less where it is doubtful or stands for what was asked."""
        told, possible = tell_question(text)
        weights = self._weigh_terms(text, told, possible)
        for form, weight in list_forms(text):
            for term, usual in self._weigh_terms(form, told, possible, joined=False).items():
                weights.setdefault(term, weight * usual)
        if compounding := [self._stems[language] for language in sorted(told & COMPOUNDING)]:
            parts = _weigh(compounding, " ".join(list_compound_parts(text)), DOUBTFUL)
            weights = parts | weights
        return SparseVector(indices=list(weights), values=list(weights.values()))

    def list_terms(self, text: str, language: str | None = None) -> list[int]:
        """The ids of the text's terms in their order; a text of 50 passages takes some milliseconds."""
        stems = self._stems.get(language or "")
        text = join_thousands(part_passage(text))
        text = text if stems is None else stems.write_plain(text)
        terms = self._terms.get(language or "", self._english_terms)
        return [term for word in _WORD.findall(text.lower()) if (term := terms[word]) is not None]

    def _weigh_terms(self, text: str, told: Set[str], possible: Set[str], *, joined: bool = True) -> dict[int, float]:
        parted = join_thousands(part_query(text)) if joined else part_query(text)
        surely = [self._stems[language] for language in told & STEMMED]
        common = [set(self._english.embed_query(parted).indices)]
        common += [set(stems.english.embed_query(parted).indices) for stems in surely]
        weights = dict.fromkeys(map(int, set.intersection(*common)), 1.0)
        weights |= _weigh(surely, parted, 1.0)
        return weights | _weigh([self._stems[language] for language in possible], parted, DOUBTFUL)

    def _encode_passage(self, text: str, stems: Stems | None) -> SparseVector:
        if stems is None:
            return _convert(self._english.embed_document(text))
        common = stems.english.embed_document(text)
        own = stems.model.embed_document(stems.write_plain(text))
        # Of two terms that happen to have one id one is left out: a server refuses points that have an id twice.
        weights = dict(zip(map(stems.own_id, own.indices), own.values, strict=True))
        weights |= zip(common.indices, common.values, strict=True)
        return SparseVector(indices=list(weights), values=list(weights.values()))


class _Terms(dict[str, int | None]):
    """The term of each word, None of a stop word. Those of words are remembered, as most words come again and again."""

    def __init__(self, model: edge.Bm25) -> None:
        self._model = model

    def __missing__(self, word: str) -> int | None:
        # The encoder parts figures at their points: 3.5 and 5.3 would share a term.
        if word[0].isdigit():
            return zlib.crc32((word if word.isdigit() else write_figure(word)).encode())
        if len(word) > KNOWN_CHARS:
            return zlib.crc32(word.encode())
        indices = self._model.embed_query(word).indices
        if len(self) >= KNOWN_WORDS:
            self.clear()
        self[word] = term = int(indices[0]) if indices else None
        return term


def _weigh(languages: Iterable[Stems], question: str, weight: float) -> dict[int, float]:
    return {
        stems.own_id(term): weight
        for stems in languages
        for term in stems.model.embed_query(stems.write_plain(question)).indices
    }


def _convert(vector: edge.SparseVector) -> SparseVector:
    return SparseVector(indices=list(vector.indices), values=list(vector.values))
