"""Finds, and on demand repairs, what does not belong together in a data folder: `python -m services.standalone_repair`.

Standalone must not run meanwhile: its stores belong to one process.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from services.ingest.repair import look, parse_arguments
from services.ingest.settings import IngestSettings
from shared.errors import ServiceError
from shared.folder_lock import FolderNotUsableError, lock_folder
from shared.private_redis import RedisDidNotStartError, start_private_redis
from shared.settings import load_settings
from shared.vector_index.edge_parts import find_edge_upkeep


async def run(settings: IngestSettings, redis_url: str, arguments: argparse.Namespace) -> int:
    """Look at the stores of the data folder; the index only if there is one."""
    index = await asyncio.to_thread(find_edge_upkeep, settings.data_dir / "index")
    try:
        if index is not None:
            await index.prepare()
        return await look(settings, redis_url, index, arguments)
    finally:
        if index is not None:
            await index.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 when nothing is left to repair, 1 otherwise, 2 for a fault."""
    chosen = parse_arguments(arguments)
    settings = load_settings(IngestSettings)
    try:
        with (
            lock_folder(settings.data_dir) as lock,
            start_private_redis(settings.data_dir / "redis", lock) as redis,
        ):
            return asyncio.run(run(settings, redis.url, chosen))
    except (FolderNotUsableError, RedisDidNotStartError, ServiceError) as error:
        print(f"pagewire: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
