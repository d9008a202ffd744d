"""An UploadKeys in memory, which forgets nothing."""

from services.gateway.ports import UploadKeyUse


class MemoryUploadKeys:
    """Keeps what each key was used for."""

    def __init__(self) -> None:
        self.uses: dict[tuple[str, str], UploadKeyUse] = {}

    async def take(self, tenant: str, key: str, identity: str, document_id: str) -> UploadKeyUse:
        """Take a key, or return what it was taken for."""
        return self.uses.setdefault((tenant, key), UploadKeyUse(identity, document_id, is_accepted=False))

    async def note_accepted(self, tenant: str, key: str, document_id: str) -> None:
        """Note the document."""
        if (tenant, key) in self.uses:
            self.uses[tenant, key] = UploadKeyUse(self.uses[tenant, key].identity, document_id, is_accepted=True)
