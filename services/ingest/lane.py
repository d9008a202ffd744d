"""arq's worker on one lane, which leaves alone what others run.

arq looks at every due job of its queue ten times a second, those that run included, and tries each with four commands:
a hundred running jobs cost an idle worker 4,000 commands a second. Here one command tells which of them run.
"""

from arq.constants import in_progress_key_prefix
from arq.worker import Worker


class Lane(Worker):
    """Takes the jobs of one lane that nobody runs."""

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start as many of these as there are places for. Whoever is quicker has it: that is seen to as ever."""
        if not job_ids:
            return
        running = await self.pool.mget([in_progress_key_prefix + job_id.decode() for job_id in job_ids])
        await super().start_jobs([job_id for job_id, mark in zip(job_ids, running, strict=True) if mark is None])
