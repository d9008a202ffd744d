"""A disk of a few megabytes that tests fill and free, in a namespace of the processes that use it."""

import asyncio
import errno
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip_or_fail

_BLOCK = b"\0" * 4096


async def make_namespace() -> list[str]:
    """The command that runs another one where it may mount disks that only it sees; it needs no rights for that."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        await asyncio.to_thread(subprocess.run, [*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        skip_or_fail("this system lets no user make namespaces, which a small disk needs")
    return unshare


@dataclass(frozen=True)
class SmallDisk:
    """A disk, by the folder at which it is mounted."""

    folder: Path

    def fill(self) -> None:
        """Leave not a byte free. Blocks."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(_BLOCK):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give the space back. Blocks."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"
