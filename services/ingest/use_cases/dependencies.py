"""What the use cases of the ingest work with."""

from dataclasses import dataclass, field

from services.ingest.domain.chunking import MAX_CHUNKS
from services.ingest.ports import NO_METRICS, Embedder, IngestMetrics, PdfParser
from services.ingest.use_cases.exclusive_gate import ExclusiveGate
from shared.blobs.port import BlobStore
from shared.embedding.port import SparseEncoder
from shared.registry.port import DocumentRegistry, Lease
from shared.registry.ranges_port import DocumentRanges
from shared.vector_index.port import VectorIndex

EMBED_CHUNKS = 64
"""Chunks per step of progress, and points per write."""


@dataclass(frozen=True)
class Sharing:
    """How the workers share the embedding of large documents.

    Attributes:
        lease_ms: how long a helper may take for a range, in milliseconds, before somebody else does it.
        from_chunks: documents of fewer are embedded by one worker: in less time a helper has hardly read their text.
        range_chunks: chunks of a range. It is what a helper that dies costs, and what others wait for at the end.
    """

    ranges: DocumentRanges
    lease_ms: int
    from_chunks: int = 4 * EMBED_CHUNKS
    range_chunks: int = EMBED_CHUNKS


@dataclass(frozen=True)
class IngestDependencies:
    """What the ingest of a document works with; without `sharing` one worker embeds all of it.

    Attributes:
        unreleased: leases that could not be let go when their work had ended, as Redis was away or its disk full.
    """

    registry: DocumentRegistry
    blobs: BlobStore
    parser: PdfParser
    embedder: Embedder
    bm25: SparseEncoder
    index: VectorIndex
    max_chunks: int = MAX_CHUNKS
    gate: ExclusiveGate = field(default_factory=ExclusiveGate)
    sharing: Sharing | None = None
    metrics: IngestMetrics = NO_METRICS
    unreleased: list[Lease] = field(default_factory=list)
