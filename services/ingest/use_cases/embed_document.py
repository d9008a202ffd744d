"""Gives the chunks of a document their vectors and writes them into the index, some at a time.

A large document's chunks are parted into ranges, and idle workers help (`help_document.py`).
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from services.ingest.domain.chunking import Chunk, make_embedded_text
from services.ingest.use_cases.dependencies import EMBED_CHUNKS, IngestDependencies, Sharing
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_embedded_id, make_point_id
from shared.registry.port import Lease, LeaseLostError, Progress
from shared.registry.ranges_port import RangePlan
from shared.vector_index.port import ChunkPayload, IndexPoint
from shared.vector_index.sealing import seal_payload
from shared.version_names import parse_edition

log = structlog.get_logger(__name__)

HELPERS_WAIT_S = 0.2
"""Pause between looks at what helpers still have, at the end of a document."""


async def embed_document(
    lease: Lease, chunks: Sequence[Chunk], title: str, version: str, deps: IngestDependencies
) -> None:
    """Write the points of all chunks of a leased document's version, and its progress.

    Raises LeaseLostError, IndexRejected, and DependencyUnavailable of the stores.
    """
    if deps.sharing is not None and len(chunks) >= deps.sharing.from_chunks:
        await _embed_shared(lease, chunks, title, version, deps, deps.sharing)
        return
    for first in range(0, len(chunks), EMBED_CHUNKS):
        batch = chunks[first : first + EMBED_CHUNKS]
        points = await embed_chunks(batch, lease.job, title, version, lease.text_key, deps)
        await write_points(lease.job.tenant, points, deps)
        done = first + len(batch)
        await deps.registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_done=done))


async def _embed_shared(
    lease: Lease, chunks: Sequence[Chunk], title: str, version: str, deps: IngestDependencies, sharing: Sharing
) -> None:
    """Take one range after another, then wait for those that helpers have, or take them back."""
    plan = RangePlan(version, title, len(chunks), sharing.range_chunks, lease.text_key)
    await sharing.ranges.open(lease, plan)
    while (claim := await sharing.ranges.claim(lease, plan)) != "done":
        if claim == "held":
            await asyncio.sleep(HELPERS_WAIT_S)
            continue
        points = await embed_chunks(chunks[claim.chunks], lease.job, title, version, lease.text_key, deps)
        await write_points(lease.job.tenant, points, deps)
        if not await sharing.ranges.finish(claim):
            raise LeaseLostError(lease.job.document_id)


async def embed_chunks(
    chunks: Sequence[Chunk], job: DocumentJob, title: str, version: str, text_key: str, deps: IngestDependencies
) -> list[IndexPoint]:
    """Return the points of chunks. What is embedded has a header line before it, and the head of a table that is cut;
    what is stored and shown is the page's own text, sealed with the version's key."""
    count = deps.embedder.count_tokens
    texts = await asyncio.to_thread(lambda: [make_embedded_text(title, chunk, count) for chunk in chunks])
    names = await asyncio.to_thread(lambda: [make_embedded_id(deps.embedder.model_id, text) for text in texts])
    dense = await _find_or_embed(dict(zip(names, texts, strict=True)), job.tenant, deps)
    sparse = await asyncio.to_thread(deps.bm25.encode_passages, texts, [chunk.language for chunk in chunks])
    payloads = [
        ChunkPayload(
            document_id=job.document_id,
            version=version,
            chunk_id=chunk.chunk_id,
            title=title,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
            table_head=chunk.table_head,
            embedded=name,
            ocr_confidence=chunk.ocr_confidence,
            edition=parse_edition(version),
        )
        for chunk, name in zip(chunks, names, strict=True)
    ]
    sealed = await asyncio.to_thread(lambda: [seal_payload(payload, text_key) for payload in payloads])
    return [
        IndexPoint(
            point_id=make_point_id(job.tenant, job.document_id, version, payload.chunk_id),
            payload=payload,
            dense=dense[names[position]],
            sparse=sparse[position],
        )
        for position, payload in enumerate(sealed)
    ]


async def write_points(tenant: str, points: Sequence[IndexPoint], deps: IngestDependencies) -> None:
    """Write points into the index; when it returns they can be found."""
    with deps.metrics.time("write"):
        await deps.index.upsert(tenant, points)


async def _find_or_embed(texts: Mapping[str, str], tenant: str, deps: IngestDependencies) -> dict[str, list[float]]:
    """Vectors of texts by their names. What the tenant's points have already is not embedded once more.

    A vector follows from its text and its model alone, so it does not matter whose point it is: that of the version
    before, of the same PDF under another name, or of an ingest that was broken off.
    """
    vectors = await deps.index.find_vectors(tenant, list(texts))
    missing = [name for name in texts if name not in vectors]
    if missing:
        with deps.metrics.time("embed"):
            embedded = await deps.embedder.embed_passages([texts[name] for name in missing])
        vectors |= {name: embedded[position].tolist() for position, name in enumerate(missing)}
    log.debug("chunks_embedded", count=len(missing), reused=len(texts) - len(missing))
    return vectors
