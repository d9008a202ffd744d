"""Opens an index on Qdrant Edge in parts: folders beside each other, a part for each length of vectors.

Everything here blocks, and raises IndexDamaged. One process per index.
"""

from pathlib import Path

from shared.vector_index.edge import EdgeIndex
from shared.vector_index.edge_folder import has_shard, read_length, remove_removed
from shared.vector_index.parts import PartedIndex, choose_part, parse_length


def open_edge_parts(folder: Path, dimension: int, *, min_free_bytes: int = 0) -> PartedIndex:
    """Return the index in a folder and in those beside it, of which one is for vectors of this length; not prepared."""
    lengths = _find_lengths(folder)
    own = choose_part(folder.name, dimension, lengths)
    before = [
        EdgeIndex(folder.with_name(name), length, min_free_bytes=min_free_bytes)
        for name, length in sorted(lengths.items())
        if name != own
    ]
    return PartedIndex(EdgeIndex(folder.with_name(own), dimension, min_free_bytes=min_free_bytes), before)


def find_edge_upkeep(folder: Path) -> PartedIndex | None:
    """Return the index in all of these folders for who only looks after points; None where there is none."""
    parts = [EdgeIndex(folder.with_name(name), length) for name, length in sorted(_find_lengths(folder).items())]
    return PartedIndex(parts[0], parts[1:]) if parts else None


def _find_lengths(folder: Path) -> dict[str, int | None]:
    """Lengths of the vectors of all parts that there are, by name; None where only the engine can say it."""
    remove_removed(folder)
    lengths: dict[str, int | None] = {}
    for path in folder.parent.glob(f"{folder.name}-*"):
        length = parse_length(folder.name, path.name)
        if length is not None and path.is_dir():
            lengths[path.name] = length
    if folder.exists() and has_shard(folder):
        lengths[folder.name] = read_length(folder)
    return lengths
