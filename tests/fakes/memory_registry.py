"""A DocumentRegistry in memory, with the leases and the fencing of the one on Redis.

It keeps no streams of events, only their numbers, and a lease runs out when a test says so, not by time.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from shared.contracts.documents import (
    DocumentFailure,
    DocumentRecord,
    DocumentReplacement,
    DocumentStatus,
    DocumentWarning,
)
from shared.contracts.jobs import DocumentJob
from shared.errors import Conflict, NotFound
from shared.identifiers import make_text_key
from shared.registry.cards import NO_CARD, Card, CardMatches, find_matches
from shared.registry.port import (
    BlobId,
    Content,
    DocumentBlobs,
    DocumentPage,
    Lease,
    LeaseLostError,
    ListPlace,
    NewDocument,
    Progress,
    QueuedWork,
    VersionsSeen,
)
from shared.registry.revision import make_revision

_RANKS = {DocumentStatus.QUEUED: 0, DocumentStatus.PARSING: 1, DocumentStatus.EMBEDDING: 2}
_COUNTS = ("pages_total", "pages_done", "chunks_total", "chunks_done")


@dataclass
class _Document:
    """`record` is what is being made or was made last; `live` what is searched meanwhile, with its bytes' name."""

    record: DocumentRecord
    blob: str
    event_number: int = 1
    version: str = ""
    epoch: int = 0
    attempts: int = 0
    deleted: bool = False
    edition: int = 1
    live: tuple[DocumentRecord, str] | None = None
    text_key: str | None = None
    live_text_key: str | None = None
    background: bool = False
    dropped: list[BlobId] = field(default_factory=list)
    card: Card = field(default_factory=dict)

    @property
    def shown(self) -> DocumentRecord:
        """The record as its owner sees it."""
        if self.live is None:
            return self.record
        values = self.record.model_dump(include=set(DocumentReplacement.model_fields))
        return self.live[0].model_copy(update={"replacement": DocumentReplacement(**values)})

    @property
    def named(self) -> list[BlobId]:
        """The bytes that it needs."""
        made = BlobId(self.record.sha256, self.blob)
        return [made] if self.live is None else list(dict.fromkeys([made, BlobId(self.live[0].sha256, self.live[1])]))

    def begin_anew(self, **fields: Any) -> None:
        """Have it made once more."""
        self.attempts = 0
        self.epoch += 1
        self.edition += 1
        if self.record.status is DocumentStatus.READY:
            self.live_text_key = self.text_key
        if self.record.status is not DocumentStatus.FAILED or fields:
            self.text_key = None
        self.event_number += 1
        counts = dict.fromkeys(_COUNTS, 0)
        self.change(status=DocumentStatus.QUEUED, failure=None, replacement=None, warnings=[], **counts, **fields)

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
        self._untidied: dict[DocumentJob, int] = {}
        self._forgotten: set[DocumentJob] = set()
        self.revisions: dict[str, str] = {}
        """By tenant: of what searches see."""
        self._contents: dict[tuple[str, str], set[str]] = {}
        self._pipeline: str | None = None

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        """Record a document, or find the one with the same bytes and name."""
        job = DocumentJob(tenant=new.tenant, document_id=new.document_id)
        for document_id, record in self._find_records(new.tenant):
            told = record.replacement or record
            if told.status is DocumentStatus.FAILED and record.status is DocumentStatus.READY:
                told = record  # what has failed to replace it is not there
            if (told.sha256, told.filename) == (new.sha256, new.filename):
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
        self._documents[job] = _Document(record, new.document_id)
        self._contents.setdefault((new.tenant, new.sha256), set()).add(new.document_id)
        return record, False

    async def requeue(self, job: DocumentJob) -> DocumentRecord:
        """Have a failed document tried again."""
        document = self._get(job)
        if document.record.status is DocumentStatus.FAILED:
            document.begin_anew()
        return document.shown

    async def replace(self, job: DocumentJob, content: Content) -> tuple[DocumentRecord, bool]:
        """Give a document other bytes or another name."""
        document, record = self._get(job), self._get(job).record
        if (record.sha256, record.filename) == (content.sha256, content.filename) and (
            record.status is not DocumentStatus.FAILED
        ):
            return document.shown, False
        for document_id, other in self._find_records(job.tenant):
            if document_id == job.document_id:
                continue
            told = other.replacement or other
            if (told.sha256, told.filename) == (content.sha256, content.filename):
                raise Conflict("known", code="duplicate_document", details={"document_id": document_id})
        before = BlobId(record.sha256, document.blob)
        if record.status is DocumentStatus.READY:
            document.live = (record.model_copy(update={"replacement": None}), document.blob)
        document.blob = content.blob
        document.begin_anew(
            filename=content.filename, title=content.filename, sha256=content.sha256, size_bytes=content.size_bytes
        )
        document.background = False
        if before not in document.named:
            document.dropped.append(before)
        self._contents.setdefault((job.tenant, content.sha256), set()).add(job.document_id)
        return document.shown, True

    async def reindex(self, job: DocumentJob, version: str) -> bool:
        """Have a document made anew of its bytes."""
        document = self._documents.get(job)
        if document is None or document.deleted or document.version != version:
            return False
        if document.unfinished:
            return document.background
        document.live = (document.record.model_copy(update={"replacement": None}), document.blob)
        document.begin_anew()
        document.background = True
        return True

    async def rebuild(self, job: DocumentJob) -> bool:
        """Have a document made anew whose points are lost."""
        document = self._documents.get(job)
        if document is None or document.deleted or document.record.status is DocumentStatus.FAILED:
            return False
        if document.live is not None:
            live = BlobId(document.live[0].sha256, document.live[1])
            document.live = None
            document.dropped += [live] if live not in document.named else []
        document.version, document.background, document.card = "", False, NO_CARD
        document.begin_anew()
        self.revisions[job.tenant] = make_revision()
        return True

    async def get(self, tenant: str, document_id: str) -> DocumentRecord:
        """Return the record."""
        return self._get(DocumentJob(tenant=tenant, document_id=document_id)).shown

    async def get_with_event_number(self, tenant: str, document_id: str) -> tuple[DocumentRecord, int]:
        """Return the record and the number of its last event."""
        document = self._get(DocumentJob(tenant=tenant, document_id=document_id))
        return document.shown, document.event_number

    async def list(
        self, tenant: str, start: int | ListPlace, limit: int, status: DocumentStatus | None = None
    ) -> DocumentPage:
        """Return records newest first, from an offset or a place on."""
        found = [record for _, record in self._find_records(tenant) if status in (None, record.status)]
        found.sort(key=_make_place, reverse=True)
        behind = start if isinstance(start, int) else sum(_make_place(record) >= astuple(start) for record in found)
        records, end = found[behind : behind + limit], behind + limit
        more = end < len(found)
        place = ListPlace(*_make_place(records[-1])) if more else None
        return DocumentPage(records, len(found), end if more else None, place)

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
        return (await self.look_at_versions(tenant, document_ids)).versions

    async def look_at_versions(self, tenant: str, document_ids: Sequence[str]) -> VersionsSeen:
        """Return them with the keys of their texts and the revision."""
        ready = {i for i, record in self._find_records(tenant) if record.status is DocumentStatus.READY}
        found = {i: self._documents[DocumentJob(tenant=tenant, document_id=i)] for i in document_ids if i in ready}
        keys = {i: doc.text_key if doc.live is None else doc.live_text_key for i, doc in found.items()}
        return VersionsSeen(
            {document_id: document.version for document_id, document in found.items()},
            self.revisions.get(tenant),
            {document_id: key for document_id, key in keys.items() if key},
        )

    async def find_cards(self, tenant: str, terms: Sequence[str]) -> CardMatches:
        """Return which documents have these terms on their cards."""
        documents = {job.document_id: document for job, document in self._documents.items() if job.tenant == tenant}
        return find_matches({i: d.card for i, d in documents.items() if d.card and not d.deleted}, terms)

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
        document.text_key = document.text_key or make_text_key()
        record = document.record
        content = Content(record.filename, record.sha256, record.size_bytes, document.blob)
        return Lease(job, token, document.epoch, document.attempts, content, document.edition, document.text_key)

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        """Return whether the lease is still this one."""
        document = self._documents.get(lease.job)
        current = document is not None and document.epoch == lease.epoch
        return current and self._leases.get(lease.job) == lease.token

    async def release(self, lease: Lease) -> None:
        """End a lease, its attempt and its epoch."""
        if self._leases.get(lease.job, lease.token) != lease.token:
            return
        self._leases.pop(lease.job, None)
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

    async def publish(
        self, lease: Lease, version: str, warnings: Sequence[DocumentWarning], card: Card = NO_CARD
    ) -> None:
        """Make a version the one that searches see."""
        self._finish(lease, version, status=DocumentStatus.READY, warnings=[*warnings], failure=None)
        self._documents[lease.job].card = card

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

    async def find_untidied(self) -> AsyncGenerator[Sequence[tuple[DocumentJob, int]], None]:
        """Yield what nobody has tidied up."""
        yield [pair for pair in self._untidied.items() if pair[0] not in self._leases]

    async def note_tidied(self, job: DocumentJob, edition: int) -> None:
        """Note that an edition is tidied up."""
        if self._untidied.get(job) == edition:
            del self._untidied[job]

    async def find_work(self, jobs: Sequence[DocumentJob]) -> Sequence[QueuedWork]:
        """Return the documents' sizes, and which are made in the background."""
        found = [self._documents.get(job) for job in jobs]
        return [
            QueuedWork(0) if document is None else QueuedWork(document.record.size_bytes, document.background)
            for document in found
        ]

    async def request_purge(self, job: DocumentJob) -> None:
        """Note that a document is to be purged."""
        self._purging.add(job)

    async def find_blobs(self, job: DocumentJob) -> DocumentBlobs:
        """Return the bytes of a document."""
        document = self._documents.get(job)
        return DocumentBlobs([], []) if document is None else DocumentBlobs(document.named, [*document.dropped])

    async def note_removed(self, job: DocumentJob, dropped: Sequence[BlobId]) -> None:
        """Forget bytes that are removed."""
        if document := self._documents.get(job):
            document.dropped = [name for name in document.dropped if name not in dropped]

    async def find_edition(self, job: DocumentJob) -> int:
        """Return which making of the document is the last."""
        return self._documents[job].edition if await self.exists(job) else 0

    async def find_content(self, job: DocumentJob) -> Content | None:
        """Return what is made of the document."""
        if not await self.exists(job):
            return None
        document = self._documents[job]
        record = document.record
        return Content(record.filename, record.sha256, record.size_bytes, document.blob)

    async def note_pipeline(self, pipeline: str) -> None:
        """Keep it."""
        self._pipeline = pipeline

    async def find_pipeline(self) -> str | None:
        """Return what was noted last."""
        return self._pipeline

    async def list_versions(self, tenant: str) -> AsyncGenerator[Sequence[tuple[DocumentJob, str]], None]:
        """Yield documents that can be searched, with their versions."""
        for job, document in [*self._documents.items()]:
            if job.tenant == tenant and not document.deleted and document.shown.status is DocumentStatus.READY:
                yield [(job, document.version)]

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
        return [(job.document_id, document.shown) for job, document in documents if not document.deleted]

    def _finish(self, lease: Lease, version: str, **fields: Any) -> None:
        """Make a document final; the same once more changes nothing."""
        document = self._documents.get(lease.job)
        if document is None or document.deleted or document.epoch != lease.epoch:
            raise LeaseLostError(lease.job.document_id)
        if not document.unfinished:
            told, was = document.record, document.record.replacement
            if fields["status"] is DocumentStatus.FAILED and was is not None and was.failure == fields["failure"]:
                return
            if document.version != version or any(getattr(told, name) != fields[name] for name in fields):
                raise LeaseLostError(lease.job.document_id)
            return
        self._untidied[lease.job] = document.edition
        document.event_number += 1
        document.change(**fields)
        live, before = document.live, document.named
        if document.record.status is DocumentStatus.READY:
            document.version = version
            self.revisions[lease.job.tenant] = make_revision()
        elif live is not None:
            values = document.record.model_dump(include=set(DocumentReplacement.model_fields))
            document.record, document.blob = live
            document.text_key = document.live_text_key
            document.change(replacement=DocumentReplacement(**values))
        document.live, document.background = None, False
        document.dropped += [name for name in before if name not in document.named]


def _make_place(record: DocumentRecord) -> tuple[int, str]:
    return int(record.created_at.timestamp() * 1000), record.document_id


def _now() -> datetime:
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)
