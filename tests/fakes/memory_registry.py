"""A DocumentRegistry in memory, with the leases and the fencing of the one on Redis.

It keeps no streams of events, only their numbers, and a lease runs out when a test says so, not by time.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus, DocumentWarning
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound
from shared.registry.port import Lease, LeaseLostError, NewDocument, Progress
from shared.registry.revision import make_revision

_RANKS = {DocumentStatus.QUEUED: 0, DocumentStatus.PARSING: 1, DocumentStatus.EMBEDDING: 2}
_COUNTS = ("pages_total", "pages_done", "chunks_total", "chunks_done")


@dataclass
class _Document:
    record: DocumentRecord
    event_number: int = 1
    version: str = ""
    epoch: int = 0
    attempts: int = 0
    deleted: bool = False

    def change(self, **fields: Any) -> None:
        self.record = self.record.model_copy(update={**fields, "updated_at": _now()})

    @property
    def unfinished(self) -> bool:
        return not self.deleted and not self.record.status.final


class MemoryRegistry:
    """Keeps records, the tokens of leases, what waits for its purge and what was forgotten."""

    def __init__(self) -> None:
        self._documents: dict[DocumentJob, _Document] = {}
        self._leases: dict[DocumentJob, str] = {}
        self._purging: set[DocumentJob] = set()
        self._forgotten: set[DocumentJob] = set()
        self.revisions: dict[str, str] = {}
        """By tenant: of what searches see."""
        self._contents: dict[tuple[str, str], set[str]] = {}

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        """Record a document, or find the one with the same bytes and name."""
        job = DocumentJob(tenant=new.tenant, document_id=new.document_id)
        for document_id, record in self._find_records(new.tenant):
            if (record.sha256, record.filename) == (new.sha256, new.filename):
                return record, document_id != new.document_id
        if job in self._forgotten or job in self._documents:
            raise NotFound("deleted")
        now = _now()
        record = DocumentRecord(
            document_id=new.document_id,
            filename=new.filename,
            title=new.filename,
            status=DocumentStatus.QUEUED,
            size_bytes=new.size_bytes,
            sha256=new.sha256,
            created_at=now,
            updated_at=now,
        )
        self._documents[job] = _Document(record)
        self._contents.setdefault((new.tenant, new.sha256), set()).add(new.document_id)
        return record, False

    async def requeue(self, job: DocumentJob) -> DocumentRecord:
        """Have a failed document tried again."""
        document = self._get(job)
        if document.record.status is DocumentStatus.FAILED:
            document.change(status=DocumentStatus.QUEUED, failure=None, **dict.fromkeys(_COUNTS, 0))
            document.attempts = 0
            document.epoch += 1
            document.event_number += 1
        return document.record

    async def get(self, tenant: str, document_id: str) -> DocumentRecord:
        """Return the record."""
        return self._get(DocumentJob(tenant=tenant, document_id=document_id)).record

    async def get_with_event_number(self, tenant: str, document_id: str) -> tuple[DocumentRecord, int]:
        """Return the record and the number of its last event."""
        document = self._get(DocumentJob(tenant=tenant, document_id=document_id))
        return document.record, document.event_number

    async def list(
        self, tenant: str, offset: int, limit: int, status: DocumentStatus | None = None
    ) -> tuple[list[DocumentRecord], int]:
        """Return records newest first, and how many there are."""
        found = [record for _, record in self._find_records(tenant) if status in (None, record.status)]
        found.sort(key=lambda record: (record.created_at, record.document_id), reverse=True)
        return found[offset : offset + limit], len(found)

    async def count(self, tenant: str) -> tuple[int, int]:
        """Return how many documents there are, and how many of them are ready."""
        statuses = [record.status for _, record in self._find_records(tenant)]
        return len(statuses), statuses.count(DocumentStatus.READY)

    async def delete(self, tenant: str, document_id: str) -> None:
        """Mark a document as deleted."""
        job = DocumentJob(tenant=tenant, document_id=document_id)
        document = self._get(job)
        document.event_number += document.unfinished
        document.deleted = True
        self._purging.add(job)
        self.revisions[tenant] = make_revision()

    async def get_active_versions(self, tenant: str, document_ids: Sequence[str]) -> dict[str, str]:
        """Return the versions of those that are ready."""
        ready = {i: record for i, record in self._find_records(tenant) if record.status is DocumentStatus.READY}
        return {
            document_id: self._documents[DocumentJob(tenant=tenant, document_id=document_id)].version
            for document_id in document_ids
            if document_id in ready
        }

    async def find_deleted(self, tenant: str) -> Sequence[str]:
        """Return the ids of a tenant's documents that wait for their purge."""
        return [job.document_id for job in self._purging if job.tenant == tenant]

    async def ping(self) -> None:
        """Do nothing: it is there."""

    async def close(self) -> None:
        """Do nothing: no call is under way."""

    async def count_attempts(self, job: DocumentJob) -> int:
        """Return the attempts since the document last got further."""
        return self._documents[job].attempts if job in self._documents else 0

    async def is_leased(self, job: DocumentJob) -> bool:
        """Return whether a worker has the document."""
        return job in self._leases

    async def claim(self, job: DocumentJob, token: str, lease_ms: int) -> Lease | Literal["held", "gone"]:
        """Take the lease of an unfinished document."""
        document = self._documents.get(job)
        if document is None or not document.unfinished:
            return "gone"
        if self._leases.get(job, token) != token:
            return "held"
        if job not in self._leases:
            self._leases[job] = token
            document.epoch += 1
            document.attempts += 1
        return Lease(job=job, token=token, epoch=document.epoch, attempts=document.attempts)

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        """Return whether the lease is still this one."""
        return self._leases.get(lease.job) == lease.token

    async def release(self, lease: Lease) -> None:
        """End a lease, its attempt and its epoch."""
        if self._leases.get(lease.job) != lease.token:
            return
        del self._leases[lease.job]
        document = self._documents.get(lease.job)
        if document is not None and document.epoch == lease.epoch:
            document.attempts = max(0, document.attempts - 1)
            document.epoch += 1

    async def update(self, lease: Lease, progress: Progress) -> None:
        """Write what is higher than before."""
        document = self._documents.get(lease.job)
        if document is None or not document.unfinished or document.epoch != lease.epoch:
            raise LeaseLostError(lease.job.document_id)
        record = document.record
        told = {name: getattr(progress, name) for name in _COUNTS}
        risen: dict[str, Any] = {
            name: value for name, value in told.items() if value is not None and value > getattr(record, name)
        }
        if risen.keys() & {"pages_done", "chunks_done"}:
            document.attempts = 1
        if _RANKS[progress.status] > _RANKS[record.status]:
            risen["status"] = progress.status
        document.event_number += bool(risen)
        document.change(**risen, title=progress.title or record.title)

    async def publish(self, lease: Lease, version: str, warnings: Sequence[DocumentWarning]) -> None:
        """Make a version the one that searches see."""
        self._finish(lease, version, status=DocumentStatus.READY, warnings=[*warnings], failure=None)

    async def fail(self, lease: Lease, failure: DocumentFailure) -> None:
        """End a document as failed."""
        self._finish(lease, "", status=DocumentStatus.FAILED, failure=failure)

    async def exists(self, job: DocumentJob) -> bool:
        """Return whether the document is there and not deleted."""
        return job in self._documents and not self._documents[job].deleted

    async def take_turn(self, work: str, for_ms: int) -> bool:
        """Return True: no time passes in which it would be somebody's turn."""
        return True

    async def find_unleased(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        """Yield unfinished documents that no worker has."""
        for job, document in [*self._documents.items()]:
            if document.unfinished and job not in self._leases:
                yield [job]

    async def find_purgeable(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        """Yield what waits for its purge."""
        yield [*self._purging]

    async def find_sizes(self, jobs: Sequence[DocumentJob]) -> Sequence[int]:
        """Return the documents' sizes."""
        return [self._documents[job].record.size_bytes if job in self._documents else 0 for job in jobs]

    async def request_purge(self, job: DocumentJob) -> None:
        """Note that a document is to be purged."""
        self._purging.add(job)

    async def find_blob_of(self, job: DocumentJob) -> str | None:
        """Return the sha-256 of a document's content."""
        return self._documents[job].record.sha256 if job in self._documents else None

    async def let_go_of_content(self, job: DocumentJob, sha256: str) -> bool:
        """Return whether no other document has these bytes."""
        holders = self._contents.get((job.tenant, sha256), set())
        holders.discard(job.document_id)
        return not holders

    async def forget(self, job: DocumentJob) -> None:
        """Remove a deleted document; a late `create` does not bring it back."""
        if await self.exists(job):
            return
        self._purging.discard(job)
        self._leases.pop(job, None)
        if self._documents.pop(job, None) is not None:
            self._forgotten.add(job)

    # --- for tests ---------------------------------------------------------------------------------------

    async def expire_lease(self, job: DocumentJob) -> None:
        """Let the lease of a worker that has died run out."""
        del self._leases[job]

    def _get(self, job: DocumentJob) -> _Document:
        document = self._documents.get(job)
        if document is None or document.deleted:
            raise NotFound(f"There is no document {job.document_id!r}.")
        return document

    def _find_records(self, tenant: str) -> Sequence[tuple[str, DocumentRecord]]:
        documents = ((job, document) for job, document in self._documents.items() if job.tenant == tenant)
        return [(job.document_id, document.record) for job, document in documents if not document.deleted]

    def _finish(self, lease: Lease, version: str, **fields: Any) -> None:
        """Make a document final; the same once more changes nothing."""
        document = self._documents.get(lease.job)
        if document is None or document.deleted or document.epoch != lease.epoch:
            raise LeaseLostError(lease.job.document_id)
        if document.unfinished:
            document.change(**fields)
            document.version = version
            document.event_number += 1
            if document.record.status is DocumentStatus.READY:
                self.revisions[lease.job.tenant] = make_revision()
        elif document.version != version or any(getattr(document.record, name) != fields[name] for name in fields):
            raise LeaseLostError(lease.job.document_id)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)
