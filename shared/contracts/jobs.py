"""Wire contract of queued jobs: ids only, as JSON, never pickles, never document text."""

from pydantic import BaseModel


class DocumentJob(BaseModel, frozen=True):
    """Names the document that a worker is to ingest or to remove."""

    tenant: str
    document_id: str
