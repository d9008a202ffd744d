"""One suite on every document registry: identities, leases, fencing, progress, deletion."""

import asyncio

import pytest
from redis.asyncio import Redis

from shared.contracts.documents import DocumentFailure, DocumentStatus, DocumentWarning
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound
from shared.identifiers import make_document_id
from shared.registry.port import (
    BlobId,
    DocumentPage,
    DocumentRegistry,
    Lease,
    LeaseLostError,
    NewDocument,
    Progress,
    VersionsSeen,
)
from tests.batches import collect
from tests.fakes.memory_registry import MemoryRegistry
from tests.redis_registry import ExpiringRegistry, RepeatingRegistry

NOTHING = DocumentPage([], 0, None, None)
FAILURE = DocumentFailure(code="damaged", detail="Save a new copy.")

AnyRegistry = ExpiringRegistry | MemoryRegistry
"""A DocumentRegistry whose leases a test can let run out."""


@pytest.fixture(params=["memory", "redis", "slow redis", "redis cluster"])
def registry(request: pytest.FixtureRequest) -> AnyRegistry:
    """An empty one of each kind."""
    if request.param == "memory":
        return MemoryRegistry()
    if request.param == "redis cluster":
        return ExpiringRegistry(request.getfixturevalue("clustered_redis"))
    redis: Redis = request.getfixturevalue("redis")
    return ExpiringRegistry(redis) if request.param == "redis" else RepeatingRegistry(redis)


def make_new(sha256: str = "aa", filename: str = "a.pdf", tenant: str = "t") -> NewDocument:
    return NewDocument(tenant, make_document_id(), filename, sha256, size_bytes=10)


async def claim(registry: DocumentRegistry, new: NewDocument, token: str = "w1") -> Lease:
    lease = await registry.claim(DocumentJob(tenant=new.tenant, document_id=new.document_id), token, 30_000)
    assert isinstance(lease, Lease)
    return lease


async def take_over(registry: AnyRegistry, new: NewDocument, lease: Lease) -> Lease:
    """Claims the document of a worker that has died, when its lease has run out."""
    await registry.expire_lease(lease.job)
    return await claim(registry, new, "w3")


async def test_the_same_upload_is_the_same_document(registry: AnyRegistry) -> None:
    """Same bytes and name in a tenant: one record. Another name, other bytes or another tenant: another one."""
    first = make_new()
    record, duplicate = await registry.create(first)
    assert (record.document_id, record.status, duplicate) == (first.document_id, DocumentStatus.QUEUED, False)

    again, duplicate = await registry.create(make_new())
    assert (again.document_id, duplicate) == (first.document_id, True)

    for other in (make_new(filename="b.pdf"), make_new(sha256="bb"), make_new(tenant="u")):
        assert (await registry.create(other))[1] is False
    assert (await registry.list("t", 0, 10)).total == 3


async def test_twenty_uploads_at_once_are_one_document(registry: AnyRegistry) -> None:
    """Exactly one of many concurrent identical uploads makes the record."""
    results = await asyncio.gather(*(registry.create(make_new()) for _ in range(20)))

    assert len({record.document_id for record, _ in results}) == 1
    assert sum(not duplicate for _, duplicate in results) == 1


async def test_a_failed_document_is_tried_again_when_it_is_uploaded_again(registry: AnyRegistry) -> None:
    """The upload learns that it failed; then the same document goes back to `queued`, with all its attempts."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.fail(lease, FAILURE)
    assert (await registry.get("t", new.document_id)).failure == FAILURE

    known, duplicate = await registry.create(make_new())
    assert duplicate
    assert (known.document_id, known.status, known.failure) == (new.document_id, DocumentStatus.FAILED, FAILURE)
    record = await registry.requeue(lease.job)

    assert (record.document_id, record.status, record.failure) == (new.document_id, DocumentStatus.QUEUED, None)
    assert [job.document_id for job in await collect(registry.find_unleased())] == []  # the old lease still runs
    await registry.expire_lease(lease.job)
    assert [job.document_id for job in await collect(registry.find_unleased())] == [new.document_id]
    assert (await claim(registry, new)).attempts == 1


async def test_who_failed_a_document_cannot_fail_its_next_try(registry: AnyRegistry) -> None:
    """The verdict belongs to the try that ended with it."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.fail(lease, FAILURE)
    await registry.requeue(lease.job)

    with pytest.raises(LeaseLostError):
        await registry.fail(lease, FAILURE)

    assert (await registry.get("t", new.document_id)).status is DocumentStatus.QUEUED


async def test_who_failed_a_document_gives_its_next_try_no_attempt(registry: AnyRegistry) -> None:
    """The lease of the try that failed may end after the requeue: the attempts of the next one begin at none."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.fail(lease, FAILURE)
    await registry.requeue(lease.job)

    await registry.release(lease)

    assert await registry.count_attempts(lease.job) == 0
    assert (await claim(registry, new)).attempts == 1


async def test_attempts_are_never_fewer_than_none(registry: AnyRegistry) -> None:
    """A claim that is sent again after the document was put back has the lease, but counted for the try before."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.fail(lease, FAILURE)
    await registry.requeue(lease.job)

    await registry.release(await claim(registry, new))

    assert await registry.count_attempts(lease.job) == 0
    assert (await claim(registry, new)).attempts == 1


async def test_a_worker_that_released_its_lease_writes_nothing(registry: AnyRegistry) -> None:
    """Also while nobody else has the document: a report that was long on its way is no attempt of anybody."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.release(lease)

    with pytest.raises(LeaseLostError):
        await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=9, pages_done=1))
    with pytest.raises(LeaseLostError):
        await registry.publish(lease, "v1", [])

    assert await registry.count_attempts(lease.job) == 0
    assert (await registry.get("t", new.document_id)).status is DocumentStatus.QUEUED


async def test_only_a_failed_document_is_tried_again(registry: AnyRegistry) -> None:
    """One that is ready stays as it is; one that was deleted is gone."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.publish(lease, "v1", [])

    assert (await registry.requeue(lease.job)).status is DocumentStatus.READY
    await registry.delete("t", new.document_id)
    with pytest.raises(NotFound):
        await registry.requeue(lease.job)


async def test_one_worker_at_a_time(registry: AnyRegistry) -> None:
    """A second claim is refused while the lease runs, and possible when it is released or has run out."""
    new = make_new()
    await registry.create(new)
    job = DocumentJob(tenant="t", document_id=new.document_id)
    first = await claim(registry, new)

    assert await registry.claim(job, "w2", 30_000) == "held"
    await registry.release(first)
    second = await claim(registry, new, "w2")

    assert second.epoch > first.epoch
    assert second.attempts == 1
    third = await take_over(registry, new, second)
    assert third.attempts == 2


async def test_a_worker_that_lost_its_lease_writes_nothing(registry: AnyRegistry) -> None:
    """Progress, publication and failure of an older epoch are refused: the successor's word stands."""
    new = make_new()
    await registry.create(new)
    stale = await claim(registry, new)
    successor = await take_over(registry, new, stale)

    with pytest.raises(LeaseLostError):
        await registry.update(stale, Progress(DocumentStatus.PARSING, pages_done=1))
    with pytest.raises(LeaseLostError):
        await registry.publish(stale, "stale", [])
    with pytest.raises(LeaseLostError):
        await registry.fail(stale, FAILURE)
    assert await registry.renew(stale, 1000) is False
    await registry.release(stale)
    assert await registry.renew(successor, 30_000) is True

    await registry.publish(successor, "v2", [])
    assert await registry.get_active_versions("t", [new.document_id]) == {new.document_id: "v2"}


async def test_a_lease_that_ran_out_gives_its_attempt_back(registry: AnyRegistry) -> None:
    """As long as nobody has claimed since: Redis may have been away when the work ended. Later it changes nothing."""
    new = make_new()
    await registry.create(new)
    first = await claim(registry, new)
    await registry.expire_lease(first.job)
    await registry.release(first)
    second = await claim(registry, new, "w2")
    assert second.attempts == 1

    third = await take_over(registry, new, second)
    await registry.release(second)
    assert await registry.count_attempts(third.job) == 2
    assert await registry.renew(third, 30_000) is True


async def test_a_look_at_versions_tells_the_revision(registry: AnyRegistry) -> None:
    """Another one after a publication and a deletion, the same otherwise; none before the first of them."""
    new = make_new()
    await registry.create(new)
    assert await registry.look_at_versions("t", [new.document_id]) == VersionsSeen({}, None)

    await registry.publish(await claim(registry, new), "v1", [])
    published = await registry.look_at_versions("t", [new.document_id])
    assert published.versions == {new.document_id: "v1"}
    assert published.revision is not None
    assert await registry.look_at_versions("t", []) == VersionsSeen({}, published.revision)
    assert await registry.look_at_versions("u", [new.document_id]) == VersionsSeen({}, None)

    await registry.delete("t", new.document_id)
    deleted = await registry.look_at_versions("t", [new.document_id])
    assert deleted.versions == {}
    assert deleted.revision not in (None, published.revision)


async def test_progress_and_warnings_are_on_the_record(registry: AnyRegistry) -> None:
    """What a worker reports is what the owner reads; counts that a report leaves out stay."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.update(lease, Progress(DocumentStatus.PARSING, title="A title", pages_total=9, pages_done=4))
    await registry.update(lease, Progress(DocumentStatus.EMBEDDING, chunks_total=30, chunks_done=10))
    warning = DocumentWarning(code="pages_without_text", detail="Run OCR.", pages=[2, 3])

    record = await registry.get("t", new.document_id)
    assert (record.title, record.pages_total, record.pages_done) == ("A title", 9, 4)
    assert (record.status, record.chunks_total, record.chunks_done) == (DocumentStatus.EMBEDDING, 30, 10)

    await registry.publish(lease, "v1", [warning])
    assert (await registry.get("t", new.document_id)).warnings == [warning]
    assert await registry.count("t") == (1, 1)


async def test_progress_never_goes_back(registry: AnyRegistry) -> None:
    """A worker that takes over begins anew, but what is done only grows; only a new try starts from nothing."""
    new = make_new()
    await registry.create(new)
    first = await claim(registry, new)
    await registry.update(first, Progress(DocumentStatus.PARSING, pages_total=50, pages_done=40))
    second = await take_over(registry, new, first)

    await registry.update(second, Progress(DocumentStatus.PARSING, pages_done=10))
    assert (await registry.get("t", new.document_id)).pages_done == 40
    await registry.update(second, Progress(DocumentStatus.PARSING, pages_done=50))
    assert (await registry.get("t", new.document_id)).pages_done == 50

    await registry.fail(second, FAILURE)
    assert (await registry.requeue(second.job)).pages_done == 0


async def test_the_stream_of_a_document_is_no_document(registry: AnyRegistry) -> None:
    """An id that would name another key than a record's is not found, like any unknown one."""
    new = make_new()
    await registry.create(new)
    strange = f"{new.document_id}:events"

    with pytest.raises(NotFound):
        await registry.get("t", strange)
    with pytest.raises(NotFound):
        await registry.delete("t", strange)
    assert await registry.get_active_versions("t", [strange]) == {}


async def test_a_deleted_document_is_gone_at_once(registry: AnyRegistry) -> None:
    """Record, list, search and re-upload know nothing of it; only the purge does, until it is done."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.publish(lease, "v1", [])

    await registry.delete("t", new.document_id)

    with pytest.raises(NotFound):
        await registry.get("t", new.document_id)
    with pytest.raises(NotFound):
        await registry.delete("t", new.document_id)
    assert await registry.list("t", 0, 10) == NOTHING
    assert await registry.get_active_versions("t", [new.document_id]) == {}
    assert await registry.count("t") == (0, 0)
    assert await collect(registry.find_purgeable()) == [lease.job]
    assert (await registry.find_blobs(lease.job)).named == [BlobId("aa", new.document_id)]
    again, duplicate = await registry.create(make_new())
    assert not duplicate
    assert again.document_id != new.document_id

    await registry.forget(lease.job)
    assert await collect(registry.find_purgeable()) == []
    assert (await registry.find_blobs(lease.job)).named == []

    late, duplicate = await registry.create(new)  # the upload's command arrives once more: it does not come back
    assert (late.document_id, duplicate) == (again.document_id, True)
    assert [job.document_id for job in await collect(registry.find_unleased())] == [again.document_id]


async def test_what_an_edition_has_put_out_of_use_is_known_until_it_is_removed(registry: AnyRegistry) -> None:
    """As long as a worker has the document it is about to remove it; who is late says nothing of a later edition."""
    new = make_new()
    await registry.create(new)
    first = await claim(registry, new)
    assert await collect(registry.find_untidied()) == []
    await registry.publish(first, "v1", [])
    assert await collect(registry.find_untidied()) == []
    await registry.release(first)
    assert await collect(registry.find_untidied()) == [(first.job, 1)]

    assert await registry.reindex(first.job, "v1")
    second = await claim(registry, new)
    await registry.fail(second, DocumentFailure(code="damaged", detail="Save a new copy."))
    await registry.release(second)
    await registry.note_tidied(first.job, 1)
    assert await collect(registry.find_untidied()) == [(first.job, 2)]
    await registry.note_tidied(first.job, 2)
    assert await collect(registry.find_untidied()) == []


async def test_a_worker_cannot_publish_a_deleted_document(registry: AnyRegistry) -> None:
    """Deleted while it is ingested: it stays deleted."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.delete("t", new.document_id)

    with pytest.raises(LeaseLostError):
        await registry.publish(lease, "v1", [])

    assert await registry.claim(lease.job, "w2", 1000) == "gone"
    assert not await registry.exists(lease.job)


async def test_who_lets_go_of_its_bytes_last_is_told(registry: AnyRegistry) -> None:
    """However often it is said, and whoever was deleted first; what another tenant has does not count."""
    first, second, foreign, other = (
        make_new(),
        make_new(filename="b.pdf"),
        make_new(tenant="u"),
        make_new(sha256="bb"),
    )
    for new in (first, second, foreign, other):
        await registry.create(new)
    jobs = [DocumentJob(tenant=new.tenant, document_id=new.document_id) for new in (first, second)]

    for _ in range(2):
        assert not await registry.let_go_of_content(jobs[0], "aa")
    for _ in range(2):
        assert await registry.let_go_of_content(jobs[1], "aa")

    third = make_new(filename="c.pdf")
    await registry.create(third)
    assert not await registry.let_go_of_content(jobs[0], "aa")


async def test_another_tenants_document_is_not_found(registry: AnyRegistry) -> None:
    """Ids of others are 404 for everything."""
    new = make_new()
    await registry.create(new)

    with pytest.raises(NotFound):
        await registry.get("u", new.document_id)
    with pytest.raises(NotFound):
        await registry.delete("u", new.document_id)
    assert await registry.get_active_versions("u", [new.document_id]) == {}


async def test_lists_are_paged_newest_first(registry: AnyRegistry) -> None:
    """Pages are disjoint and complete."""
    made = [(await registry.create(make_new(sha256=str(n))))[0].document_id for n in range(5)]

    first = await registry.list("t", 0, 3)
    second = await registry.list("t", 3, 3)

    assert first.total == second.total == 5
    assert (first.next_offset, second.next_offset, second.next_place) == (3, None, None)
    assert first.next_place is not None
    assert await registry.list("t", first.next_place, 3) == second
    records = [*first.records, *second.records]
    assert sorted(record.document_id for record in records) == sorted(made)
    times = [record.created_at for record in records]
    assert times == sorted(times, reverse=True)


async def test_a_list_goes_on_where_it_ended_whatever_comes_and_goes(registry: AnyRegistry) -> None:
    """Also when the document is gone behind which it goes on; what is deleted before makes nobody miss one."""
    made = [(await registry.create(make_new(sha256=str(n))))[0].document_id for n in range(6)]
    listed = [record.document_id for record in (await registry.list("t", 0, 6)).records]
    first = await registry.list("t", 0, 3)
    assert first.next_place is not None

    for document_id in listed[:3]:
        await registry.delete("t", document_id)
    await registry.create(make_new(sha256="new"))
    rest = await registry.list("t", first.next_place, 3)

    assert sorted(made) == sorted(listed)
    assert [record.document_id for record in rest.records] == listed[3:]
    assert (rest.total, rest.next_place, rest.next_offset) == (4, None, None)


async def test_lists_by_status_follow_each_document(registry: AnyRegistry) -> None:
    """From list to list as it gets on, newest first, paged, with their own totals; a deleted one is in none."""
    news = [make_new(sha256=str(n)) for n in range(4)]
    for new in news:
        await registry.create(new)

    async def read_lists() -> dict[str, list[str]]:
        """The documents by status, as letters from the oldest on."""
        names = {new.document_id: letter for new, letter in zip(news, "abcd", strict=True)}
        found = {}
        for status in DocumentStatus:
            page = await registry.list("t", 0, 10, status)
            assert len(page.records) == page.total
            assert all(record.status is status for record in page.records)
            found[status.value] = sorted(names[record.document_id] for record in page.records)
        return {status: ids for status, ids in found.items() if ids}

    assert await read_lists() == {"queued": ["a", "b", "c", "d"]}
    page = await registry.list("t", 1, 2, DocumentStatus.QUEUED)
    assert page == await registry.list("t", 1, 2)
    assert page.total == 4

    leases = [await claim(registry, new) for new in news[:3]]
    await registry.update(leases[0], Progress(DocumentStatus.PARSING, pages_total=3))
    await registry.update(leases[1], Progress(DocumentStatus.EMBEDDING))
    await registry.fail(leases[2], FAILURE)
    assert await read_lists() == {"parsing": ["a"], "embedding": ["b"], "failed": ["c"], "queued": ["d"]}

    await registry.publish(leases[0], "v1", [])
    await registry.requeue(leases[2].job)
    await registry.delete("t", news[3].document_id)
    assert await read_lists() == {"ready": ["a"], "embedding": ["b"], "queued": ["c"]}

    await registry.delete("t", news[0].document_id)
    await registry.forget(leases[0].job)
    assert await read_lists() == {"embedding": ["b"], "queued": ["c"]}
    assert await registry.list("u", 0, 10, DocumentStatus.QUEUED) == NOTHING
