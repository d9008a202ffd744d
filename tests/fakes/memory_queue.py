"""A JobQueue in memory."""

from collections.abc import Sequence

from shared.contracts.jobs import DocumentJob

Key = tuple[str, str, str]


class MemoryJobQueue:
    """Keeps jobs in the order in which they came. Nobody works on them and no time passes: a test says who does."""

    def __init__(self) -> None:
        self._jobs: dict[Key, DocumentJob] = {}
        self._in_progress: dict[Key, int] = {}

    async def enqueue(self, function: str, job: DocumentJob, size_bytes: int = 0, *, background: bool = False) -> bool:
        """Queue a job that is not queued."""
        key = _make_key(function, job)
        if key in self._jobs:
            return False
        self._jobs[key] = job
        return True

    async def find_unqueued(self, function: str, jobs: Sequence[DocumentJob], lease_ms: int) -> Sequence[DocumentJob]:
        """Return those that are not queued; let those that are in progress be so for `lease_ms` at most."""
        for key in self._in_progress.keys() & {_make_key(function, job) for job in jobs}:
            self._in_progress[key] = min(self._in_progress[key], lease_ms)
        return [job for job in jobs if _make_key(function, job) not in self._jobs]

    # --- for tests ---------------------------------------------------------------------------------------

    def list_jobs(self) -> list[tuple[str, DocumentJob]]:
        """Return all jobs with their functions, in the order in which they came."""
        return [(key[0], job) for key, job in self._jobs.items()]

    async def start(self, function: str, job: DocumentJob, for_ms: int) -> None:
        """Be a worker that takes a job, and then neither ends it nor is heard of."""
        self._in_progress[_make_key(function, job)] = for_ms

    async def get_time_left_ms(self, function: str, job: DocumentJob) -> int:
        """Return how long a job is still in progress."""
        return self._in_progress[_make_key(function, job)]

    async def lose(self, function: str, job: DocumentJob) -> None:
        """Forget a job."""
        key = _make_key(function, job)
        self._jobs.pop(key)
        self._in_progress.pop(key, None)


def _make_key(function: str, job: DocumentJob) -> Key:
    return function, job.tenant, job.document_id
