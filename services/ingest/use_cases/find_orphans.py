"""Finds what nobody needs any more, and what is missing: bytes, points, files and keys that do not belong together.

Nothing that an upload or a job needs is taken for an orphan, whatever happens meanwhile:
- what may become part of a document is listed before it is asked whether there is a record. A document's id is new with
  each upload, and so is the name of bytes that replace others; what no record names then is never named, unless it
  was stored in this moment: bytes younger than the grace are left alone, by the store's own clock, as that of whoever
  looks may be hours ahead;
- of a document that a worker has, or is to have, to ingest or to purge it, nothing is an orphan.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.blobs.port import BlobStore, StoredBlob, make_blob_key, parse_blob_name
from shared.contracts.jobs import DocumentJob
from shared.registry.port import BlobId
from shared.registry.upkeep_port import DocumentState, RegistryUpkeep, Stray
from shared.spool_folder import find_abandoned
from shared.vector_index.port import IndexUpkeep, StoredVersion

GRACE_S = 3600.0
"""Age of bytes without a record: between storing and recording an upload lie milliseconds, or a timeout or two."""


class OrphanKind(StrEnum):
    """What there may be that does not belong together."""

    BLOB = "blob without record"
    UNFINISHED_BLOB = "blob that was never finished"
    LOST_BLOB = "record without blob"
    POINTS = "points without record or version"
    SPOOLED = "upload that nobody receives"
    STRAY = "key of a purged document"


@dataclass(frozen=True)
class Orphan:
    """Something that does not belong together; `name` says where it is, `subject` what to do it with."""

    kind: OrphanKind
    name: str
    subject: str | Path | Stray | StoredVersion | DocumentJob


@dataclass(frozen=True)
class UpkeepDependencies:
    """What upkeep works with. Where there is no index, nothing is said about points."""

    registry: RegistryUpkeep
    blobs: BlobStore
    index: IndexUpkeep | None
    spool: Path
    grace_s: float = GRACE_S


async def find_orphans(deps: UpkeepDependencies) -> AsyncGenerator[Orphan, None]:
    """Yield all orphans of all kinds; what is damaged only seems to be so if it is repaired meanwhile."""
    async for orphan in find_orphan_blobs(deps):
        yield orphan
    async for orphan in _find_lost_blobs(deps):
        yield orphan
    if deps.index is not None:
        async for orphan in _find_orphan_points(deps.index, deps.registry):
            yield orphan
    for path in await asyncio.to_thread(find_abandoned, deps.spool):
        yield Orphan(OrphanKind.SPOOLED, path.name, path)
    async for strays in deps.registry.list_strays():
        for stray in strays:
            yield Orphan(OrphanKind.STRAY, f"{stray.key} {stray.member}".strip(), stray)


async def find_orphan_blobs(deps: UpkeepDependencies) -> AsyncGenerator[Orphan, None]:
    """Yield blobs of refused or killed uploads: those that no record names, when they are older than the grace."""
    derived: dict[tuple[str, str], list[str]] = {}
    oldest_spared = await deps.blobs.read_clock() - deps.grace_s
    async for blobs in deps.blobs.list_all():
        old = [blob for blob in blobs if blob.modified < oldest_spared]
        for blob in old:
            if blob.is_unfinished:
                yield Orphan(OrphanKind.UNFINISHED_BLOB, blob.key, blob.key)
        uploads = _find_uploads(old)
        states = await deps.registry.find_states([upload.job for upload in uploads])
        for upload, state in zip(uploads, states, strict=True):
            if _is_gone(state) or _is_left(state, upload.blob):
                yield Orphan(OrphanKind.BLOB, upload.key, upload.key)
        for blob in old:
            if content := _find_content(blob):
                derived.setdefault(content, []).append(blob.key)
    if not derived:
        return
    async for found in deps.registry.list_states():
        for job, state in found:
            for name in state.blobs:
                derived.pop((job.tenant, name.sha256), None)
    for key in (key for keys in derived.values() for key in keys):
        yield Orphan(OrphanKind.BLOB, key, key)


async def _find_lost_blobs(deps: UpkeepDependencies) -> AsyncGenerator[Orphan, None]:
    async for found in deps.registry.list_states():
        for job, state in found:
            for name in state.blobs:
                key = make_blob_key(job.tenant, name.sha256, name.blob)
                if state.status == "deleted" or await deps.blobs.exists(key):
                    continue
                now = (await deps.registry.find_states([job]))[0]
                if now is not None and now.status != "deleted" and name in now.blobs:
                    yield Orphan(OrphanKind.LOST_BLOB, key, job)


async def _find_orphan_points(index: IndexUpkeep, registry: RegistryUpkeep) -> AsyncGenerator[Orphan, None]:
    seen: set[StoredVersion] = set()
    async for found in index.list_versions():
        versions = [version for version in found if version not in seen]
        seen.update(versions)
        jobs = [DocumentJob(tenant=version.tenant, document_id=version.document_id) for version in versions]
        for version, state in zip(versions, await registry.find_states(jobs), strict=True):
            if is_orphan_version(version, state):
                yield Orphan(OrphanKind.POINTS, f"{version.tenant}/{version.document_id}@{version.version}", version)


def is_orphan_version(version: StoredVersion, state: DocumentState | None) -> bool:
    """Return whether no search shows these points, and no worker is going to write or remove them."""
    if state is None or state.busy:
        return state is None
    return state.status != "ready" or state.version != version.version


def _is_gone(state: DocumentState | None) -> bool:
    """Return whether a document is not there any more, and no purge is going to remove what it left."""
    return state is None or (state.status == "deleted" and not state.busy)


def _is_left(state: DocumentState | None, blob: BlobId) -> bool:
    """Return whether a document has other bytes now, and no worker is going to remove these."""
    return state is not None and state.status != "deleted" and not state.busy and blob not in state.blobs


@dataclass(frozen=True)
class _Upload:
    key: str
    job: DocumentJob
    blob: BlobId


def _find_uploads(blobs: Iterable[StoredBlob]) -> Sequence[_Upload]:
    """Return uploaded bytes, with the documents to which they belong."""
    found = []
    for blob in blobs:
        parts = blob.key.split("/")
        if len(parts) == 4 and parts[-1].endswith(".pdf"):
            name = parts[-1].removesuffix(".pdf")
            job = DocumentJob(tenant=parts[0], document_id=parse_blob_name(name))
            found.append(_Upload(blob.key, job, BlobId(parts[2], name)))
    return found


def _find_content(blob: StoredBlob) -> tuple[str, str] | None:
    """Return tenant and sha-256 of the bytes of which something was made that all documents with them share."""
    parts: Sequence[str] = blob.key.split("/")
    return (parts[0], parts[2]) if len(parts) > 4 and not blob.is_unfinished else None
