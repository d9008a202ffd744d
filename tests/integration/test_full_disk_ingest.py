"""An ingest whose disk is full at one of its writes waits for space, and nobody's document is harmed.

The scenarios are in `tests/full_disk_ingest.py`: each has a process of its own, which alone sees the small disk.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.small_disk import make_namespace
from tests.standalone_process import ROOT

MEGABYTES = 96


@pytest.mark.parametrize(
    "scenario",
    [
        "fill_before_the_parse_is_stored",
        "fill_while_points_are_written",
        "fill_between_ranges",
        "fill_while_redis_writes",
    ],
)
async def test_an_ingest_waits_for_space(scenario: str, redis_url: str, tmp_path: Path) -> None:
    """What the scenario says."""
    disk = tmp_path / "disk"
    await asyncio.to_thread(disk.mkdir)
    script = (
        f"mount -t tmpfs -o size={MEGABYTES}m tmpfs {disk}"
        f" && exec {sys.executable} -m tests.full_disk_ingest {scenario} {tmp_path} '{redis_url}'"
    )
    process = await asyncio.create_subprocess_exec(
        *await make_namespace(),
        *("sh", "-c", script),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
