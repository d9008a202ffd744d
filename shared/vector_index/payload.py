"""How a chunk's payload is written into a point and read back: the same for both engines."""

from dataclasses import asdict
from typing import Any

from shared.vector_index.port import ChunkPayload, make_generation

TENANT = "tenant"
DOCUMENT = "document_id"
GENERATION = "generation"
KEYWORD_FIELDS = (DOCUMENT, GENERATION)
"""Indexed besides the tenant, because searches and deletions filter on them."""


def dump_payload(tenant: str, payload: ChunkPayload) -> dict[str, Any]:
    """The payload as the engine stores it."""
    generation = make_generation(payload.document_id, payload.version)
    return {TENANT: tenant, GENERATION: generation, **asdict(payload)}


def load_payload(stored: dict[str, Any]) -> ChunkPayload:
    """The inverse of `dump_payload`."""
    return ChunkPayload(**{name: stored[name] for name in ChunkPayload.__dataclass_fields__})
