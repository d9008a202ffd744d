"""Gives the chunks of a document their vectors and writes them into the index, some at a time."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from services.ingest.domain.chunking import Chunk, make_header
from services.ingest.use_cases.dependencies import IngestDependencies
from shared.contracts.documents import DocumentStatus
from shared.identifiers import make_embedded_id, make_point_id
from shared.registry.port import Lease, Progress
from shared.vector_index.port import ChunkPayload, IndexPoint

log = structlog.get_logger(__name__)

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
    names = await asyncio.to_thread(lambda: [make_embedded_id(deps.embedder.model_id, text) for text in texts])
    dense = await _find_or_embed(dict(zip(names, texts, strict=True)), job.tenant, deps)
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
                embedded=names[position],
            ),
            dense=dense[names[position]],
            sparse=sparse[position],
        )
        for position, chunk in enumerate(chunks)
    ]


async def _find_or_embed(texts: Mapping[str, str], tenant: str, deps: IngestDependencies) -> dict[str, list[float]]:
    """Vectors of texts by their names. What the tenant's points have already is not embedded once more.

    A vector follows from its text and its model alone, so it does not matter whose point it is: that of the version
    before, of the same PDF under another name, or of an ingest that was broken off.
    """
    vectors = await deps.index.find_vectors(tenant, list(texts))
    missing = [name for name in texts if name not in vectors]
    if missing:
        embedded = await deps.embedder.embed_passages([texts[name] for name in missing])
        vectors |= {name: embedded[position].tolist() for position, name in enumerate(missing)}
    log.debug("chunks_embedded", count=len(missing), reused=len(texts) - len(missing))
    return vectors
