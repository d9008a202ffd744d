"""Has documents made anew by the present code and model: `python -m services.ingest.reindex [--all | --rebuild]`.

    docker compose run --rm ingest python -m services.ingest.reindex

For the services, and all tenants; where a gateway answers `pagewire reindex` does the same for its caller's documents.
Workers do the work, behind all uploads, and meanwhile each document answers as before. With `--rebuild`, for an index
that has lost its points, documents answer again one by one.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence

from services.ingest.settings import IngestSettings
from shared.contracts.jobs import DocumentJob
from shared.errors import PagewireError
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.registry.upkeep_port import RegistryUpkeep
from shared.reindexing import rebuild_documents, reindex_documents
from shared.settings import load_settings


async def list_searched(upkeep: RegistryUpkeep) -> AsyncGenerator[Sequence[tuple[DocumentJob, str]], None]:
    """Yield all documents of all tenants that can be searched, with their versions."""
    async for found in upkeep.list_states():
        yield [(job, state.version) for job, state in found if state.version and state.status != "deleted"]


async def list_documents(upkeep: RegistryUpkeep) -> AsyncGenerator[Sequence[DocumentJob], None]:
    """Yield all documents of all tenants."""
    async for found in upkeep.list_states():
        yield [job for job, _ in found]


async def run(settings: IngestSettings, arguments: argparse.Namespace) -> str:
    """Mark and queue them; return what to say."""
    redis = connect_redis(settings.redis_url, timeout_s=settings.redis_timeout_s)
    registry = RedisDocumentRegistry(redis, deadline_s=settings.redis_timeout_s)
    upkeep = RedisRegistryUpkeep(redis, deadline_s=settings.redis_timeout_s)
    queue = ArqJobQueue(settings.redis_url, timeout_s=settings.redis_timeout_s)
    try:
        if arguments.rebuild:
            count = await rebuild_documents(list_documents(upkeep), registry, queue)
            return f"{count} documents are made anew; each is searched again as soon as it is."
        queued, total = await reindex_documents(list_searched(upkeep), registry, queue, everything=arguments.all)
        return f"{queued} of {total} documents are made anew; each answers as before until it is."
    finally:
        await queue.close()
        await upkeep.close()
        await registry.close()
        await redis.aclose()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 for a fault."""
    parser = argparse.ArgumentParser(description="Have documents made anew by the present code and embedding model.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--all", action="store_true", help="also those that the present code and model have made")
    group.add_argument("--rebuild", action="store_true", help="all, for an index that has lost its points")
    chosen = parser.parse_args(arguments)
    try:
        print(asyncio.run(run(load_settings(IngestSettings), chosen)))  # noqa: T201
    except PagewireError as error:
        print(f"pagewire: {error.message}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
