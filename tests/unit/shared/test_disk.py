"""A full disk is an error with a name and a status, not a bug."""

import errno
from pathlib import Path

import pytest

from shared.disk import check_free_space, telling_full_disk
from shared.errors import DiskFull, find_status


def test_a_reserve_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With a status of its own, so that clients need not guess; a small reserve is fine."""
    check_free_space(tmp_path, 1)
    with pytest.raises(DiskFull) as caught:
        check_free_space(tmp_path, 1 << 62)
    assert find_status(caught.value) == 507


def test_a_write_to_a_full_disk_is_told() -> None:
    """The kernel's word for it, on a device that is always full."""
    with pytest.raises(DiskFull), telling_full_disk(), Path("/dev/full").open("wb") as full:
        full.write(b"x" * 100_000)


def test_other_errors_stay_what_they_are() -> None:
    """Only a full disk is called one."""
    with pytest.raises(OSError, match="denied") as caught, telling_full_disk():
        raise OSError(errno.EACCES, "denied")
    assert caught.value.errno == errno.EACCES
