"""The port of the registry's upkeep: a look at all records of all tenants, to find what no record names any more."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.contracts.jobs import DocumentJob
from shared.registry.port import BlobId


@dataclass(frozen=True)
class DocumentState:
    """What upkeep needs of a record.

    Attributes:
        status: as in the record, or `deleted`.
        version: the published one, empty when none is.
        blobs: the bytes that the record names: what is or was being made, and what is searched meanwhile.
        busy: a worker has the document, or is to have it: to ingest it, or to purge it.
    """

    status: str
    version: str
    blobs: Sequence[BlobId]
    busy: bool


@dataclass(frozen=True)
class Stray:
    """A key, or a member of one, that belongs to a document without a record.

    Where `member` is empty it is the whole key. A record in which a deletion was noted and whose purge got lost is one
    too: it becomes a purge.
    """

    job: DocumentJob
    key: str
    member: str = ""


class RegistryUpkeep(Protocol):
    """Looks at all records. Raises DependencyUnavailable when the registry does not answer within its deadline."""

    async def find_states(self, jobs: Sequence[DocumentJob]) -> Sequence[DocumentState | None]:
        """Return the states of these documents; None for one without a record."""
        ...

    def list_states(self) -> AsyncGenerator[Sequence[tuple[DocumentJob, DocumentState]], None]:
        """Yield all documents of all tenants, some at a time; those that are there all the while come at least once."""
        ...

    def list_strays(self) -> AsyncGenerator[Sequence[Stray], None]:
        """Yield what is left of documents without a record, some at a time."""
        ...

    async def remove_stray(self, stray: Stray) -> bool:
        """Remove a stray, or have its document purged; return whether it still was one."""
        ...

    async def hold(self, job: DocumentJob, token: str, for_ms: int) -> DocumentState | None:
        """Keep workers off a document that none of them has or is to have; return its state, None when that cannot be.

        A document without a record is held too; its status is empty. The state names no bytes.
        """
        ...

    async def let_go(self, job: DocumentJob, token: str) -> None:
        """End a hold."""
        ...

    async def compact(self) -> bool:
        """Have the registry drop what it knew of purged documents from what it has on the disk.

        Returns whether there was something, when it is gone.
        """
        ...
