"""The port of the job queue.

The queue is a convenience, not the truth: whatever it loses, the reconciler puts back from the registry's unfinished
documents.
"""

from collections.abc import Sequence
from typing import Protocol

from shared.contracts.jobs import DocumentJob

INGEST = "ingest_document"
PURGE = "purge_document"


class JobQueue(Protocol):
    """Queues jobs, at most one per function and document. Raises DependencyUnavailable when it does not answer."""

    async def enqueue(self, function: str, job: DocumentJob) -> bool:
        """Queue a job; return False when the same job waits or runs already."""
        ...

    async def find_queued(self, function: str, jobs: Sequence[DocumentJob]) -> tuple[Sequence[bool], Sequence[bool]]:
        """Return which jobs are in the queue, and which of them are in progress as the queue believes."""
        ...

    async def shorten_orphan(self, function: str, job: DocumentJob, lease_ms: int) -> None:
        """Let the queue believe for `lease_ms` at most that a job is in progress: its worker may have died."""
        ...
