"""The port of the document registry, the one truth about documents and how far they are, and the values that cross it.

A worker that processes a document has its lease. Each claim, release and requeue raises the document's epoch, and
what is written with an older one changes nothing (fencing). A final status is final for every worker.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus, DocumentWarning
from shared.contracts.jobs import DocumentJob
from shared.registry.cards import NO_CARD, Card, CardMatches


class LeaseLostError(Exception):
    """Another worker took the document over, or it was deleted: stop and write nothing more."""


@dataclass(frozen=True)
class NewDocument:
    """What is known of a document when its bytes have arrived."""

    tenant: str
    document_id: str
    filename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class BlobId:
    """Which bytes: with the tenant these two are their key, see `make_blob_key`."""

    sha256: str
    blob: str


@dataclass(frozen=True)
class Content:
    """What a document is made of."""

    filename: str
    sha256: str
    size_bytes: int
    blob: str


@dataclass(frozen=True)
class Lease:
    """A worker's right to process a document, valid while it is renewed.

    Attributes:
        edition: which making of the document it is, counted from 1.
        text_key: of this edition alone; seals what the index gets of its text.
    """

    job: DocumentJob
    token: str
    epoch: int
    attempts: int
    content: Content
    edition: int
    text_key: str = field(repr=False)


@dataclass(frozen=True)
class DocumentBlobs:
    """The bytes of a document: those that its record names, what is being made or was made last first, and those that
    it named before and that are still to be removed."""

    named: Sequence[BlobId]
    dropped: Sequence[BlobId]


@dataclass(frozen=True)
class QueuedWork:
    """What the queue is to know of an unfinished document; in the background: after what people wait for."""

    size_bytes: int
    background: bool = False


@dataclass(frozen=True)
class Progress:
    """How far an ingest is; counts only grow."""

    status: DocumentStatus
    title: str | None = None
    pages_total: int | None = None
    pages_done: int | None = None
    chunks_total: int | None = None
    chunks_done: int | None = None


@dataclass(frozen=True)
class ListPlace:
    """A place in the lists of a tenant's documents: right behind one, whether that is still there or not."""

    created_ms: int
    document_id: str


@dataclass(frozen=True)
class DocumentPage:
    """A part of a list of documents, newest first.

    Attributes:
        records: fewer than were asked for, also before the end, where some were deleted in this moment.
        total: how many there are in the whole list.
        next_offset, next_place: where the next part begins; None at the end.
    """

    records: list[DocumentRecord]
    total: int
    next_offset: int | None
    next_place: ListPlace | None


@dataclass(frozen=True)
class VersionsSeen:
    """Versions that searches may show now.

    Attributes:
        versions: by document.
        revision: another one after each publication, deletion and rebuild of the tenant's documents (revision.py);
            None as long as there was none.
        text_keys: by document, what opens the texts that the index has of this version; those that it has in plain may
            have none.
    """

    versions: dict[str, str]
    revision: str | None
    text_keys: dict[str, str] = field(default_factory=dict, repr=False)


class DocumentRegistry(Protocol):
    """Reads and writes records. Raises DependencyUnavailable when it does not answer within its deadline.

    Unknown, deleted and other tenants' documents are the same: NotFound.
    """

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        """Record a document as queued; return the record and whether it is one that was there already.

        The same bytes under the same name are the same document. One that was there stays as it is, also when it has
        failed: `requeue` has it tried again.
        """
        ...

    async def requeue(self, job: DocumentJob) -> DocumentRecord:
        """Have a failed document tried again, with all its attempts; others stay as they are. Raises NotFound."""
        ...

    async def replace(self, job: DocumentJob, content: Content) -> tuple[DocumentRecord, bool]:
        """Give a document other bytes or another name; return its record and whether it has them by this call.

        One that can be searched is so as before until the new version is whole, or for good when that fails. What is
        on its way, and what has failed, gives way at once. Where the document has these bytes and this name already
        nothing happens. Raises NotFound, and Conflict (`duplicate_document`) where another document has them.
        """
        ...

    async def reindex(self, job: DocumentJob, version: str) -> bool:
        """Have a document that is searched in this version made anew of its bytes, in the background, as by `replace`.

        Returns whether it is to be.
        """
        ...

    async def rebuild(self, job: DocumentJob) -> bool:
        """Have a document whose points are lost made anew; it is not searched until then.

        Returns whether it is to be: failed and deleted ones are not.
        """
        ...

    async def get(self, tenant: str, document_id: str) -> DocumentRecord:
        """The record. Raises NotFound."""
        ...

    async def get_with_event_number(self, tenant: str, document_id: str) -> tuple[DocumentRecord, int]:
        """Return the record and the number of its last event, as of one moment. Raises NotFound.

        The number of a final record is that of its `ready` or `failed`, also when its stream has expired; it is 0
        where the record is older than streams are.
        """
        ...

    async def list(
        self, tenant: str, start: int | ListPlace, limit: int, status: DocumentStatus | None = None
    ) -> DocumentPage:
        """Records newest first, all or those with a status, from an offset or a place on.

        Who goes on from place to place gets each document that is in the list all the while exactly once.
        """
        ...

    async def count(self, tenant: str) -> tuple[int, int]:
        """How many documents there are, and how many of them can be searched."""
        ...

    async def delete(self, tenant: str, document_id: str) -> None:
        """Take a document out of lists and answers at once; its points and bytes go later, by a purge."""
        ...

    async def get_active_versions(self, tenant: str, document_ids: Sequence[str]) -> dict[str, str]:
        """The published version of each of the documents that can be searched; others are left out."""
        ...

    async def look_at_versions(self, tenant: str, document_ids: Sequence[str]) -> VersionsSeen:
        """The same, with what opens their texts, and the tenant's revision, which is read after the versions, never
        before them."""
        ...

    async def find_cards(self, tenant: str, terms: Sequence[str]) -> CardMatches:
        """Which searched documents have these terms on their cards: at most MAX_FOUND, those with the rarest."""
        ...

    async def find_deleted(self, tenant: str) -> Sequence[str]:
        """The ids of a tenant's deleted documents that may still have points."""
        ...

    async def ping(self) -> None:
        """Raise DependencyUnavailable when the registry does not answer."""
        ...

    async def close(self) -> None:
        """End the calls that nobody waits for any more."""
        ...

    # --- for workers -------------------------------------------------------------------------------------

    async def count_attempts(self, job: DocumentJob) -> int:
        """How many workers have died on a document since it last got further, one that has it now included."""
        ...

    async def is_leased(self, job: DocumentJob) -> bool:
        """Whether a worker has the document, or a part of it as a helper."""
        ...

    async def claim(self, job: DocumentJob, token: str, lease_ms: int) -> Lease | Literal["held", "gone"]:
        """Take the lease of an unfinished document.

        Returns `held` when another worker has it and `gone` when there is nothing left to do. Each claim counts as
        an attempt until `release` gives it back, so a document that kills its workers is found out.
        """
        ...

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        """Prolong a lease; False when it is lost."""
        ...

    async def release(self, lease: Lease) -> None:
        """End a lease and give its attempt back: only a worker that dies, and so never comes here, keeps it."""
        ...

    async def update(self, lease: Lease, progress: Progress) -> None:
        """Write progress; what is known and higher stays. Raises LeaseLostError when the lease is no longer ours."""
        ...

    async def publish(
        self, lease: Lease, version: str, warnings: Sequence[DocumentWarning], card: Card = NO_CARD
    ) -> None:
        """Make a version the one that searches see, with its card. Raises LeaseLostError when the lease is no longer
        ours."""
        ...

    async def fail(self, lease: Lease, failure: DocumentFailure) -> None:
        """End a document as failed. Raises LeaseLostError when the lease is no longer ours."""
        ...

    async def exists(self, job: DocumentJob) -> bool:
        """Whether the document is there and not deleted."""
        ...

    async def take_turn(self, work: str, for_ms: int) -> bool:
        """Return whether the caller is to do a work that one of all workers does in this time."""
        ...

    def find_unleased(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        """Unfinished documents that no worker has: queued, or orphaned by a worker that died; some at a time.

        Those that are so all the while come at least once.
        """
        ...

    def find_purgeable(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        """Deleted documents whose points and bytes are still to be removed; some at a time, as above."""
        ...

    def find_untidied(self) -> AsyncGenerator[Sequence[tuple[DocumentJob, int]], None]:
        """Final documents behind whose edition nobody has tidied up yet, or is about to; some at a time, as above.

        Whoever makes a document final is to do so next, but it may be stopped or die before.
        """
        ...

    async def note_tidied(self, job: DocumentJob, edition: int) -> None:
        """Note that nothing is left of what an edition of a document has put out of use."""
        ...

    async def find_work(self, jobs: Sequence[DocumentJob]) -> Sequence[QueuedWork]:
        """What the queue is to know of each of these documents; of size 0 where its record is gone."""
        ...

    async def request_purge(self, job: DocumentJob) -> None:
        """Note that a deleted document may have points or bytes; the reconciler queues the purge."""
        ...

    async def find_blobs(self, job: DocumentJob) -> DocumentBlobs:
        """The bytes of a document, deleted or not; none when the record is gone."""
        ...

    async def note_removed(self, job: DocumentJob, dropped: Sequence[BlobId]) -> None:
        """Note that bytes which a document does not name any more are removed."""
        ...

    async def let_go_of_content(self, job: DocumentJob, sha256: str) -> bool:
        """Note that a document does not have these bytes any more; return whether no other of its tenant has them."""
        ...

    async def find_edition(self, job: DocumentJob) -> int:
        """Which making of the document is the last; 0 when it is gone or deleted."""
        ...

    async def find_content(self, job: DocumentJob) -> Content | None:
        """What is being made of the document, or was made last; None when it is gone or deleted."""
        ...

    async def note_pipeline(self, pipeline: str) -> None:
        """Note what the workers of now make versions with."""
        ...

    async def find_pipeline(self) -> str | None:
        """What the workers of now make versions with; None as long as none has started."""
        ...

    def list_versions(self, tenant: str) -> AsyncGenerator[Sequence[tuple[DocumentJob, str]], None]:
        """A tenant's documents that can be searched, with their versions, some at a time.

        Those that are there all the while come at least once.
        """
        ...

    async def forget(self, job: DocumentJob) -> None:
        """Remove what is left of a purged document; one that is not deleted stays."""
        ...
