"""Patience for all tests of faults: what is slow here is the machine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.patience import be_patient
from tests.worker_fleet import RedisProcess


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """No deadline is over that the test does not choose."""
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        yield


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    """A Redis of the test's own, which writes to the disk before it answers, as ours do."""
    process = RedisProcess(tmp_path / "redis")
    await process.start()
    yield process
    process.kill()
