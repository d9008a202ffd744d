"""The port of the ranges of a large document's chunks, which several workers embed, and the values that cross it.

The worker that has the document's lease opens a plan and takes one range after another. Workers that have nothing else
to do help: each has a range of its own for a limited time. What is done stays done, also for a worker that takes the
document over. The plan goes when the document is published or fails, or another one takes its place.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from shared.contracts.jobs import DocumentJob
from shared.registry.port import Lease


@dataclass(frozen=True)
class RangePlan:
    """How a version's chunks are parted.

    Attributes:
        title: of the document; it is embedded with every chunk.
        chunks: how many there are.
        range_chunks: how many a range has, but for the last.
        text_key: of the edition, as in its lease.
    """

    version: str
    title: str
    chunks: int
    range_chunks: int
    text_key: str = field(repr=False, compare=False)


@dataclass(frozen=True)
class RangeClaim:
    """A worker's right to embed one range, counted from 0.

    Attributes:
        token: a helper's own, for this claim alone; empty where the worker has the document.
        epoch: that of the document's lease; None for a helper.
    """

    job: DocumentJob
    plan: RangePlan
    number: int
    token: str = ""
    epoch: int | None = None

    @property
    def chunks(self) -> slice:
        """Which of the document's chunks they are."""
        first = self.number * self.plan.range_chunks
        return slice(first, min(first + self.plan.range_chunks, self.plan.chunks))


class DocumentRanges(Protocol):
    """Says who embeds which range. Raises DependencyUnavailable when it does not answer within its deadline."""

    async def open(self, lease: Lease, plan: RangePlan) -> None:
        """Offer a document to helpers. What is done of the same plan stays done; another plan ends.

        Raises LeaseLostError when the lease is no longer ours.
        """
        ...

    async def claim(self, lease: Lease, plan: RangePlan) -> RangeClaim | Literal["held", "done"]:
        """Take the first range that nobody has, or whose helper's time has run out; `held` while helpers have the rest.

        Raises LeaseLostError when the lease is no longer ours.
        """
        ...

    async def find_shared(self) -> tuple[DocumentJob, RangePlan] | None:
        """Return any document that helpers are wanted for."""
        ...

    async def claim_as_helper(self, job: DocumentJob, plan: RangePlan, token: str, lease_ms: int) -> RangeClaim | None:
        """Take the first range that nobody has; None when there is none, or the document may kill its workers."""
        ...

    async def keep(self, claim: RangeClaim, lease_ms: int) -> bool:
        """Begin a helper's time anew; False when the range is no longer its own. Ask before each write."""
        ...

    async def finish(self, claim: RangeClaim) -> bool:
        """Note that a range is embedded and stored; False when it was no longer ours, and is not done."""
        ...

    async def give_back(self, claim: RangeClaim) -> None:
        """End a helper's claim. What it has written until then stays."""
        ...

    async def close(self) -> None:
        """End the calls that nobody waits for any more."""
        ...

    async def has_helpers(self, job: DocumentJob) -> bool:
        """Return whether a helper may be writing points of the document."""
        ...
