"""An upload that has arrived on disk."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReceivedFile:
    """A file on disk with what was learned on the way; `head` are its first 1,024 bytes."""

    path: Path
    filename: str
    sha256: str
    size_bytes: int
    head: bytes
