"""Kills a process at one of its steps: which they are, the script says that counts them.

For scripts that tests run as processes of their own: `python -c SCRIPT FOLDER KILL_AT`; 0: never.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.standalone_process import ROOT

_step = 0


def get_step() -> int:
    """Return how many steps there were."""
    return _step


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same with a step before it and one after it."""

    def call(*arguments: Any, **options: Any) -> Any:
        _count()
        result = function(*arguments, **options)
        _count()
        return result

    return call


def counted_call(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return the same with a step before it and one after it."""

    async def call(*arguments: Any) -> Any:
        _count()
        result = await function(*arguments)
        _count()
        return result

    return call


def _count() -> None:
    global _step
    _step += 1
    if _step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)


async def run_killed(script: str, folder: Path, kill_at: int) -> tuple[int | None, str]:
    """Return the status and the output of a script that is killed at a step; 0: never."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(folder), str(kill_at), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
