"""Finds, and on demand repairs, what does not belong together: `python -m services.ingest.repair [--repair]`.

    docker compose run --rm ingest python -m services.ingest.repair

For the services; standalone has `python -m services.standalone_repair`. Safe while everything runs.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence

from services.ingest.settings import IngestSettings
from services.ingest.use_cases.find_orphans import GRACE_S, Orphan, OrphanKind, UpkeepDependencies, find_orphans
from services.ingest.use_cases.repair_orphans import repair_orphan
from shared.blobs.obstore_store import ObstoreBlobStore
from shared.errors import ServiceError
from shared.redis_client import connect_redis
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.settings import load_settings
from shared.vector_index.port import IndexUpkeep

UNREPAIRABLE = "bytes are nowhere else: delete the document, or delete it and upload the file again"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Find blobs, records, points, files and keys that do not belong together."
    )
    parser.add_argument("--repair", action="store_true", help="repair them; without this they are only listed")
    parser.add_argument(
        "--grace-s", type=float, default=GRACE_S, help="bytes without a record that are younger are left alone"
    )
    return parser.parse_args(arguments)


async def report(deps: UpkeepDependencies, *, repair: bool) -> int:
    """Print a line per orphan and a summary; return the exit status: 1 when some are left."""
    found: Counter[OrphanKind] = Counter()
    left = 0
    async for orphan in find_orphans(deps):
        found[orphan.kind] += 1
        repaired = repair and await repair_orphan(orphan, deps)
        left += not repaired
        _say(_describe(orphan, repaired=repaired, tried=repair))
    for kind, count in found.items():
        _say(f"{count:6} {kind}")
    if not found:
        _say("nothing to repair")
    return 1 if left else 0


def _describe(orphan: Orphan, *, repaired: bool, tried: bool) -> str:
    line = f"{orphan.kind}: {orphan.name}"
    if not tried:
        return line
    if repaired:
        return f"{line}: repaired"
    return f"{line}: {UNREPAIRABLE}" if orphan.kind is OrphanKind.LOST_BLOB else f"{line}: in use again, left alone"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the command is for


async def run(settings: IngestSettings, arguments: argparse.Namespace) -> int:
    """Look at the services' stores."""
    from shared.vector_index.server_parts import find_server_upkeep

    index = await find_server_upkeep(settings) if settings.qdrant_url is not None else None
    try:
        return await look(settings, settings.redis_url, index, arguments)
    finally:
        if index is not None:
            await index.close()


async def look(
    settings: IngestSettings, redis_url: str, index: IndexUpkeep | None, arguments: argparse.Namespace
) -> int:
    """Look at these stores, and report."""
    redis = connect_redis(redis_url, timeout_s=settings.redis_timeout_s)
    registry = RedisRegistryUpkeep(redis, deadline_s=settings.redis_timeout_s)
    blobs = await asyncio.to_thread(ObstoreBlobStore, settings.resolve_blob_url())
    try:
        deps = UpkeepDependencies(registry, blobs, index, settings.spool_folder, arguments.grace_s)
        return await report(deps, repair=arguments.repair)
    finally:
        await registry.close()
        await redis.aclose()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 when nothing is left to repair, 1 otherwise, 2 for a fault."""
    chosen = parse_arguments(arguments)
    try:
        return asyncio.run(run(load_settings(IngestSettings), chosen))
    except ServiceError as error:
        print(f"pagewire: {error.message}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
