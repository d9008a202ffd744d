"""Makes one document searchable: read, chunk, embed, write, publish.

Safe to run any number of times and by two workers at once: point ids depend only on the content, every write to the
record checks the lease's epoch, and a version is published in one step after all of its points are stored.
"""

import asyncio
from collections.abc import Sequence

import structlog

from services.ingest.domain.card import make_card
from services.ingest.domain.chunking import Chunk, TooManyChunksError, chunk_pages
from services.ingest.domain.pipeline import name_pipeline
from services.ingest.domain.title import choose_title
from services.ingest.domain.unread import explain_no_text, make_warnings
from services.ingest.ports import UnreadablePdfError
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.embed_document import embed_document
from services.ingest.use_cases.read_document import ReadDocument, read_document
from services.ingest.use_cases.tidy_document import tidy_after_another, tidy_document
from shared.contracts.documents import DocumentFailure, DocumentStatus, DocumentWarning
from shared.errors import IndexRejected
from shared.registry.port import Lease, LeaseLostError, Progress
from shared.version_names import name_version

log = structlog.get_logger(__name__)


_INDEX_REJECTED = (
    "The search index refuses this document's passages, so trying again is no use. The log of the ingest says why; once"
    " that is mended, upload the PDF again."
)
_TOO_LONG = "The PDF has more text than is allowed: more than {limit} passages of a third of a page. Split it."


async def ingest_document(lease: Lease, deps: IngestDependencies) -> None:
    """Bring the leased document to `ready` or `failed`; where an older version is searched, it is so until then.

    Raises LeaseLostError when another worker took over or the document was deleted, and DependencyUnavailable when
    Redis, Qdrant or the blob store does not answer; then the document stays unfinished, to be tried again.
    """
    await deps.index.check()  # where it is away nothing is parsed and embedded in vain
    try:
        warnings = await _make_searchable(lease, deps)
    except UnreadablePdfError as error:
        await fail_document(lease, error.failure, deps)
        return
    except IndexRejected as error:
        log.error("index_rejected", document_id=lease.job.document_id, reason=error.message)  # noqa: TRY400
        await fail_document(lease, DocumentFailure(code=error.error_code, detail=_INDEX_REJECTED), deps)
        return
    except LeaseLostError:
        await tidy_after_another(lease.job, lease.edition, lease.content.sha256, deps)
        raise
    deps.metrics.count_job("ready")
    log.info("document_ready", document_id=lease.job.document_id, warnings=len(warnings))


async def fail_document(lease: Lease, failure: DocumentFailure, deps: IngestDependencies) -> None:
    """End a document as failed, and remove the points that it may have, but for those of a version that is searched.

    In this order: once it has failed nobody writes for it, and as long as we have the lease nobody tries it again.
    Raises LeaseLostError.
    """
    await deps.registry.fail(lease, failure)
    deps.metrics.count_job("failed", failure.code)
    log.info("document_failed", document_id=lease.job.document_id, code=failure.code)
    await tidy_document(lease.job, lease.edition, deps)


async def _make_searchable(lease: Lease, deps: IngestDependencies) -> Sequence[DocumentWarning]:
    with deps.metrics.time("parse"):
        document = await read_document(lease, registry=deps.registry, blobs=deps.blobs, parser=deps.parser)
    title = _choose_title(document, lease.content.filename)
    warnings = make_warnings(document.pages, document.facts.unread)
    await deps.registry.update(lease, Progress(DocumentStatus.PARSING, title=title))
    try:
        chunks = await chunk_document(document, deps, deps.max_chunks)
    except TooManyChunksError:
        failure = DocumentFailure(code="too_long", detail=_TOO_LONG.format(limit=deps.max_chunks))
        raise UnreadablePdfError(failure) from None
    card = await asyncio.to_thread(make_card, lease.content.filename, title, document.pages)
    del document  # the chunks are enough from here on, and embedding takes minutes
    pipeline = name_pipeline(deps.parser.version, deps.embedder.model_id)
    version = name_version(lease.content.sha256, pipeline, lease.edition)
    await deps.registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_total=len(chunks)))
    await embed_document(lease, chunks, title, version, deps)
    await deps.registry.publish(lease, version, warnings, card)
    await tidy_document(lease.job, lease.edition, deps)
    return warnings


async def chunk_document(document: ReadDocument, deps: IngestDependencies, max_chunks: int) -> Sequence[Chunk]:
    """Return a document's chunks, the same whoever makes them. Raises TooManyChunksError."""
    count, limit = deps.embedder.count_tokens, deps.embedder.max_tokens
    return await asyncio.to_thread(
        chunk_pages, document.pages, count, limit, language=document.facts.language, max_chunks=max_chunks
    )


def _choose_title(document: ReadDocument, filename: str) -> str:
    """What a person would call the document. Raises UnreadablePdfError when no page has text."""
    first_text = next((page.text for page in document.pages if page.text), None)
    if first_text is None:
        raise UnreadablePdfError(explain_no_text(document.facts.unread))
    return choose_title(document.facts.title, document.facts.headline, first_text.partition("\n")[0], filename)
