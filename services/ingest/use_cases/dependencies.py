"""What the use cases of the ingest work with."""

from dataclasses import dataclass, field

from services.ingest.domain.chunking import MAX_CHUNKS
from services.ingest.ports import Embedder, PdfParser
from services.ingest.use_cases.exclusive_gate import ExclusiveGate
from shared.blobs.port import BlobStore
from shared.embedding.port import SparseEncoder
from shared.registry.port import DocumentRegistry
from shared.vector_index.port import VectorIndex


@dataclass(frozen=True)
class IngestDependencies:
    """What the ingest of a document works with."""

    registry: DocumentRegistry
    blobs: BlobStore
    parser: PdfParser
    embedder: Embedder
    bm25: SparseEncoder
    index: VectorIndex
    max_chunks: int = MAX_CHUNKS
    gate: ExclusiveGate = field(default_factory=ExclusiveGate)
