"""Code has another name after any change."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.source_hash import hash_sources


def change(path: Path) -> None:
    path.write_text("x = 2\n")


def add(path: Path) -> None:
    (path.parent / "new.py").write_text("")


def rename(path: Path) -> None:
    path.rename(path.parent / "b.py")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("alter", [change, add, rename, remove])
def test_any_change_changes_the_name(tmp_path: Path, alter: Callable[[Path], None]) -> None:
    """Also of a file in a folder; what is no code does not count."""
    module = tmp_path / "package" / "a.py"
    module.parent.mkdir()
    module.write_text("x = 1\n")
    before = hash_sources(tmp_path)
    (tmp_path / "package" / "a.pyc").write_bytes(b"\0")
    assert hash_sources(tmp_path) == before

    alter(module)

    assert hash_sources(tmp_path) != before
