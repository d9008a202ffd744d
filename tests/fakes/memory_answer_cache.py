"""An AnswerCache in memory, beside the registry in memory whose revisions it goes by."""

from services.gateway.ports import CacheLookup, KeptAnswer
from tests.fakes.memory_registry import MemoryRegistry


class MemoryAnswerCache:
    """Keeps what was made of a tenant's newest revision."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry
        self._kept: dict[tuple[str, str, str], KeptAnswer] = {}

    async def find(self, tenant: str, key: str) -> CacheLookup:
        """Return the revision, and what was kept for it."""
        revision = self._registry.revisions.get(tenant)
        if revision is None:
            return CacheLookup()
        return CacheLookup(revision, self._kept.get((tenant, key, revision)))

    async def keep(self, tenant: str, key: str, revision: str, answer: KeptAnswer) -> None:
        """Keep an answer in place of all of older revisions."""
        if revision == self._registry.revisions.get(tenant):
            self._kept = {
                place: kept for place, kept in self._kept.items() if (place[0], place[2]) == (tenant, revision)
            }
            self._kept[tenant, key, revision] = answer
