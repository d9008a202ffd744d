"""Starts and calls the process in which a shard of Qdrant Edge is open: `edge_child.py` says how they speak."""

import asyncio
import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import structlog

from shared.errors import DependencyUnavailable
from shared.tasks import run_to_end
from shared.vector_index.edge_messages import LENGTH, dump_message

log = structlog.get_logger(__name__)

OPEN_TIMEOUT_S = 300.0
"""100,000 points take 3 s, on a machine that is busy with other things 9 s."""
CALL_TIMEOUT_S = 60.0
"""The longest calls, flushing and closing 100,000 points, take 2 s on a busy machine."""


class EdgeProcess:
    """A process that has one shard open. It does one call after another, in the order in which they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._broken = False

    @classmethod
    async def start(cls, folder: Path, dimension: int | None) -> Self:
        """Start a process and have it open a shard; raises what EdgeShard raises."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shared.vector_index.edge_child",
            str(folder),
            "" if dimension is None else str(dimension),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: we still have to write what we were doing
        )
        started = cls(process)
        try:
            await started._read_result(OPEN_TIMEOUT_S)
        except BaseException:
            await started.kill()
            raise
        return started

    @property
    def is_broken(self) -> bool:
        """Whether it has died, or was killed because it did not answer."""
        return self._broken or self._process.returncode is not None

    async def call(self, method: str, *arguments: Any) -> Any:
        """Return what the shard's method returns, or raise what it raises.

        Raises DependencyUnavailable when the process dies or does not answer.
        """
        message = dump_message((method, arguments))
        async with self._turn:
            # To the end: the next call must not read the result of this one.
            return await run_to_end(self._exchange(message))

    async def close(self) -> None:
        """Have what was asked for done, the shard flushed and closed, and end the process."""
        with suppress(DependencyUnavailable):
            await self.call("close")
        await self.kill()

    async def kill(self) -> None:
        """End the process at once; the shard is as after a crash."""
        self._broken = True
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _exchange(self, message: bytes) -> Any:
        assert self._process.stdin is not None  # noqa: S101 - asked for with PIPE
        if self._broken:
            raise _make_unavailable()
        # What is written to a process that has died is dropped; its output ends then, too.
        self._process.stdin.write(message)
        return await self._read_result(CALL_TIMEOUT_S)

    async def _read_result(self, timeout_s: float) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - asked for with PIPE
        try:
            async with asyncio.timeout(timeout_s):
                header = await self._process.stdout.readexactly(LENGTH.size)
                content = await self._process.stdout.readexactly(*LENGTH.unpack(header))
        except (EOFError, OSError) as error:  # a missed deadline is an OSError
            self._broken = True
            with suppress(ProcessLookupError):
                self._process.kill()
            status = await self._process.wait()
            log.error("index_process_died", status=status, error=type(error).__name__)  # noqa: TRY400
            raise _make_unavailable() from error
        went_well, result = pickle.loads(content)  # noqa: S301 - our child wrote it
        if went_well:
            return result
        raise result


def _make_unavailable() -> DependencyUnavailable:
    return DependencyUnavailable("The vector index failed; try again.", retry_after=5)
