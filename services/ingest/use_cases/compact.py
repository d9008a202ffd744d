"""Removes from the disk what deleted documents have left in the files of the stores, where deleted is not yet gone."""

import structlog

from shared.registry.upkeep_port import RegistryUpkeep
from shared.vector_index.port import VectorIndex

log = structlog.get_logger(__name__)


async def compact_stores(index: VectorIndex, registry: RegistryUpkeep) -> None:
    """Have the index and the registry drop what was deleted; in the order of a purge, which ends in the registry."""
    points = await index.compact()
    records = await registry.compact()
    if points or records:
        log.info("deleted_text_removed", points=points, records=records)
