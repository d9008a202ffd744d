"""The port of the job queue.

The queue is a convenience, not the truth: whatever it loses, the reconciler puts back from the registry's unfinished
documents.
"""

from collections.abc import Sequence
from typing import Protocol

from shared.contracts.jobs import DocumentJob

INGEST = "ingest_document"
PURGE = "purge_document"


LONGEST_PAUSE_S = 300
"""After a fault a job is tried again after this time at the latest."""


class JobQueue(Protocol):
    """Queues jobs, at most one per function and document. Raises DependencyUnavailable when it does not answer.

    Small documents and large ones wait in lanes of their own, and in each lane the tenants take turns by the amount of
    work. What is done in the background waits behind all large ones.
    """

    async def enqueue(self, function: str, job: DocumentJob, size_bytes: int = 0, *, background: bool = False) -> bool:
        """Queue a job; return False when the same job waits, pauses or runs already.

        What is left of an earlier one that never would be run is not in its way.
        """
        ...

    async def find_unqueued(self, function: str, jobs: Sequence[DocumentJob], lease_ms: int) -> Sequence[DocumentJob]:
        """Return those of these jobs that nobody would ever run, or not in their turn; none may have a lease.

        Nobody runs a job of which the queue has forgotten the entry or the body, or whose entry is further in the
        future than any pause: it is by a wrong clock. Jobs that the queue believes to be in progress belong to workers
        that have died or have just begun, so it believes that for `lease_ms` more at most.
        """
        ...
