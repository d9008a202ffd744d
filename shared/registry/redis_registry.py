"""The document registry on Redis; its keys are in `keys.py`."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus, DocumentWarning
from shared.contracts.jobs import DocumentJob
from shared.identifiers import make_text_key
from shared.registry import scripts
from shared.registry.cards import (
    FIND_CARDS,
    MAX_FOUND,
    NO_CARD,
    Card,
    CardMatches,
    dump_card,
    parse_matches,
)
from shared.registry.keys import (
    make_identity,
    make_member,
    parse_member,
)
from shared.registry.list_pages import READ_PAGE, FoundPage, make_arguments
from shared.registry.port import (
    Content,
    DocumentPage,
    Lease,
    LeaseLostError,
    ListPlace,
    NewDocument,
    Progress,
    VersionsSeen,
)
from shared.registry.records import (
    check_id,
    flatten,
    make_missing,
    now_ms,
    parse_record,
    parse_reply,
    parse_text_key,
)
from shared.registry.redis_versions import RedisVersions
from shared.registry.revision import make_revision
from shared.registry.status_lists import LIST_OLDER

TOMBSTONE_MS = 10 * 60 * 1000
"""How long a forgotten document's id is known as deleted: far longer than a command can be on its way."""
SCAN_MEMBERS = 500
"""How many members of a set are read at a time: neither Redis nor our loop is kept from its other work for long."""


class RedisDocumentRegistry(RedisVersions):
    """A DocumentRegistry. Raises DependencyUnavailable when Redis does not answer within `deadline_s` seconds, and
    DiskFull when it cannot write."""

    async def close(self) -> None:
        """End the calls that nobody waits for any more; the client stays open."""
        await self._calls.close()

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        """Records a document as queued; returns the record and whether it is one that was there already.

        One that was there stays as it is, also when it has failed: `requeue` has it tried again.
        """
        fields = {
            "filename": new.filename,
            "title": new.filename,
            "sha256": new.sha256,
            "size_bytes": new.size_bytes,
        }
        keys = [
            self._keys.document(new.tenant, new.document_id),
            self._keys.identities(new.tenant),
            self._keys.documents(new.tenant),
            self._keys.pending,
            self._keys.events(new.tenant, new.document_id),
            self._keys.content(new.tenant, new.sha256),
        ]
        member = f"{new.tenant}/{new.document_id}"
        identity = make_identity(new.sha256, new.filename)
        reply = await self._run(scripts.CREATE, keys, [new.document_id, identity, member, *flatten(fields)])
        document_id, fields = reply
        return parse_reply(document_id, fields), document_id != new.document_id

    async def requeue(self, job: DocumentJob) -> DocumentRecord:
        """Has a failed document tried again, with all its attempts; others stay as they are. Raises NotFound."""
        keys = [
            self._keys.document(job.tenant, job.document_id),
            self._keys.pending,
            self._keys.events(job.tenant, job.document_id),
        ]
        return parse_reply(job.document_id, await self._run(scripts.REQUEUE, keys, [now_ms(), make_member(job)]))

    async def get(self, tenant: str, document_id: str) -> DocumentRecord:
        """The record. Raises NotFound for unknown, deleted and other tenants' documents."""
        return (await self.get_with_event_number(tenant, document_id))[0]

    async def get_with_event_number(self, tenant: str, document_id: str) -> tuple[DocumentRecord, int]:
        """Return the record and the number of its last event, as of one moment. Raise NotFound as `get` does.

        The number of a final record is that of its `ready` or `failed`, also when its stream has expired; it is 0
        where the record is older than streams are.
        """
        check_id(document_id)
        fields = await self._call(self._redis.hgetall(self._keys.document(tenant, document_id)))
        if not fields or fields["status"] == "deleted":
            raise make_missing(document_id)
        return parse_record(document_id, fields), int(fields.get("event_number", 0))

    async def list(
        self, tenant: str, start: int | ListPlace, limit: int, status: DocumentStatus | None = None
    ) -> DocumentPage:
        """Records newest first, all or those with a status, from an offset or a place on.

        Reads the records of the page alone: their ids are in a list of their own for each status.
        """
        key = self._keys.documents(tenant)
        if status is not None:
            await self._list_older(tenant)
            key = self._keys.documents(tenant, status)
        page = FoundPage.parse(await self._run(READ_PAGE, [key], make_arguments(start, limit)), limit)
        pipe = self._redis.pipeline(transaction=False)  # `execute` gives its connection back
        for document_id in page.ids:
            pipe.hgetall(self._keys.document(tenant, document_id))
        rows = await self._call(pipe.execute())
        found = zip(page.ids, rows, strict=True)
        records = [parse_record(i, row) for i, row in found if row and row["status"] != "deleted"]
        listed = [record for record in records if status in (None, record.status)]
        return DocumentPage(listed, page.total, page.next_offset, page.next_place)

    async def _list_older(self, tenant: str) -> None:
        """Put records that are older than the lists by status into them; the counts say whether there are any."""
        pipe = self._redis.pipeline(transaction=True)  # of one moment; `execute` gives its connection back
        pipe.zcard(self._keys.documents(tenant))
        for status in DocumentStatus:
            pipe.zcard(self._keys.documents(tenant, status))
        total, *listed = await self._call(pipe.execute())
        if total == sum(listed):
            return
        for first in range(0, total, SCAN_MEMBERS):
            ids = await self._call(self._redis.zrange(self._keys.documents(tenant), first, first + SCAN_MEMBERS - 1))
            await self._run(LIST_OLDER, [self._keys.document(tenant, document_id) for document_id in ids], [])

    async def count(self, tenant: str) -> tuple[int, int]:
        """How many documents there are, and how many of them can be searched."""
        pipe = self._redis.pipeline(transaction=False)  # `execute` gives its connection back
        pipe.zcard(self._keys.documents(tenant))
        pipe.scard(self._keys.ready(tenant))
        total, ready = await self._call(pipe.execute())
        return int(total), int(ready)

    async def delete(self, tenant: str, document_id: str) -> None:
        """Takes a document out of lists and answers at once; its points and bytes go later, by a purge."""
        check_id(document_id)
        keys = [
            self._keys.document(tenant, document_id),
            self._keys.identities(tenant),
            self._keys.documents(tenant),
            self._keys.pending,
            self._keys.ready(tenant),
            self._keys.purging,
            self._keys.events(tenant, document_id),
            *self._keys.revision(tenant).as_list(),
        ]
        failure = DocumentFailure(code="deleted", detail="The document was deleted before it was ready.")
        arguments = [
            document_id,
            f"{tenant}/{document_id}",
            now_ms(),
            make_revision(),
            failure.model_dump_json(),
        ]
        if not await self._run(scripts.DELETE, keys, arguments):
            raise make_missing(document_id)

    async def get_active_versions(self, tenant: str, document_ids: Sequence[str]) -> dict[str, str]:
        """The published version of each of the documents that can be searched; others are left out."""
        return (await self.look_at_versions(tenant, document_ids)).versions

    async def look_at_versions(self, tenant: str, document_ids: Sequence[str]) -> VersionsSeen:
        """The same, with what opens their texts, and the tenant's revision, which is read after the versions, never
        before them."""
        document_ids = [document_id for document_id in document_ids if ":" not in document_id]
        keys = [self._keys.document(tenant, document_id) for document_id in document_ids]
        *rows, revision = await self._run(scripts.LOOK_AT_VERSIONS, [*keys, self._keys.revision(tenant).revision], [])
        found = {
            document_id: (version, parse_text_key(text_key, live))
            for document_id, (status, version, live, text_key) in zip(document_ids, rows, strict=True)
            if version and (status == "ready" or (live and status != "deleted"))
        }
        versions = {document_id: version for document_id, (version, _) in found.items()}
        return VersionsSeen(versions, revision, {document_id: key for document_id, (_, key) in found.items() if key})

    async def find_cards(self, tenant: str, terms: Sequence[str]) -> CardMatches:
        """Which searched documents have these terms on their cards: at most MAX_FOUND, those with the rarest."""
        if not terms:
            return CardMatches()
        return parse_matches(await self._run(FIND_CARDS, [self._keys.cards(tenant)], [MAX_FOUND, *terms]))

    # --- for workers -------------------------------------------------------------------------------------

    async def count_attempts(self, job: DocumentJob) -> int:
        """How many workers have died on a document since it last got further, one that has it now included."""
        return int(
            await self._call(self._redis.hget(self._keys.document(job.tenant, job.document_id), "attempts")) or 0
        )

    async def is_leased(self, job: DocumentJob) -> bool:
        """Whether a worker has the document, or a part of it."""
        return bool(await self._call(self._redis.exists(self._keys.lease(job), self._keys.helpers(job))))

    async def claim(self, job: DocumentJob, token: str, lease_ms: int) -> Lease | Literal["held", "gone"]:
        """Takes the lease of an unfinished document.

        Returns `held` when another worker has it and `gone` when there is nothing left to do. Each claim counts as
        an attempt until `release` gives it back, so a document that kills its workers is found out.
        """
        keys = [self._keys.document(job.tenant, job.document_id), self._keys.lease(job), self._keys.pending]
        reply = await self._run(scripts.CLAIM, keys, [token, lease_ms, now_ms(), make_member(job), make_text_key()])
        if reply[0] == "claimed":
            epoch, attempts, edition, sha256, filename, size, blob, text_key = reply[1:]
            content = Content(filename, sha256, int(size), blob or job.document_id)
            return Lease(job, token, int(epoch), int(attempts), content, int(edition), text_key)
        return "held" if reply[0] == "held" else "gone"

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        """Prolongs a lease; False when it is lost."""
        keys = [self._keys.lease(lease.job), self._keys.document(lease.job.tenant, lease.job.document_id)]
        return bool(await self._run(scripts.RENEW, keys, [lease.token, lease_ms, lease.epoch]))

    async def release(self, lease: Lease) -> None:
        """Ends a lease and gives its attempt back: only a worker that dies, and so never comes here, keeps it."""
        keys = [self._keys.lease(lease.job), self._keys.document(lease.job.tenant, lease.job.document_id)]
        await self._run(scripts.RELEASE, keys, [lease.token, lease.epoch])

    async def update(self, lease: Lease, progress: Progress) -> None:
        """Writes progress; what is known and higher stays. Raises LeaseLostError when the lease is no longer ours."""
        values = {name: value for name, value in vars(progress).items() if value is not None}
        tenant, document_id = lease.job.tenant, lease.job.document_id
        keys = [self._keys.document(tenant, document_id), self._keys.events(tenant, document_id)]
        if not await self._run(scripts.UPDATE, keys, [lease.epoch, now_ms(), *flatten(values)]):
            raise LeaseLostError(lease.job.document_id)

    async def publish(
        self, lease: Lease, version: str, warnings: Sequence[DocumentWarning], card: Card = NO_CARD
    ) -> None:
        """Makes a version the one that searches see. Raises LeaseLostError when the lease is no longer ours."""
        dumped = json.dumps([warning.model_dump() for warning in warnings])
        fields = {"version": version, "warnings": dumped, "failure": "", "card": dump_card(card)}
        await self._finish(lease, "ready", fields)

    async def fail(self, lease: Lease, failure: DocumentFailure) -> None:
        """Ends a document as failed. Raises LeaseLostError when the lease is no longer ours."""
        await self._finish(lease, "failed", {"failure": failure.model_dump_json()})

    async def _finish(self, lease: Lease, status: str, fields: dict[str, Any]) -> None:
        job = lease.job
        keys = [
            self._keys.document(job.tenant, job.document_id),
            self._keys.pending,
            self._keys.ready(job.tenant),
            self._keys.events(job.tenant, job.document_id),
            *self._keys.revision(job.tenant).as_list(),
            self._keys.identities(job.tenant),
            self._keys.ranges(job),
            self._keys.purged,
            self._keys.untidied,
        ]
        arguments = [
            lease.epoch,
            now_ms(),
            make_member(job),
            job.document_id,
            make_revision(),
            status,
            *flatten(fields),
        ]
        if not await self._run(scripts.FINISH, keys, arguments):
            raise LeaseLostError(job.document_id)

    async def exists(self, job: DocumentJob) -> bool:
        """Whether the document is there and not deleted."""
        key = self._keys.document(job.tenant, job.document_id)
        status = await self._call(self._redis.hget(key, "status"))
        return status is not None and status != "deleted"

    async def take_turn(self, work: str, for_ms: int) -> bool:
        """Whether the caller is to do a work that one of all workers does in this time."""
        return bool(await self._call(self._redis.set(self._keys.turn(work), "1", nx=True, px=for_ms)))

    async def find_unleased(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        """Unfinished documents that no worker has: queued, or orphaned by a worker that died; some at a time."""
        async for jobs in self._scan(self._keys.pending):
            leases = await self._call(self._redis.mget([self._keys.lease(job) for job in jobs]))
            yield [job for job, lease in zip(jobs, leases, strict=True) if lease is None]

    async def find_purgeable(self) -> AsyncGenerator[Sequence[DocumentJob], None]:
        """Deleted documents whose points and bytes are still to be removed; some at a time."""
        async for jobs in self._scan(self._keys.purging):
            yield jobs

    async def find_untidied(self) -> AsyncGenerator[Sequence[tuple[DocumentJob, int]], None]:
        """Final documents behind whose edition nobody has tidied up yet, or is about to; some at a time."""
        cursor: int | None = None
        while cursor != 0:
            cursor, found = await self._call(self._redis.hscan(self._keys.untidied, cursor or 0, count=SCAN_MEMBERS))
            pairs = [(parse_member(member), int(edition)) for member, edition in found.items()]
            pipe = self._redis.pipeline(transaction=False)  # `execute` gives its connection back
            for job, _ in pairs:
                pipe.exists(self._keys.lease(job), self._keys.helpers(job))
            busy = await self._call(pipe.execute()) if pairs else []
            yield [pair for pair, is_busy in zip(pairs, busy, strict=True) if not is_busy]

    async def note_tidied(self, job: DocumentJob, edition: int) -> None:
        """Notes that nothing is left of what an edition of a document has put out of use."""
        await self._run(scripts.NOTE_TIDIED, [self._keys.untidied], [make_member(job), edition])

    async def _scan(self, key: str) -> AsyncGenerator[Sequence[DocumentJob], None]:
        # Where Redis starts anew or the slot moves meanwhile some may be passed by: the next look has them.
        cursor: int | None = None
        while cursor != 0:
            cursor, members = await self._call(self._redis.sscan(key, cursor or 0, count=SCAN_MEMBERS))
            if members:
                yield [parse_member(member) for member in members]

    async def find_deleted(self, tenant: str) -> Sequence[str]:
        """Return the ids of a tenant's deleted documents that may still have points."""
        members = await self._call(self._redis.smembers(self._keys.purging))
        return [member.removeprefix(f"{tenant}/") for member in members if member.startswith(f"{tenant}/")]

    async def request_purge(self, job: DocumentJob) -> None:
        """Notes that a deleted document may have points or bytes; the reconciler queues the purge."""
        await self._call(self._redis.sadd(self._keys.purging, make_member(job)))

    async def let_go_of_content(self, job: DocumentJob, sha256: str) -> bool:
        """Notes that a document does not have these bytes any more; returns whether no other of its tenant has them.

        It may be called again: the answer says who is left, not who left.
        """
        pipe = self._redis.pipeline(transaction=True)  # `execute` gives its connection back
        pipe.srem(self._keys.content(job.tenant, sha256), job.document_id)
        pipe.scard(self._keys.content(job.tenant, sha256))
        _, left = await self._call(pipe.execute())
        return int(left) == 0

    async def forget(self, job: DocumentJob) -> None:
        """Removes what is left of a purged document; one that is not deleted stays."""
        keys = [
            self._keys.document(job.tenant, job.document_id),
            self._keys.lease(job),
            self._keys.events(job.tenant, job.document_id),
            self._keys.purging,
            self._keys.ranges(job),
            self._keys.purged,
        ]
        await self._run(scripts.FORGET, keys, [make_member(job), TOMBSTONE_MS])

    async def drop_all_leases(self) -> None:
        """Frees every document. Only for a system that knows that no worker runs: standalone, at its start."""
        jobs = [parse_member(member) for member in await self._call(self._redis.smembers(self._keys.pending))]
        if jobs:
            await self._call(self._redis.delete(*[self._keys.lease(job) for job in jobs]))

    async def ping(self) -> None:
        """Raises DependencyUnavailable when Redis does not answer, and DiskFull when it cannot write."""
        await self._call(self._redis.ping())
