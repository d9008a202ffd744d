"""Where the points of Qdrant Edge lie: in one of the folders `shard-N`, which a file `current` names.

    index/
      current          `shard-2`; without it, it is `shard-1`
      shard-2/         segments and write-ahead log
      shard-2.deleted  is there when points have been deleted from it, whose text it may still hold
      shard-3/         being written in its place; what is killed meanwhile leaves it behind
    index-length-768/  the same for vectors of another length, see `parts.py`
    index.removed/     is being removed

A new shard takes the place of the old one in one step: when the file is replaced. Everything here blocks.
"""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from shared.errors import IndexDamaged
from shared.vector_index.port import DENSE

CURRENT = "current"
FIRST = "shard-1"
CONFIG = "edge_config.json"
MADE = (CONFIG, "segments")
"""Of which one at least is in each shard that the engine has begun to make."""
OLD_LAYOUT = (*MADE, "wal")
"""What lay in `index` itself before there were several shards."""

REMOVED = ".removed"
"""How the name of an index ends that is being removed."""

REBUILD = (
    "`python -m services.standalone_rebuild` makes a new one from what was read of the documents, and sets this one"
    " aside until that is whole."
)


def find_current(folder: Path) -> Path:
    """Return the folder of the current shard; it is missing where there were no points yet.

    Raises IndexDamaged where there are shards but not the current one, as after half a restore: an empty one in its
    place would answer every question with nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        current = folder / (folder / CURRENT).read_text(errors="replace")
    except FileNotFoundError:
        current = folder / FIRST
    shards = {path for path in folder.glob("shard-*") if path.is_dir()}
    if current not in shards and (shards or (folder / CURRENT).exists()):
        raise IndexDamaged(f"The index in {folder} lacks its points: {REBUILD}")
    for name in OLD_LAYOUT:
        if (folder / name).exists():
            current.mkdir(exist_ok=True)
            get_deletion_mark(current).touch()  # nobody noted then whether something was deleted
            (folder / name).rename(current / name)
    return current


def has_shard(folder: Path) -> bool:
    """Return whether there is anything in the folder that an engine has made. Raises as `find_current` does."""
    current = find_current(folder)
    return any((current / name).exists() for name in MADE)


def read_length(folder: Path) -> int | None:
    """Return the length of the vectors of an index; None where there are none yet, or nobody can say before opening it.

    Raises IndexDamaged, as `find_current` does.
    """
    try:
        length = json.loads((find_current(folder) / CONFIG).read_text())["vectors"][DENSE]["size"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return length if isinstance(length, int) else None


def remove_index(folder: Path) -> None:
    """Remove an index that nobody has open; what is killed meanwhile leaves nothing that would be opened again."""
    removed = folder.with_name(folder.name + REMOVED)
    shutil.rmtree(removed, ignore_errors=True)
    folder.rename(removed)
    sync_folder(folder.parent)
    shutil.rmtree(removed)


def remove_removed(folder: Path) -> None:
    """Remove what a removal that was cut off has left of an index, or of those beside it."""
    for path in folder.parent.glob(f"{folder.name}*{REMOVED}"):
        if path.is_dir():
            shutil.rmtree(path)


def remove_others(current: Path) -> None:
    """Remove what a compaction that was cut off has left. Only for who has the current shard open."""
    for path in current.parent.glob("shard-*"):
        if path.is_dir() and path != current:
            remove_shard(path)


def name_next(current: Path) -> Path:
    """Return where the successor of a shard is to lie."""
    return current.with_name(f"shard-{int(current.name.removeprefix('shard-')) + 1}")


def make_current(shard: Path) -> None:
    """Have a shard, which has been flushed, take the place of the current one; where this raises it has not."""
    written = shard.with_name(f"{CURRENT}.new")
    with written.open("w") as file:
        file.write(shard.name)
        file.flush()
        os.fsync(file.fileno())
    written.replace(shard.with_name(CURRENT))


def sync_folder(folder: Path) -> None:
    """Return when a power cut no longer brings the shard back that was current before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_shard(shard: Path) -> None:
    """Remove a shard that nobody has open."""
    shutil.rmtree(shard, ignore_errors=True)
    get_deletion_mark(shard).unlink(missing_ok=True)


def get_deletion_mark(shard: Path) -> Path:
    """Return the file that is there when points have been deleted from a shard."""
    return shard.with_name(f"{shard.name}.deleted")


def measure(shard: Path) -> int:
    """Return how many bytes a shard takes of the disk; the engine may make and remove files meanwhile."""
    total = 0
    for path in shard.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total
