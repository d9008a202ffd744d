"""How the registry's records and replies are read."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.contracts.documents import (
    DocumentFailure,
    DocumentRecord,
    DocumentReplacement,
    DocumentStatus,
    DocumentWarning,
)
from shared.errors import NotFound
from shared.registry.port import BlobId, DocumentBlobs


def now_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def flatten(fields: dict[str, Any]) -> list[Any]:
    """Field, value, field, value …"""
    return [part for pair in fields.items() for part in pair]


def check_id(document_id: str) -> None:
    """Raise NotFound for what would name another key of a document than its record."""
    if ":" in document_id:
        raise make_missing(document_id)


def make_missing(document_id: str) -> NotFound:
    """The error that there is no such document."""
    return NotFound(f"There is no document {document_id!r}; GET /documents lists what there is.")


def parse_reply(document_id: str, flat: Sequence[str]) -> DocumentRecord:
    """The record in a script's reply. Raises NotFound when it is gone, or was deleted before the reply came."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    if not fields or fields["status"] == "deleted":
        raise make_missing(document_id)
    return parse_record(document_id, fields)


def parse_record(document_id: str, fields: dict[str, str]) -> DocumentRecord:
    """The record that its owner sees: of the version that is searched, or of what is being made."""
    replacement = _parse_replacement(fields)
    if fields.get("live"):
        times = {name: fields[name] for name in ("created_at", "updated_at")}
        fields = {**times, **json.loads(fields["live"]), "status": DocumentStatus.READY}
    failure = fields.get("failure")
    return DocumentRecord(
        document_id=document_id,
        filename=fields["filename"],
        title=fields["title"],
        status=DocumentStatus(fields["status"]),
        size_bytes=int(fields["size_bytes"]),
        sha256=fields["sha256"],
        created_at=_parse_time(fields["created_at"]),
        updated_at=_parse_time(fields["updated_at"]),
        pages_total=int(fields.get("pages_total", 0)),
        pages_done=int(fields.get("pages_done", 0)),
        chunks_total=int(fields.get("chunks_total", 0)),
        chunks_done=int(fields.get("chunks_done", 0)),
        warnings=[DocumentWarning(**warning) for warning in json.loads(fields.get("warnings") or "[]")],
        failure=DocumentFailure.model_validate_json(failure) if failure else None,
        replacement=replacement,
    )


def _parse_replacement(fields: dict[str, str]) -> DocumentReplacement | None:
    """What is on its way to be the next version, or has failed to."""
    if fields.get("replacement"):
        fields = {**json.loads(fields["replacement"]), "status": DocumentStatus.FAILED}
    elif not fields.get("live"):
        return None
    failure = fields.get("failure")
    return DocumentReplacement(
        status=DocumentStatus(fields["status"]),
        filename=fields["filename"],
        size_bytes=int(fields["size_bytes"]),
        sha256=fields["sha256"],
        pages_total=int(fields.get("pages_total", 0)),
        pages_done=int(fields.get("pages_done", 0)),
        chunks_total=int(fields.get("chunks_total", 0)),
        chunks_done=int(fields.get("chunks_done", 0)),
        failure=DocumentFailure.model_validate_json(failure) if failure else None,
    )


def parse_blobs(document_id: str, sha256: str | None, blob: str | None, live: str, dropped: str) -> DocumentBlobs:
    """The bytes of a document by the fields of its record."""
    named = [BlobId(sha256, blob or document_id)] if sha256 else []
    if live:
        saved = json.loads(live)
        named.append(BlobId(saved["sha256"], saved.get("blob") or document_id))
    return DocumentBlobs(
        named=list(dict.fromkeys(named)), dropped=[BlobId(*name.split("/", 1)) for name in dropped.split()]
    )


def parse_text_key(text_key: str | None, live: str | None) -> str | None:
    """The key of the version that is searched, by the fields of its record; None of one that was written in plain."""
    # A release that knows no keys leaves the field to both versions, and puts nothing into `live`.
    return (json.loads(live).get("text_key") if live else None) or text_key


def _parse_time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
