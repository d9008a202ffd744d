"""Repairs what `find_orphans` found: removes what nobody needs, and puts back what can be had elsewhere."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import structlog

from services.ingest.use_cases.find_orphans import (
    Orphan,
    UpkeepDependencies,
    find_orphan_blobs,
    is_orphan_version,
)
from services.ingest.use_cases.read_document import hash_file
from shared.blobs.port import make_blob_key
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound
from shared.registry.port import BlobId
from shared.registry.upkeep_port import RegistryUpkeep, Stray
from shared.spool_folder import remove_abandoned
from shared.vector_index.port import IndexUpkeep, StoredVersion

log = structlog.get_logger(__name__)

HOLD_MS = 60_000
"""How long workers are kept off a document while points of it are removed; a call to the index takes far less."""


async def collect_blobs(deps: UpkeepDependencies) -> int:
    """Remove the blobs of refused or killed uploads; return how many there were."""
    count = await _repair_all(find_orphan_blobs(deps), deps)
    if count:
        log.info("blobs_collected", count=count)
    return count


async def _repair_all(orphans: AsyncGenerator[Orphan, None], deps: UpkeepDependencies) -> int:
    return sum([await repair_orphan(orphan, deps) async for orphan in orphans])


async def repair_orphan(orphan: Orphan, deps: UpkeepDependencies) -> bool:
    """Repair an orphan; return whether it is so now, and not because somebody else needed it or was quicker."""
    match orphan.subject:
        case str(key):
            await deps.blobs.delete(key)
            return True
        case Path() as path:
            await asyncio.to_thread(remove_abandoned, path.parent)
            return True
        case Stray() as stray:
            return await deps.registry.remove_stray(stray)
        case StoredVersion() as version:
            return deps.index is not None and await remove_points(version, deps.registry, deps.index)
        case DocumentJob() as job:
            return await _restore_blob(job, deps)


async def remove_points(version: StoredVersion, registry: RegistryUpkeep, index: IndexUpkeep) -> bool:
    """Remove the points of a version, if nobody needs them, while no worker can begin to write them; return whether."""
    job, token = DocumentJob(tenant=version.tenant, document_id=version.document_id), uuid.uuid4().hex
    state = await registry.hold(job, token, HOLD_MS)
    if state is None:
        return False
    try:
        if not is_orphan_version(version, state):
            return False
        await index.delete_version(version.tenant, version.document_id, version.version)
        return True
    finally:
        await registry.let_go(job, token)


async def _restore_blob(job: DocumentJob, deps: UpkeepDependencies) -> bool:
    """Give a record its bytes back where another document of its tenant has the same ones."""
    state = (await deps.registry.find_states([job]))[0]
    if state is None or state.status == "deleted":
        return False
    missing = [name for name in state.blobs if not await deps.blobs.exists(_make_key(job, name))]
    return all([await _restore(name, job, deps) for name in missing])


async def _restore(lost: BlobId, job: DocumentJob, deps: UpkeepDependencies) -> bool:
    async for found in deps.registry.list_states():
        for other, its_state in found:
            for name in its_state.blobs:
                if other.tenant != job.tenant or name.sha256 != lost.sha256 or name == lost:
                    continue
                try:
                    async with deps.blobs.open_as_file(_make_key(other, name)) as path:
                        if await asyncio.to_thread(hash_file, path) != lost.sha256:
                            continue
                        await deps.blobs.put_file(_make_key(job, lost), path)
                except NotFound:
                    continue
                return True
    return False


def _make_key(job: DocumentJob, name: BlobId) -> str:
    return make_blob_key(job.tenant, name.sha256, name.blob)
