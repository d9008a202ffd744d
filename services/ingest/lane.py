"""arq's worker on one lane, which leaves alone what others run, and touches the keys of its job and its lane alone.

arq looks at every due job of its queue ten times a second, those that run included, and tries each with four commands:
a hundred running jobs cost an idle worker 4,000 commands a second. Here one command tells which of them run.

And it takes each job that ends out of a set of those that are to be aborted. Nobody aborts any here, and a Redis
Cluster has that set elsewhere: it would refuse the transaction.
"""

from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.worker import Worker


class Lane(Worker):
    """Takes the jobs of one lane that nobody runs."""

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start as many of these as there are places for. Whoever is quicker has it: that is seen to as ever."""
        if not job_ids:
            return
        running = await self.pool.mget([in_progress_key_prefix + job_id.decode() for job_id in job_ids])
        await super().start_jobs([job_id for job_id, mark in zip(job_ids, running, strict=True) if mark is None])

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,
        result_timeout_s: float | None,
        keep_result_forever: bool,
        incr_score: int | None,
        keep_in_progress: float | None,
    ) -> None:
        """Take a job that is done out of the lane; leave one that is to be tried again there, for as much later.

        No results are kept.
        """
        if finish:
            await self._remove(job_id)
            return
        pipe = self.pool.pipeline(transaction=True)  # `execute` gives its connection back
        if incr_score:
            pipe.zincrby(self.queue_name, incr_score, job_id)
        if keep_in_progress is None:
            pipe.delete(in_progress_key_prefix + job_id)
        else:
            pipe.pexpire(in_progress_key_prefix + job_id, int(keep_in_progress * 1000))
        await pipe.execute()

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """Take a job out of the lane that cannot be run: its body is gone or cannot be read."""
        await self._remove(job_id)

    async def _remove(self, job_id: str) -> None:
        pipe = self.pool.pipeline(transaction=True)  # `execute` gives its connection back
        pipe.zrem(self.queue_name, job_id)
        pipe.delete(*(prefix + job_id for prefix in (in_progress_key_prefix, retry_key_prefix, job_key_prefix)))
        await pipe.execute()
