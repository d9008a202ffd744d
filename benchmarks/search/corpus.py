"""Makes a collection of any size out of some thousand real chunks.

The originals are real documents, read, cut, embedded and given their cards by the production code. All later documents
are copies: every seventh word is another one of the collection, a vector is put somewhere between its original's and
that of a near neighbour, and what the copy is called by on its card is a name of its own. So words are as frequent as
in real text, vectors lie where real ones lie, and no two chunks are the same.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.printed_text import PrintedTextParser
from evals.retrieval.question_sets import SourceDocument
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.card import make_card
from services.ingest.domain.chunking import Chunk, chunk_pages, make_embedded_text
from services.ingest.domain.stored_parse import StoredParse
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id, make_embedded_id, make_point_id
from shared.registry.cards import Card
from shared.vector_index.port import ChunkPayload, IndexPoint
from shared.vector_index.sealing import seal_payload

Vectors = NDArray[np.float32]

TENANT = "bench"
VERSION = "v1"
CHANGED_WORDS = 7
"""Of so many words of a copy one is another one."""
NEIGHBOURS = 10
"""A copy's vector lies between its original's and that of one of so many near ones."""
NOISE = 0.02
"""Length of what is added to a copy's vector besides, in no direction: copies of one pair would lie on a line."""
MOST_OF_A_DOCUMENT = 150
"""Chunks taken of each original, so that a few long reports are not all there is."""
_LIMITS = ParseLimits(memory_mb=2048, cpu_s=300, wall_s=600, max_pages=5000)


@dataclass(frozen=True)
class Original:
    """A real document: its chunks, what they are called, and the place of their first vector."""

    name: str
    chunks: Sequence[Chunk]
    card: Card
    first: int


@dataclass(frozen=True)
class MadeDocument:
    """A document of the collection. `chunks[i]` has the vector `vectors[i]`."""

    document_id: str
    title: str
    card: Card
    chunks: Sequence[Chunk]
    vectors: Vectors


class Originals:
    """Real documents with the vectors of their chunks, and whatever is made of them."""

    def __init__(self, documents: Sequence[Original], vectors: Vectors) -> None:
        self.documents = documents
        self.vectors = vectors
        self._near = find_neighbours(vectors, min(NEIGHBOURS, len(vectors) - 1))
        words = sorted({word for document in documents for chunk in document.chunks for word in chunk.text.split()})
        self._words = np.array(words, dtype=object)

    def make_documents(self, chunks: int, seed: int = 1) -> Iterator[MadeDocument]:
        """Yield documents until they have so many chunks: the originals, then copies of them."""
        random = np.random.default_rng(seed)
        left, copy = chunks, 0
        while left > 0:
            for original in self.documents:
                if left <= 0:
                    return
                made = self._make_document(original, copy, left, random)
                left -= len(made.chunks)
                yield made
            copy += 1

    def vary_vectors(self, places: NDArray[np.int64], random: np.random.Generator) -> Vectors:
        """Return a new unit vector for each of these originals."""
        near = self._near[places, random.integers(self._near.shape[1], size=len(places))]
        share = random.random((len(places), 1), dtype=np.float32)
        noise = random.standard_normal((len(places), self.vectors.shape[1]), dtype=np.float32)
        noise *= NOISE / np.sqrt(self.vectors.shape[1])
        mixed = self.vectors[places] * (1 - share) + self.vectors[near] * share + noise
        return normalise(mixed)

    def _make_document(self, original: Original, copy: int, most: int, random: np.random.Generator) -> MadeDocument:
        chunks = original.chunks[:most]
        places = np.arange(original.first, original.first + len(chunks))
        if copy == 0:
            return MadeDocument(make_document_id(), original.name, original.card, chunks, self.vectors[places])
        changed = [self._change_words(chunk, random) for chunk in chunks]
        card = {_rename(term, copy): weight for term, weight in original.card.items()}
        return MadeDocument(make_document_id(), original.name, card, changed, self.vary_vectors(places, random))

    def _change_words(self, chunk: Chunk, random: np.random.Generator) -> Chunk:
        words = np.array(chunk.text.split(" "), dtype=object)
        places = random.integers(CHANGED_WORDS, size=len(words)) == 0
        words[places] = random.choice(self._words, places.sum())
        text = " ".join(words)
        return replace(chunk, text=text, searched=text, end=chunk.start + len(text))


def _rename(term: str, copy: int) -> str:
    """Periods stay what they are: other reports are of the same years."""
    return term if any(map(str.isdigit, term)) else f"{term}x{copy}"


async def read_originals(documents: Sequence[SourceDocument], embedder: KeptVectors, chunks: int) -> Originals:
    """Read, cut and embed real documents until there are so many chunks; those without text are left out."""
    read: list[Original] = []
    texts: list[str] = []
    for document in documents:
        if len(texts) >= chunks:
            break
        original = await asyncio.to_thread(_read_document, document, len(texts), embedder)
        texts += [make_embedded_text(document.name, chunk, embedder.count_tokens) for chunk in original.chunks]
        if original.chunks:
            read.append(original)
    return Originals(read, await embedder.embed_passages(texts))


def _read_document(document: SourceDocument, first: int, embedder: KeptVectors) -> Original:
    async def parse(path: Path) -> bytes:
        parser = PrintedTextParser() if document.is_text else ProcessPdfParser(_LIMITS)
        return b"".join([message async for message in parser.parse(path) if isinstance(message, bytes)])

    with tempfile.NamedTemporaryFile(suffix=Path(document.name).suffix) as file:
        file.write(document.content)
        file.flush()
        pages = list(StoredParse.open(asyncio.run(parse(Path(file.name)))).read_pages())
    chunks = chunk_pages(pages, embedder.count_tokens, embedder.max_tokens)[:MOST_OF_A_DOCUMENT]
    return Original(document.name, chunks, make_card(document.name, document.name, pages), first)


def make_points(document: MadeDocument, text_key: str, bm25: Bm25Encoder) -> list[IndexPoint]:
    """Return a document's points as the ingest writes them."""
    # The header line is in the text of the lexical leg, too; it is cut by words here, as the tokenizer takes long.
    texts = [make_embedded_text(document.title, chunk, _count_words) for chunk in document.chunks]
    points = []
    for chunk, text, dense, sparse in zip(
        document.chunks, texts, document.vectors, bm25.encode_passages(texts), strict=True
    ):
        payload = ChunkPayload(
            document_id=document.document_id,
            version=VERSION,
            chunk_id=chunk.chunk_id,
            title=document.title,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
            table_head=chunk.table_head,
            embedded=make_embedded_id("bench", text),
        )
        point_id = make_point_id(TENANT, document.document_id, VERSION, chunk.chunk_id)
        points.append(IndexPoint(point_id, seal_payload(payload, text_key), dense.tolist(), sparse))
    return points


def _count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def find_neighbours(vectors: Vectors, count: int) -> NDArray[np.int64]:
    """Return for each unit vector the places of its nearest others, in no order."""
    near = np.empty((len(vectors), count), dtype=np.int64)
    for first in range(0, len(vectors), 1024):
        block = slice(first, first + 1024)
        similar = vectors[block] @ vectors.T
        similar[np.arange(len(similar)), np.arange(first, first + len(similar))] = -np.inf
        near[block] = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    return near


def normalise(vectors: Vectors) -> Vectors:
    """Return the vectors with a length of 1."""
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
