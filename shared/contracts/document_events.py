"""The events of a document's ingest: `progress…`, then `ready` or `failed`."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus, DocumentWarning


class DocumentProgress(BaseModel):
    """How far a document is; counts only grow. The registry's scripts write it in one step with the record."""

    status: DocumentStatus
    pages_total: int = 0
    pages_done: int = 0
    chunks_total: int = 0
    chunks_done: int = 0
    warnings: list[DocumentWarning] | None = Field(default=None, description="only in `ready`: what was left out")
    failure: DocumentFailure | None = Field(default=None, description="only in `failed`: why, and what to do")
    replacement: bool | None = Field(
        default=None, description="true where a document that can be searched already gets a new version"
    )


DocumentEventName = Literal["progress", "ready", "failed"]


class DocumentEvent(BaseModel):
    """An event of the stream, by its name and data."""

    name: DocumentEventName
    data: DocumentProgress


def dump_document_event(event: DocumentEvent) -> tuple[str, Any]:
    """Return an event's name and JSON value."""
    return event.name, event.data.model_dump(mode="json", exclude_none=True)


def load_document_event(name: str, data: Any) -> DocumentEvent:
    """Return the event of a name and a JSON value."""
    return DocumentEvent.model_validate({"name": name, "data": data})


def describe_record(record: DocumentRecord) -> DocumentEvent:
    """Return the event that says what a record says: for a stream that is kept no more."""
    told = record.replacement or record
    name: DocumentEventName = "progress"
    if told.status is DocumentStatus.READY:
        name = "ready"
    elif told.status is DocumentStatus.FAILED:
        name = "failed"
    values = told.model_dump(include=set(DocumentProgress.model_fields) - {"replacement"})
    values["replacement"] = record.replacement is not None or None
    if name != "ready":
        values["warnings"] = None
    return DocumentEvent(name=name, data=DocumentProgress.model_validate(values))
