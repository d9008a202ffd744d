"""Removes from the disk what deleted documents have left in the files of the stores, where deleted is not yet gone."""

import structlog

from services.ingest.use_cases.find_orphans import is_orphan_version
from services.ingest.use_cases.repair_orphans import remove_points
from shared.contracts.jobs import DocumentJob
from shared.registry.upkeep_port import RegistryUpkeep
from shared.vector_index.port import IndexUpkeep, VectorIndex

log = structlog.get_logger(__name__)


async def compact_stores(index: VectorIndex, registry: RegistryUpkeep) -> None:
    """Have the index and the registry drop what was deleted; in the order of a purge, which ends in the registry."""
    for part in await index.find_left_parts():
        await _clear_part(part, registry)
    points = await index.compact()
    records = await registry.compact()
    if points or records:
        log.info("deleted_text_removed", points=points, records=records)


async def _clear_part(part: IndexUpkeep, registry: RegistryUpkeep) -> None:
    """Remove points that nobody needs until there are some that are needed: when all are gone, so is the part.

    Whoever publishes a document's new version and then dies, or cannot reach the index, leaves those of the old one.
    """
    async for found in part.list_versions():
        versions = list(found)
        jobs = [DocumentJob(tenant=version.tenant, document_id=version.document_id) for version in versions]
        for version, state in zip(versions, await registry.find_states(jobs), strict=True):
            if not is_orphan_version(version, state) or not await remove_points(version, registry, part):
                return
