"""Gets the text of a document: from the stored parse of its bytes, or from the PDF, once.

The stored parse belongs to the bytes and the tenant, not to the document: the same PDF under another name shares it,
and a worker that takes over from one that died goes on from it.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.ingest.domain.pages import Page
from services.ingest.domain.stored_parse import (
    MAX_PARSE_BYTES,
    DamagedParseError,
    DocumentFacts,
    StoredParse,
)
from services.ingest.ports import ParseProgress, PdfParser, UnreadablePdfError
from services.ingest.use_cases.recognized_pages import RecognizedPages
from shared.blobs.port import BlobStore, make_blob_key, make_parse_key, make_parses_folder, make_recognized_key
from shared.contracts.documents import DocumentFailure, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound, ServiceError, TooLarge
from shared.registry.port import DocumentRegistry, Lease, Progress

log = structlog.get_logger(__name__)

PROGRESS_PAGES = 25
"""Pages per step of progress."""
PROGRESS_S = 1.0
"""A step that takes longer is told at every page: pictures take a second or more each."""

_BLOB_DAMAGED = (
    "The copy of this PDF in our store has been damaged; your own file is not at fault. Upload it again to replace it."
)
_UNUSABLE = "The PDF makes the reader crash. Open it in a viewer, save a new copy and upload that."


@dataclass(frozen=True)
class ReadDocument:
    """What was read of a PDF: facts about it, and every page."""

    facts: DocumentFacts
    pages: Sequence[Page]


async def read_document(
    lease: Lease, *, registry: DocumentRegistry, blobs: BlobStore, parser: PdfParser
) -> ReadDocument:
    """Return the text of a leased document. The PDF is only opened where no stored parse of its bytes is there.

    Raises UnreadablePdfError, LeaseLostError, and DependencyUnavailable or NotFound of the stores.
    """
    key = make_parse_key(lease.job.tenant, lease.content.sha256, parser.version)
    recognized = make_recognized_key(lease.job.tenant, lease.content.sha256, parser.version)
    document = await find_stored_parse(key, blobs)
    if document is not None:
        log.info("stored_parse_used", document_id=lease.job.document_id, pages=len(document.pages))
        await _clean_up(recognized, blobs)  # whoever stored it may have been stopped before the last step below
    else:
        try:
            content = await _parse(lease, registry=registry, blobs=blobs, parser=parser)
        except UnreadablePdfError:
            await _clean_up(recognized, blobs)
            raise
        try:
            document = await asyncio.to_thread(_read, content)
        except DamagedParseError as error:
            log.error("parse_unusable", document_id=lease.job.document_id, reason=str(error))  # noqa: TRY400
            await _clean_up(recognized, blobs)  # the next try must not begin with what led to this
            raise UnreadablePdfError(DocumentFailure(code="damaged", detail=_UNUSABLE)) from error
        # The lease is looked at just before: who lost it stores nothing for a document that may be purged already.
        await registry.update(lease, Progress(DocumentStatus.PARSING))
        await blobs.put(key, content)
        await _clean_up(recognized, blobs)
        log.info("document_parsed", document_id=lease.job.document_id, pages=len(document.pages))
    pages = len(document.pages)
    await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=pages, pages_done=pages))
    return document


async def _clean_up(recognized: str, blobs: BlobStore) -> None:
    """Remove the pages that were kept on the way. That this fails must not hide what the reading has come to."""
    with suppress(ServiceError):
        await blobs.delete(recognized)


async def remove_unshared_parses(
    job: DocumentJob, sha256: str, *, registry: DocumentRegistry, blobs: BlobStore
) -> None:
    """Remove what was read of bytes that a document has no more, unless another one of the tenant has the same.

    Should one be uploaded in this moment, its worker parses it once more; nothing else is lost.
    """
    if await registry.let_go_of_content(job, sha256):
        await blobs.delete_all(make_parses_folder(job.tenant, sha256))


async def find_stored_parse(key: str, blobs: BlobStore) -> ReadDocument | None:
    """Return what was read of a PDF before; None where it is not stored, or damaged."""
    try:
        content = await blobs.get(key, MAX_PARSE_BYTES)
        return await asyncio.to_thread(_read, content)
    except NotFound:
        return None
    except (TooLarge, DamagedParseError) as error:
        log.warning("stored_parse_damaged", key=key, reason=str(error))
        return None


def _read(content: bytes) -> ReadDocument:
    parse = StoredParse.open(content)
    return ReadDocument(parse.facts, list(parse.read_pages()))


async def _parse(lease: Lease, *, registry: DocumentRegistry, blobs: BlobStore, parser: PdfParser) -> bytes:
    """The stored parse of a document's PDF."""
    tenant, sha256 = lease.job.tenant, lease.content.sha256
    await registry.update(lease, Progress(DocumentStatus.PARSING))
    content = b""
    loop = asyncio.get_running_loop()
    told = loop.time()
    async with blobs.open_as_file(make_blob_key(tenant, sha256, lease.content.blob)) as path:
        if await asyncio.to_thread(hash_file, path) != sha256:
            log.error("blob_damaged", document_id=lease.job.document_id)
            raise UnreadablePdfError(DocumentFailure(code="blob_damaged", detail=_BLOB_DAMAGED))
        recognized = await RecognizedPages.find(make_recognized_key(tenant, sha256, parser.version), blobs)
        async with aclosing(parser.parse(path, recognized.content)) as messages:
            async for message in messages:
                if not isinstance(message, ParseProgress):
                    content = message
                    continue
                recognized.add(message.recognized)
                keep = recognized.is_due()
                if keep or message.pages_done % PROGRESS_PAGES == 0 or loop.time() - told >= PROGRESS_S:
                    progress = Progress(
                        DocumentStatus.PARSING, pages_total=message.pages_total, pages_done=message.pages_done
                    )
                    await registry.update(lease, progress)
                    told = loop.time()
                if keep:
                    await recognized.keep()
    return content


def hash_file(path: Path) -> str:
    """Return the sha-256 of a file in hexadecimal digits. Blocks: call it in a thread."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
