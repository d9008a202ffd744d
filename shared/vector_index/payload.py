"""How a chunk's payload is written into a point and read back: the same for both engines."""

from dataclasses import asdict
from typing import Any

from shared.vector_index.port import ChunkPayload, StoredVersion, version_key

TENANT = "tenant"
DOCUMENT = "document_id"
VERSION_KEY = "generation"
"""Under this name in every stored point: another one would hide the old points from deletions."""
VERSION_FIELDS = [TENANT, DOCUMENT, "version"]
"""What `load_version` needs of a point."""
KEYWORD_FIELDS = (DOCUMENT, VERSION_KEY)
"""Indexed besides the tenant, because searches and deletions filter on them."""
EDITION = "edition"
EMBEDDED = "embedded"
"""Indexed as UUIDs: a writer asks by them for vectors that are there already."""


def dump_payload(tenant: str, payload: ChunkPayload) -> dict[str, Any]:
    """Return the payload as the engine stores it."""
    return {TENANT: tenant, VERSION_KEY: version_key(payload.document_id, payload.version), **asdict(payload)}


def load_payload(stored: dict[str, Any]) -> ChunkPayload:
    """Return the payload that `dump_payload` made this of."""
    # Points of older releases lack the later fields, which have defaults.
    return ChunkPayload(**{name: stored[name] for name in ChunkPayload.__dataclass_fields__ if name in stored})


def load_version(stored: dict[str, Any]) -> StoredVersion:
    """Return the version to which a point with this payload belongs."""
    return StoredVersion(stored[TENANT], stored[DOCUMENT], stored["version"])
