"""Gives the chunks of a document their vectors and writes them into the index, some at a time."""

import asyncio
from collections.abc import Sequence

from services.ingest.domain.chunking import Chunk, make_header
from services.ingest.use_cases.dependencies import IngestDependencies
from shared.contracts.documents import DocumentStatus
from shared.identifiers import make_point_id
from shared.registry.port import Lease, Progress
from shared.vector_index.port import ChunkPayload, IndexPoint

EMBED_CHUNKS = 64
"""Chunks per step of progress, and points per write."""


async def embed_document(
    lease: Lease, chunks: Sequence[Chunk], title: str, version: str, deps: IngestDependencies
) -> None:
    """Write the points of all chunks of a leased document's version, and its progress.

    Raises LeaseLostError, IndexRejected, and DependencyUnavailable of the stores.
    """
    for first in range(0, len(chunks), EMBED_CHUNKS):
        batch = chunks[first : first + EMBED_CHUNKS]
        points = await _embed_chunks(batch, lease, title, version, deps)
        await deps.index.upsert(lease.job.tenant, points)
        done = first + len(batch)
        await deps.registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_done=done))


async def _embed_chunks(
    chunks: Sequence[Chunk], lease: Lease, title: str, version: str, deps: IngestDependencies
) -> list[IndexPoint]:
    """Points of the chunks. What is embedded has a header line before it; what is stored and shown has not."""
    job = lease.job
    count = deps.embedder.count_tokens
    texts = await asyncio.to_thread(
        lambda: [f"{make_header(title, chunk.section, count)}\n{chunk.text}" for chunk in chunks]
    )
    dense = await deps.embedder.embed_passages(texts)
    sparse = await asyncio.to_thread(deps.bm25.encode_passages, texts)
    return [
        IndexPoint(
            point_id=make_point_id(job.tenant, job.document_id, version, chunk.chunk_id),
            payload=ChunkPayload(
                document_id=job.document_id,
                version=version,
                chunk_id=chunk.chunk_id,
                title=title,
                page=chunk.page,
                start=chunk.start,
                end=chunk.end,
                text=chunk.text,
            ),
            dense=dense[position].tolist(),
            sparse=sparse[position],
        )
        for position, chunk in enumerate(chunks)
    ]
