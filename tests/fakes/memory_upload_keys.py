"""An UploadKeys in memory, which forgets nothing."""

from services.gateway.ports import UploadKeyUse


class MemoryUploadKeys:
    """Keeps what each key was used for."""

    def __init__(self) -> None:
        self.uses: dict[tuple[str, str], UploadKeyUse] = {}

    async def take(self, tenant: str, key: str, identity: str) -> UploadKeyUse:
        """Take a key, or return what it was taken for."""
        return self.uses.setdefault((tenant, key), UploadKeyUse(identity, None))

    async def note_accepted(self, tenant: str, key: str, document_id: str) -> None:
        """Note the document."""
        use = self.uses.get((tenant, key))
        if use is not None and use.document_id is None:
            self.uses[tenant, key] = UploadKeyUse(use.identity, document_id)
