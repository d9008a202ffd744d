"""One suite on every document registry: how a document gets another version while the one before is searched."""

import asyncio

import pytest

from shared.contracts.documents import DocumentFailure, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import Conflict, NotFound
from shared.registry.port import BlobId, Content, Lease, LeaseLostError, NewDocument, Progress, QueuedWork
from tests.batches import collect
from tests.contract.test_registry import FAILURE, AnyRegistry, claim, make_new, registry

__all__ = ["registry"]


def make_job(new: NewDocument) -> DocumentJob:
    return DocumentJob(tenant=new.tenant, document_id=new.document_id)


def make_content(new: NewDocument, sha256: str = "bb", filename: str = "b.pdf", upload: str = "1") -> Content:
    return Content(filename, sha256, 20, f"{new.document_id}.{upload}")


async def publish(registry: AnyRegistry, new: NewDocument, version: str = "v1") -> None:
    """Make what is to be made of a document."""
    lease = await claim(registry, new, f"w-{version}")
    await registry.publish(lease, version, [])
    await registry.release(lease)


async def add_ready(registry: AnyRegistry, new: NewDocument | None = None) -> NewDocument:
    """A document that is searched in its version v1."""
    new = new or make_new()
    await registry.create(new)
    await publish(registry, new)
    return new


async def find_active(registry: AnyRegistry, new: NewDocument) -> str | None:
    return (await registry.get_active_versions(new.tenant, [new.document_id])).get(new.document_id)


async def test_a_ready_document_is_searched_until_its_replacement_is(registry: AnyRegistry) -> None:
    """Its record says both: what is there, and how far what is to come is. Then the old bytes are to be removed."""
    new = await add_ready(registry)
    revision = await registry.replace(make_job(new), make_content(new))

    record, taken = revision
    assert (record.status, record.filename, record.sha256, record.settled, taken) == (
        DocumentStatus.READY,
        "a.pdf",
        "aa",
        False,
        True,
    )
    assert record.replacement is not None
    assert (record.replacement.status, record.replacement.filename) == (DocumentStatus.QUEUED, "b.pdf")
    assert await collect(registry.find_unleased()) == [make_job(new)]
    lease = await claim(registry, new)
    assert (lease.content, lease.edition) == (make_content(new), 2)
    await registry.update(lease, Progress(DocumentStatus.EMBEDDING, title="B", pages_total=3, pages_done=3))
    record = await registry.get("t", new.document_id)
    assert (record.status, record.title, record.pages_total) == (DocumentStatus.READY, "a.pdf", 0)
    assert record.replacement is not None
    assert (record.replacement.status, record.replacement.pages_done) == (DocumentStatus.EMBEDDING, 3)
    assert await find_active(registry, new) == "v1"
    assert await registry.count("t") == (1, 1)
    assert [pair for pairs in [await collect(registry.list_versions("t"))] for pair in pairs] == [(make_job(new), "v1")]
    blobs = await registry.find_blobs(make_job(new))
    assert (set(blobs.named), blobs.dropped) == (
        {BlobId("aa", new.document_id), BlobId("bb", f"{new.document_id}.1")},
        [],
    )

    await registry.publish(lease, "v2", [])

    record = await registry.get("t", new.document_id)
    assert (record.status, record.filename, record.title, record.replacement) == (
        DocumentStatus.READY,
        "b.pdf",
        "B",
        None,
    )
    assert await find_active(registry, new) == "v2"
    blobs = await registry.find_blobs(make_job(new))
    assert (blobs.named, blobs.dropped) == ([BlobId("bb", f"{new.document_id}.1")], [BlobId("aa", new.document_id)])
    await registry.note_removed(make_job(new), blobs.dropped)
    assert (await registry.find_blobs(make_job(new))).dropped == []


async def test_a_replacement_that_fails_leaves_the_document_as_it_was(registry: AnyRegistry) -> None:
    """The failure is on the record until the next one; the bytes that failed are to be removed. Said twice it is so."""
    new = await add_ready(registry)
    await registry.replace(make_job(new), make_content(new))
    lease = await claim(registry, new)
    await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=3, pages_done=2))

    for _ in range(2):
        await registry.fail(lease, FAILURE)
    with pytest.raises(LeaseLostError):
        await registry.fail(lease, DocumentFailure(code="other", detail="x"))
    with pytest.raises(LeaseLostError):
        await registry.publish(lease, "v2", [])
    await registry.release(lease)

    record, number = await registry.get_with_event_number("t", new.document_id)
    assert (record.status, record.filename, record.pages_total, record.failure) == (
        DocumentStatus.READY,
        "a.pdf",
        0,
        None,
    )
    assert record.replacement is not None
    assert (record.replacement.status, record.replacement.failure) == (DocumentStatus.FAILED, FAILURE)
    assert (record.replacement.sha256, record.replacement.pages_done, record.settled) == ("bb", 2, True)
    assert await find_active(registry, new) == "v1"
    blobs = await registry.find_blobs(make_job(new))
    assert (blobs.named, blobs.dropped) == ([BlobId("aa", new.document_id)], [BlobId("bb", f"{new.document_id}.1")])
    assert await registry.claim(make_job(new), "w9", 1000) == "gone"
    # The same bytes once more are another try, and what failed is nowhere: an upload of it is a new document.
    assert (await registry.create(make_new("bb", "b.pdf")))[1] is False
    assert (await registry.create(make_new()))[0].document_id == new.document_id
    again, taken = await registry.replace(make_job(new), make_content(new, "cc", upload="2"))
    assert taken
    assert again.replacement is not None
    assert again.replacement.failure is None
    assert (await registry.get_with_event_number("t", new.document_id))[1] > number


async def test_the_last_of_two_replacements_wins(registry: AnyRegistry) -> None:
    """Who works on the first one writes nothing more, and its bytes are to be removed; never is there a mix."""
    new = await add_ready(registry)
    await registry.replace(make_job(new), make_content(new))
    first = await claim(registry, new)
    await registry.update(first, Progress(DocumentStatus.EMBEDDING, chunks_total=9, chunks_done=5))

    record, taken = await registry.replace(make_job(new), make_content(new, "cc", "c.pdf", "2"))

    assert taken
    assert record.replacement is not None
    assert (record.replacement.filename, record.replacement.chunks_done) == ("c.pdf", 0)
    assert not await registry.renew(first, 30_000)
    with pytest.raises(LeaseLostError):
        await registry.publish(first, "v2", [])
    await registry.release(first)
    second = await claim(registry, new)
    assert (second.content.sha256, second.edition, second.attempts) == ("cc", 3, 1)
    await registry.publish(second, "v3", [])
    record = await registry.get("t", new.document_id)
    assert (record.filename, record.replacement, await find_active(registry, new)) == ("c.pdf", None, "v3")
    dropped = {name.sha256 for name in (await registry.find_blobs(make_job(new))).dropped}
    assert dropped == {"aa", "bb"}


@pytest.mark.parametrize("status", ["queued", "parsing", "failed"])
async def test_newer_bytes_of_a_document_that_is_not_searched_take_its_place(
    registry: AnyRegistry, status: str
) -> None:
    """There is nothing to keep: it is the new one at once, from its beginning."""
    new = make_new()
    await registry.create(new)
    if status != "queued":
        lease = await claim(registry, new)
        await registry.update(lease, Progress(DocumentStatus.PARSING, pages_total=9, pages_done=4))
        if status == "failed":
            await registry.fail(lease, FAILURE)
        await registry.release(lease)

    record, taken = await registry.replace(make_job(new), make_content(new))

    assert taken
    assert (record.status, record.filename, record.pages_done, record.failure, record.replacement) == (
        DocumentStatus.QUEUED,
        "b.pdf",
        0,
        None,
        None,
    )
    lease = await claim(registry, new)
    assert (lease.content.sha256, lease.attempts) == ("bb", 1)
    assert (await registry.find_blobs(make_job(new))).dropped == [BlobId("aa", new.document_id)]
    assert (await registry.create(make_new()))[1] is False
    assert (await registry.create(make_new("bb", "b.pdf")))[0].document_id == new.document_id


async def test_the_same_bytes_and_name_are_no_work(registry: AnyRegistry) -> None:
    """Whether they are there or on their way; only where they have failed they are tried again."""
    new = await add_ready(registry)
    same = make_content(new, "aa", "a.pdf")
    assert (await registry.replace(make_job(new), same))[1] is False
    await registry.replace(make_job(new), make_content(new))
    assert (await registry.replace(make_job(new), make_content(new, upload="2")))[1] is False
    assert (await claim(registry, new)).content == make_content(new)

    failed = make_new("dd")
    await registry.create(failed)
    lease = await claim(registry, failed)
    await registry.fail(lease, FAILURE)
    await registry.release(lease)
    record, taken = await registry.replace(make_job(failed), make_content(failed, "dd", "a.pdf"))
    assert (record.status, taken) == (DocumentStatus.QUEUED, True)


async def test_two_documents_are_never_made_the_same(registry: AnyRegistry) -> None:
    """Whoever gives a document the bytes and the name of another one is told which; another tenant's are no matter."""
    new, other, foreign = await add_ready(registry), make_new("bb", "b.pdf"), make_new("cc", "c.pdf", "u")
    await registry.create(other)
    await registry.create(foreign)

    with pytest.raises(Conflict) as caught:
        await registry.replace(make_job(new), make_content(new))

    assert caught.value.details == {"document_id": other.document_id}
    assert (await registry.get("t", new.document_id)).replacement is None
    assert (await registry.replace(make_job(new), make_content(new, "cc", "c.pdf")))[1] is True
    # What it was is no longer its own: who uploads that gets a document that stays.
    assert (await registry.create(make_new()))[0].document_id != new.document_id


async def test_a_deleted_document_is_not_replaced(registry: AnyRegistry) -> None:
    """Nor one of another tenant. What was on its way goes with it: all its bytes are known to the purge."""
    new = await add_ready(registry)
    await registry.replace(make_job(new), make_content(new))
    lease = await claim(registry, new)
    with pytest.raises(NotFound):
        await registry.replace(DocumentJob(tenant="u", document_id=new.document_id), make_content(new, "cc"))
    await registry.delete("t", new.document_id)

    with pytest.raises(NotFound):
        await registry.replace(make_job(new), make_content(new, "cc", upload="2"))
    with pytest.raises(LeaseLostError):
        await registry.publish(lease, "v2", [])
    assert await find_active(registry, new) is None
    assert await registry.find_edition(make_job(new)) == 0
    assert {name.sha256 for name in (await registry.find_blobs(make_job(new))).named} == {"aa", "bb"}
    assert (await registry.create(make_new("bb", "b.pdf")))[0].document_id != new.document_id


async def test_many_replacements_at_once_end_as_one_of_them(registry: AnyRegistry) -> None:
    """All but the last give way, and no bytes are forgotten."""
    new = await add_ready(registry)
    contents = [make_content(new, f"{n:02}", f"{n}.pdf", str(n)) for n in range(20)]

    results = await asyncio.gather(*(registry.replace(make_job(new), content) for content in contents))

    assert all(taken for _, taken in results)
    lease = await claim(registry, new)
    assert lease.edition == 21
    await registry.publish(lease, "v2", [])
    record = await registry.get("t", new.document_id)
    blobs = await registry.find_blobs(make_job(new))
    assert blobs.named == [BlobId(lease.content.sha256, lease.content.blob)]
    assert record.sha256 == lease.content.sha256
    assert {name.sha256 for name in (*blobs.named, *blobs.dropped)} == {"aa", *(content.sha256 for content in contents)}


async def test_a_document_is_made_anew_of_its_own_bytes(registry: AnyRegistry) -> None:
    """In the background, and searched meanwhile; only in the version that was seen. A failure changes nothing."""
    new = await add_ready(registry)
    job = make_job(new)
    assert not await registry.reindex(job, "v0")

    assert await registry.reindex(job, "v1")
    assert await registry.reindex(job, "v1")  # it is to be already

    assert await registry.find_work([job]) == [QueuedWork(10, background=True)]
    record = await registry.get("t", new.document_id)
    assert record.replacement is not None
    assert (record.status, record.replacement.sha256) == (DocumentStatus.READY, "aa")
    lease = await claim(registry, new)
    assert (lease.content, lease.edition) == (Content("a.pdf", "aa", 10, new.document_id), 2)
    await registry.fail(lease, FAILURE)
    await registry.release(lease)
    assert await find_active(registry, new) == "v1"
    assert await registry.find_work([job]) == [QueuedWork(10)]

    assert await registry.reindex(job, "v1")
    await publish(registry, new, "v2")
    blobs = await registry.find_blobs(job)
    assert (blobs.named, blobs.dropped) == ([BlobId("aa", new.document_id)], [])
    assert (await registry.get("t", new.document_id)).replacement is None
    assert await find_active(registry, new) == "v2"
    assert (await registry.create(make_new()))[0].document_id == new.document_id


async def test_a_document_whose_points_are_lost_is_not_searched_until_it_is_made(registry: AnyRegistry) -> None:
    """Its record says so. Of one that was being replaced the new bytes are taken, and the old ones go."""
    new, other, failed = await add_ready(registry), await add_ready(registry, make_new("cc")), make_new("dd")
    await registry.replace(make_job(other), make_content(other))
    await registry.create(failed)
    lease = await claim(registry, failed)
    await registry.fail(lease, FAILURE)

    for document, to_be_made in ((new, True), (other, True), (failed, False)):
        assert await registry.rebuild(make_job(document)) is to_be_made

    assert await registry.count("t") == (3, 0)
    record = await registry.get("t", new.document_id)
    assert (record.status, record.replacement, await find_active(registry, new)) == (DocumentStatus.QUEUED, None, None)
    lease = await claim(registry, new)
    assert isinstance(lease, Lease)
    await registry.publish(lease, "v2", [])
    assert await find_active(registry, new) == "v2"
    assert (await registry.find_blobs(make_job(other))).dropped == [BlobId("cc", other.document_id)]
    assert (await claim(registry, other)).content.sha256 == "bb"


async def find_text_key(registry: AnyRegistry, new: NewDocument) -> str | None:
    return (await registry.look_at_versions(new.tenant, [new.document_id])).text_keys.get(new.document_id)


async def test_each_version_has_a_key_of_its_own_that_goes_with_it(registry: AnyRegistry) -> None:
    """The searched one's is told while the next one is made, and again when that has failed; then it is gone."""
    new = make_new()
    await registry.create(new)
    lease = await claim(registry, new)
    await registry.publish(lease, "v1", [])
    await registry.release(lease)
    first = lease.text_key
    assert await find_text_key(registry, new) == first

    await registry.replace(make_job(new), make_content(new))
    lease = await claim(registry, new)
    assert lease.text_key != first
    assert await find_text_key(registry, new) == first
    await registry.fail(lease, FAILURE)
    await registry.release(lease)
    assert await find_text_key(registry, new) == first

    assert await registry.reindex(make_job(new), "v1")
    lease = await claim(registry, new)
    assert await find_text_key(registry, new) == first
    await registry.publish(lease, "v2", [])
    await registry.release(lease)
    assert await find_text_key(registry, new) == lease.text_key != first

    await registry.rebuild(make_job(new))
    rebuilt = await claim(registry, new)
    assert rebuilt.text_key not in (first, lease.text_key)


async def test_who_takes_over_seals_with_the_same_key(registry: AnyRegistry) -> None:
    """The points that a dead worker has written are of the same version."""
    new = make_new()
    await registry.create(new)
    first = await claim(registry, new)
    await registry.release(first)
    second = await claim(registry, new, "w2")
    assert second.text_key == first.text_key


async def test_what_versions_are_made_with_is_noted(registry: AnyRegistry) -> None:
    """None before a worker has started."""
    assert await registry.find_pipeline() is None
    await registry.note_pipeline("1.4.abc")
    assert await registry.find_pipeline() == "1.4.abc"
