"""Wire contract of documents: what uploads return, what a record says, how lists are paged."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field


class DocumentStatus(StrEnum):
    """Where a document is on its way; `ready` and `failed` are final."""

    QUEUED = "queued"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether no worker will touch the document again."""
        return self in (DocumentStatus.READY, DocumentStatus.FAILED)


class DocumentFailure(BaseModel):
    """Why a document could not be made searchable, and what its owner can do."""

    code: str
    detail: str
    page: int | None = Field(default=None, description="counted from 1; null when the whole file is at fault")


class DocumentWarning(BaseModel):
    """Something that was left out of a document that is searchable all the same."""

    code: str
    detail: str
    pages: list[int] = Field(default_factory=list, description="the pages it concerns, counted from 1")


class DocumentReplacement(BaseModel):
    """What is to take a document's place, or has failed to. Until it is whole the document answers as before."""

    status: DocumentStatus = Field(
        description="queued, parsing, embedding or failed; once it is ready it is the document"
    )
    filename: str
    size_bytes: int
    sha256: str
    pages_total: int = 0
    pages_done: int = 0
    chunks_total: int = 0
    chunks_done: int = 0
    failure: DocumentFailure | None = None


class DocumentRecord(BaseModel):
    """A document as its owner sees it."""

    document_id: str
    filename: str
    title: str
    status: DocumentStatus
    size_bytes: int
    sha256: str
    created_at: datetime
    updated_at: datetime
    pages_total: int = 0
    pages_done: int = 0
    chunks_total: int = 0
    chunks_done: int = 0
    warnings: list[DocumentWarning] = Field(default_factory=list)
    failure: DocumentFailure | None = None
    replacement: DocumentReplacement | None = Field(
        default=None, description="a new version on its way, or the last one if it failed; null otherwise"
    )

    @property
    def settled(self) -> bool:
        """Whether no worker will touch the document again: it is final, and so is what was to replace it."""
        return self.status.final and (self.replacement is None or self.replacement.status.final)

    def find_upload(self, sha256: str, filename: str) -> "DocumentRecord | DocumentReplacement":
        """Return that part of the record which tells how far these bytes of this name are."""
        new = self.replacement
        return new if new is not None and (new.sha256, new.filename) == (sha256, filename) else self


class DocumentList(BaseModel):
    """One page of documents, newest first."""

    documents: list[DocumentRecord]
    total: int
    next_cursor: str | None = Field(
        default=None,
        description="pass as `cursor` for the next page, whatever is deleted or added meanwhile; null at the end",
    )
    next_offset: int | None = Field(
        default=None,
        description="pass as `offset` for the next page, if nothing is deleted or added meanwhile; null at the end",
    )


class ReindexAccepted(BaseModel):
    """How many documents are made anew in the background, of how many that can be searched."""

    queued: int
    documents: int


class UploadAccepted(BaseModel):
    """The answer to an upload: from here on the document is never lost."""

    document_id: str
    status: DocumentStatus
    duplicate: bool = Field(description="the same bytes under the same name were here before: the same document")
    pages_processed: int | None = Field(default=None, description="only with ?wait= and once ready")
    chunks_indexed: int | None = Field(default=None, description="only with ?wait= and once ready")
    failure: DocumentFailure | None = Field(default=None, description="only with ?wait= and when it failed")
