"""The part of the registry that has documents made anew, on Redis, and how it calls Redis."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from redis.asyncio import Redis

from shared.bounded_calls import BoundedCalls
from shared.contracts.documents import DocumentRecord
from shared.contracts.jobs import DocumentJob
from shared.errors import Conflict
from shared.redis_client import name_prefix, run_command
from shared.registry import version_scripts
from shared.registry.keys import (
    RegistryKeys,
    make_identity,
    make_member,
)
from shared.registry.listing import list_whole
from shared.registry.port import BlobId, Content, DocumentBlobs, QueuedWork
from shared.registry.records import check_id, make_missing, now_ms, parse_blobs, parse_reply
from shared.registry.revision import make_revision

AWAY = "The document registry does not answer now; try again in a few seconds."
DEADLINE_S = 5.0
"""For each call, however many wait."""
CALLS_AT_ONCE = 64
"""Connections that the registry takes of its client's pool of 100; a busy gateway needs one or two."""
SCAN_DOCUMENTS = 500
"""How many are read at a time."""


class RedisVersions:
    """Replaces, re-indexes and rebuilds documents; see `DocumentRegistry`."""

    def __init__(self, redis: Redis, *, deadline_s: float = DEADLINE_S) -> None:
        self._redis = redis
        self._keys = RegistryKeys(name_prefix(redis))
        self._calls = BoundedCalls(deadline_s=deadline_s, at_once=CALLS_AT_ONCE)

    async def replace(self, job: DocumentJob, content: Content) -> tuple[DocumentRecord, bool]:
        """Give a document other bytes or another name; return its record and whether it has them by this call."""
        check_id(job.document_id)
        document = self._keys.document(job.tenant, job.document_id)
        keys = [
            document,
            self._keys.identities(job.tenant),
            self._keys.pending,
            self._keys.events(job.tenant, job.document_id),
            self._keys.content(job.tenant, content.sha256),
            self._keys.ranges(job),
            self._keys.purged,
        ]
        identity = make_identity(content.sha256, content.filename)
        while True:
            # The script takes the edition that we have seen: one that arrives late cannot undo a later replacement.
            edition = await self._read_edition(document)
            arguments = [
                job.document_id,
                make_member(job),
                now_ms(),
                edition,
                identity,
                content.filename,
                content.sha256,
                content.size_bytes,
                content.blob,
            ]
            what, *fields = await self._run(version_scripts.REPLACE, keys, arguments)
            if what == "missing":
                raise make_missing(job.document_id)
            if what == "known":
                raise Conflict(
                    f"The document {fields[0]!r} has these bytes and this name already.",
                    code="duplicate_document",
                    details={"document_id": fields[0]},
                )
            if what != "changed":
                return parse_reply(job.document_id, fields), what == "taken"

    async def reindex(self, job: DocumentJob, version: str) -> bool:
        """Have a document that is searched in this version made anew of its bytes; return whether it is to be."""
        keys = [
            self._keys.document(job.tenant, job.document_id),
            self._keys.pending,
            self._keys.events(job.tenant, job.document_id),
            self._keys.ranges(job),
        ]
        return bool(await self._run(version_scripts.REINDEX, keys, [make_member(job), now_ms(), version]))

    async def rebuild(self, job: DocumentJob) -> bool:
        """Have a document whose points are lost made anew; return whether it is to be."""
        document = self._keys.document(job.tenant, job.document_id)
        keys = [
            document,
            self._keys.pending,
            self._keys.ready(job.tenant),
            self._keys.events(job.tenant, job.document_id),
            *self._keys.revision(job.tenant).as_list(),
            self._keys.ranges(job),
            self._keys.purged,
        ]
        edition = await self._read_edition(document)
        arguments = [job.document_id, make_member(job), now_ms(), make_revision(), edition]
        return bool(await self._run(version_scripts.REBUILD, keys, arguments))

    async def find_work(self, jobs: Sequence[DocumentJob]) -> Sequence[QueuedWork]:
        """What the queue is to know of each of these documents; of size 0 where its record is gone."""
        pipe = self._redis.pipeline(transaction=False)  # `execute` gives its connection back
        for job in jobs:
            pipe.hmget(self._keys.document(job.tenant, job.document_id), ["size_bytes", "background"])
        rows = await self._call(pipe.execute())
        return [QueuedWork(int(size or 0), background=background == "1") for size, background in rows]

    async def find_blobs(self, job: DocumentJob) -> DocumentBlobs:
        """The bytes of a document, deleted or not; none when the record is gone."""
        key = self._keys.document(job.tenant, job.document_id)
        sha256, blob, live, dropped = await self._call(self._redis.hmget(key, ["sha256", "blob", "live", "dropped"]))
        return parse_blobs(job.document_id, sha256, blob, live or "", dropped or "")

    async def note_removed(self, job: DocumentJob, dropped: Sequence[BlobId]) -> None:
        """Note that bytes which a document does not name any more are removed."""
        names = [f"{name.sha256}/{name.blob}" for name in dropped]
        await self._run(version_scripts.NOTE_REMOVED, [self._keys.document(job.tenant, job.document_id)], names)

    async def find_edition(self, job: DocumentJob) -> int:
        """Which making of the document is the last; 0 when it is gone or deleted."""
        key = self._keys.document(job.tenant, job.document_id)
        status, edition = await self._call(self._redis.hmget(key, ["status", "edition"]))
        return 0 if status is None or status == "deleted" else int(edition or 1)

    async def find_content(self, job: DocumentJob) -> Content | None:
        """What is being made of the document, or was made last; None when it is gone or deleted."""
        key = self._keys.document(job.tenant, job.document_id)
        fields = ["status", "filename", "sha256", "size_bytes", "blob"]
        status, filename, sha256, size, blob = await self._call(self._redis.hmget(key, fields))
        if status is None or status == "deleted":
            return None
        return Content(filename, sha256, int(size), blob or job.document_id)

    async def note_pipeline(self, pipeline: str) -> None:
        """Note what the workers of now make versions with."""
        await self._call(self._redis.set(self._keys.pipeline, pipeline))

    async def find_pipeline(self) -> str | None:
        """What the workers of now make versions with; None as long as none has started."""
        pipeline: str | None = await self._call(self._redis.get(self._keys.pipeline))
        return pipeline

    async def list_versions(self, tenant: str) -> AsyncGenerator[Sequence[tuple[DocumentJob, str]], None]:
        """A tenant's documents that can be searched, with their versions, some at a time."""
        ready = self._keys.ready(tenant)

        def scan(pipe: Any, cursor: int) -> None:
            pipe.sscan(ready, cursor, count=SCAN_DOCUMENTS)

        async for ids in list_whole(self._redis, self._call, ready, scan):
            pipe = self._redis.pipeline(transaction=False)
            for document_id in ids:
                pipe.hget(self._keys.document(tenant, document_id), "version")
            versions = await self._call(pipe.execute()) if ids else []
            jobs = [DocumentJob(tenant=tenant, document_id=document_id) for document_id in ids]
            yield [(job, version) for job, version in zip(jobs, versions, strict=True) if version]

    async def _read_edition(self, document: str) -> str:
        return await self._call(self._redis.hget(document, "edition")) or "1"

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await self._call(self._redis.eval(script, len(keys), *keys, *arguments))

    async def _call(self, command: Any) -> Any:
        return await run_command(self._calls, command, AWAY)
