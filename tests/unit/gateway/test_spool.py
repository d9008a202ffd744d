"""What a gateway that was killed left in the spool goes at the next start, and what others receive stays."""

import os
import time
from pathlib import Path

import pytest

from services.gateway.main import ABANDONED_S, prepare_spool


def make_upload(spool: Path, name: str, age_s: float) -> Path:
    folder = spool / name
    folder.mkdir(parents=True)
    (folder / "body").write_bytes(b"%PDF-")
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_old_uploads_go_and_young_ones_stay(tmp_path: Path) -> None:
    """Another gateway may be receiving in the same folder; one that is alone there removes everything."""
    spool = tmp_path / "spool"
    make_upload(spool, "old", ABANDONED_S + 60)
    young = make_upload(spool, "young", 60)

    assert prepare_spool(spool, ABANDONED_S) == spool
    assert list(spool.iterdir()) == [young]
    prepare_spool(spool, 0)
    assert list(spool.iterdir()) == []


def test_what_another_gateway_removes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two start at once: an entry that was listed is gone when it is looked at."""
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / "gone"]))

    prepare_spool(spool, 0)
