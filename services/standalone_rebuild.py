"""Makes the index of a data folder anew: `python -m services.standalone_rebuild`.

For an index that is damaged. It is set aside, and removed when each document has its points in the new one. They are
made from what was read of the documents; no PDF is opened again. Standalone must not run meanwhile. What is broken off
is gone on with by this command or by standalone.
"""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from redis.asyncio import Redis

from services.ingest.reindex import list_documents
from services.standalone_parts import StandaloneParts
from services.standalone_settings import StandaloneSettings, load_standalone_settings
from services.standalone_system import PartNotUsableError
from shared.errors import IndexRejected, ServiceError
from shared.folder_lock import FolderNotUsableError, lock_folder
from shared.metrics import make_registry
from shared.private_redis import RedisDidNotStartError, start_private_redis
from shared.queue.arq_queue import ArqJobQueue
from shared.redis_client import connect_redis
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from shared.registry.upkeep_port import RegistryUpkeep
from shared.reindexing import rebuild_documents
from shared.tasks import end_tasks
from shared.telemetry import configure_logging
from shared.vector_index.edge_parts import open_edge_parts

ASIDE = "index.damaged"
"""How the folders begin that were set aside."""
POLL_S = 0.5
"""Between looks at how many documents are left; each takes seconds."""


async def rebuild(
    settings: StandaloneSettings, parts: StandaloneParts, *, force: bool, say: Callable[[str], None]
) -> None:
    """Set the index aside if it cannot be used, and make what is to be made; the Redis of the settings must be ours."""
    data, url = settings.ingest.data_dir, settings.ingest.redis_url
    redis = connect_redis(url, timeout_s=settings.ingest.redis_timeout_s)
    upkeep = RedisRegistryUpkeep(redis, deadline_s=settings.ingest.redis_timeout_s)
    try:
        if force or not await _can_be_used(data / "index", parts.embedder.dimension):
            # First the records: should this be broken off behind them, the index is still found to be damaged.
            count = await _mark(upkeep, redis, settings)
            say(f"the index is made anew, for {count} documents")
            await asyncio.to_thread(_set_aside, data)
        await _work(parts, upkeep, say)
    finally:
        await upkeep.close()
        await redis.aclose()
    await asyncio.to_thread(_remove_aside, data)


async def _can_be_used(folder: Path, dimension: int) -> bool:
    async with AsyncExitStack() as closing:
        try:
            index = await asyncio.to_thread(open_edge_parts, folder, dimension)
            closing.push_async_callback(index.close)
            await index.prepare()
        except IndexRejected:
            return False
        return True


async def _mark(upkeep: RegistryUpkeep, redis: Redis, settings: StandaloneSettings) -> int:
    registry = RedisDocumentRegistry(redis, deadline_s=settings.ingest.redis_timeout_s)
    queue = ArqJobQueue(settings.ingest.redis_url, timeout_s=settings.ingest.redis_timeout_s)
    try:
        return await rebuild_documents(list_documents(upkeep), registry, queue)
    finally:
        await queue.close()
        await registry.close()


async def _work(parts: StandaloneParts, upkeep: RegistryUpkeep, say: Callable[[str], None]) -> None:
    """Be the worker until no document is unfinished."""
    async with parts.open(make_registry()) as (_, ingest):
        working = asyncio.ensure_future(ingest())
        try:
            told = 0
            while left := await _count_unfinished(upkeep):
                if left != told:
                    told = left
                    say(f"{left} left")
                await asyncio.wait({working}, timeout=POLL_S)
                if working.done():
                    working.result()
        finally:
            await end_tasks(working)


async def _count_unfinished(upkeep: RegistryUpkeep) -> int:
    unfinished = 0
    async for found in upkeep.list_states():
        unfinished += sum(state.status in ("queued", "parsing", "embedding") for _, state in found)
    return unfinished


def _set_aside(data: Path) -> None:
    for folder in [data / "index", *data.glob("index-length-*")]:
        if folder.exists():
            number = 0  # the first that is free: of those set aside before some may have been removed
            while (aside := data / f"{ASIDE}-{number}").exists():
                number += 1
            folder.rename(aside)


def _remove_aside(data: Path) -> None:
    for folder in data.glob(f"{ASIDE}*"):
        shutil.rmtree(folder)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the command is for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 for a fault."""
    parser = argparse.ArgumentParser(description="Make the index anew where it is damaged.")
    parser.add_argument("--force", action="store_true", help="also where it can be opened, as when points are missing")
    force = parser.parse_args(arguments).force
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = load_standalone_settings()
    data = settings.ingest.data_dir
    configure_logging("standalone", settings.ingest.log_level, settings.ingest.log_format)
    try:
        with lock_folder(data) as lock, start_private_redis(data / "redis", lock) as redis:
            private = settings.point_at(redis.url)
            parts = StandaloneParts.load(private)
            try:
                asyncio.run(rebuild(private, parts, force=force, say=_say))
            finally:
                parts.close()
    except (FolderNotUsableError, RedisDidNotStartError, PartNotUsableError, ServiceError) as error:
        print(f"pagewire: {error}", file=sys.stderr)  # noqa: T201
        return 2
    _say("every document that can be searched is in the index")
    return 0


if __name__ == "__main__":
    sys.exit(main())
