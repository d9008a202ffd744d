"""What a worker without work of its own does: it embeds ranges of a large document that another worker has.

Nothing that goes wrong here is the document's fault: a range that is given back, or not heard of any more, is embedded
by the worker that has the document.
"""

import uuid
from collections.abc import Sequence

import structlog

from services.ingest.domain.chunking import Chunk, TooManyChunksError
from services.ingest.domain.pipeline import name_pipeline
from services.ingest.use_cases.dependencies import IngestDependencies, Sharing
from services.ingest.use_cases.embed_document import embed_chunks, write_points
from services.ingest.use_cases.ingest_document import chunk_document
from services.ingest.use_cases.read_document import find_stored_parse
from services.ingest.use_cases.tidy_document import tidy_after_another
from shared.blobs.port import make_parse_key
from shared.registry.ranges_port import RangeClaim
from shared.tasks import run_to_end
from shared.version_names import is_made_by, is_version_of, parse_edition

log = structlog.get_logger(__name__)


class CannotHelpError(Exception):
    """This worker would make other chunks of the document than the one that has it."""


async def help_others(deps: IngestDependencies, sharing: Sharing) -> bool:
    """Embed ranges of some large document as long as nothing else is to be done here; return whether there was one.

    Raises CannotHelpError, and what the stores and the index raise; then it is better to wait a while.
    """
    found = await sharing.ranges.find_shared() if deps.gate.has_at_most(0) else None
    if found is None:
        return False
    job, plan = found
    content = await deps.registry.find_content(job)
    if content is None:
        return False  # deleted in this moment
    pipeline = name_pipeline(deps.parser.version, deps.embedder.model_id)
    if not is_version_of(content.sha256, plan.version) or not is_made_by(plan.version, pipeline):
        raise CannotHelpError(f"it makes {pipeline}")
    chunks: Sequence[Chunk] = []
    helped = False
    with deps.gate.pass_by():
        while deps.gate.has_at_most(1):
            claim = await sharing.ranges.claim_as_helper(job, plan, uuid.uuid4().hex, sharing.lease_ms)
            if claim is None:
                break
            try:
                chunks = chunks or await _find_chunks(content.sha256, claim, deps)
                helped = await _embed_range(content.sha256, chunks, claim, deps, sharing)
            finally:
                # To the end: also when this worker is stopped, nobody shall wait for the claim to run out.
                await run_to_end(sharing.ranges.give_back(claim))
    return helped


async def _find_chunks(sha256: str, claim: RangeClaim, deps: IngestDependencies) -> Sequence[Chunk]:
    document = await find_stored_parse(make_parse_key(claim.job.tenant, sha256, deps.parser.version), deps.blobs)
    planned = claim.plan.chunks
    try:
        # The limit is that of who has the document: ours may be another, where settings are being changed.
        chunks = [] if document is None else await chunk_document(document, deps, planned)
    except TooManyChunksError:
        raise CannotHelpError(f"it makes more than {planned} chunks of {claim.job.document_id}") from None
    if len(chunks) != planned:
        raise CannotHelpError(f"it makes {len(chunks)} chunks of {claim.job.document_id}, not {planned}")
    log.info("document_helped", document_id=claim.job.document_id, first_range=claim.number)
    return chunks


async def _embed_range(
    sha256: str, chunks: Sequence[Chunk], claim: RangeClaim, deps: IngestDependencies, sharing: Sharing
) -> bool:
    """Embed and store a range; return False when it was taken from us."""
    job, plan = claim.job, claim.plan
    points = await embed_chunks(chunks[claim.chunks], job, plan.title, plan.version, plan.text_key, deps)
    # From here on a whole claim's time is left, more than the index may take: who deletes or replaces the document
    # waits for it before the points are removed.
    if not await sharing.ranges.keep(claim, sharing.lease_ms):
        return False
    await write_points(job.tenant, points, deps)
    if await sharing.ranges.finish(claim):
        return True
    await tidy_after_another(job, parse_edition(plan.version), sha256, deps)
    return False
