"""An upload with a key is one document, whatever dies between any two steps of it. No server is needed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.gateway.documents.accept_document import DocumentDependencies, accept_document, delete_document
from services.gateway.documents.accept_once import accept_once
from services.gateway.documents.received_file import ReceivedFile
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.errors import DependencyUnavailable, DiskFull, NotFound, UnprocessableRequest, UnsupportedFile
from shared.queue.port import INGEST
from shared.registry.port import NewDocument
from tests.fakes.memory_upload_keys import MemoryUploadKeys
from tests.unit.gateway.test_accept_document import CONTENT, Parts, Queue, Registry, make_job, make_key, parts, received

__all__ = ["parts", "received"]


class DyingError(Exception):
    """The process ends here."""


class Keys(MemoryUploadKeys):
    """Whoever notes an acceptance may die before or after it."""

    dies = ""

    async def note_accepted(self, tenant: str, key: str, document_id: str) -> None:
        if self.dies == "before":
            raise DyingError
        await super().note_accepted(tenant, key, document_id)
        if self.dies == "after":
            raise DyingError


@pytest.fixture
def keys() -> Keys:
    return Keys()


async def list_documents(parts: Parts) -> list[str]:
    return [record.document_id for record in (await parts.registry.list("t", 0, 10)).records]


async def test_the_same_key_is_the_same_document_as_it_is_now(parts: Parts, keys: Keys, received: ReceivedFile) -> None:
    """Nothing is stored or queued again, and one that has failed is told as such, not tried again."""
    record, duplicate = await accept_once("t", "k", received, parts.deps, keys)
    assert not duplicate
    await parts.end(record, failed=True)

    again, duplicate = await accept_once("t", "k", received, parts.deps, keys)

    assert duplicate
    assert (again.document_id, again.status) == (record.document_id, DocumentStatus.FAILED)
    assert parts.blobs.blobs == {make_key(record): CONTENT}
    assert parts.queue.list_jobs() == []


@pytest.mark.parametrize("change", [{"sha256": "cd" * 32}, {"filename": "b.pdf"}])
async def test_a_key_is_not_used_for_another_file(
    parts: Parts, keys: Keys, received: ReceivedFile, change: dict[str, str]
) -> None:
    """Other bytes or another name: somebody has mixed up keys, and nothing is taken."""
    record, _ = await accept_once("t", "k", received, parts.deps, keys)
    with pytest.raises(UnprocessableRequest) as refused:
        await accept_once("t", "k", replace(received, **change), parts.deps, keys)  # type: ignore[arg-type]
    assert refused.value.error_code == "idempotency_key_reused"
    assert await list_documents(parts) == [record.document_id]
    other, duplicate = await accept_once("u", "k", replace(received, **change), parts.deps, keys)  # type: ignore[arg-type]
    assert (other.document_id != record.document_id, duplicate) == (True, False)


async def test_what_can_be_no_pdf_takes_no_key(parts: Parts, keys: Keys, received: ReceivedFile) -> None:
    """The mended file may come under the same key."""
    with pytest.raises(UnsupportedFile):
        await accept_once("t", "k", replace(received, head=b"<html>"), parts.deps, keys)
    assert keys.uses == {}


async def test_uploads_of_one_key_at_once_are_one_document(parts: Parts, keys: Keys, received: ReceivedFile) -> None:
    """Also where another document has the same bytes and name already."""
    results = await asyncio.gather(*(accept_once("t", "k", received, parts.deps, keys) for _ in range(5)))
    (document_id,) = {record.document_id for record, _ in results}
    assert await list_documents(parts) == [document_id]
    others = await asyncio.gather(*(accept_once("t", "other", received, parts.deps, keys) for _ in range(5)))
    assert {record.document_id for record, _ in others} == {document_id}
    assert [*parts.blobs.blobs] == [make_key(results[0][0])]


class SlowRegistry(Registry):
    """Something happens between a record's making and the answer."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def create(self, new: NewDocument) -> tuple[DocumentRecord, bool]:
        result = await super().create(new)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return result


async def test_a_try_that_found_a_duplicate_takes_no_bytes_of_another(keys: Keys, received: ReceivedFile) -> None:
    """The first try learns of an older document, which is deleted then; the second one makes the document anew, before
    the first removes the bytes that it does not need."""
    parts = Parts()
    parts.registry = registry = SlowRegistry(parts.blobs)
    parts.queue = Queue(registry)
    parts.deps = DocumentDependencies(registry=registry, blobs=parts.blobs, queue=parts.queue)
    old, _ = await accept_document("t", received, parts.deps)
    accepted = []

    async def delete_and_try_again() -> None:
        await delete_document("t", old.document_id, parts.deps)
        accepted.append((await accept_once("t", "k", received, parts.deps, keys))[0])

    registry.meanwhile = delete_and_try_again
    await accept_once("t", "k", received, parts.deps, keys)

    assert await list_documents(parts) == [accepted[0].document_id]
    assert make_key(accepted[0]) in parts.blobs.blobs
    assert (await accept_once("t", "k", received, parts.deps, keys))[0] == accepted[0]


async def crash_before_storing(parts: Parts, keys: Keys) -> None:
    parts.blobs.full = True


async def crash_before_recording(parts: Parts, keys: Keys) -> None:
    parts.registry.away = True


async def crash_before_queueing(parts: Parts, keys: Keys) -> None:
    parts.queue.error = DyingError()


async def crash_before_noting(parts: Parts, keys: Keys) -> None:
    keys.dies = "before"


async def crash_before_answering(parts: Parts, keys: Keys) -> None:
    keys.dies = "after"


@pytest.mark.parametrize(
    "crash",
    [
        crash_before_storing,
        crash_before_recording,
        crash_before_queueing,
        crash_before_noting,
        crash_before_answering,
    ],
)
async def test_after_a_crash_between_any_two_steps_the_next_try_ends_at_one_document(
    parts: Parts, keys: Keys, received: ReceivedFile, crash: object
) -> None:
    """With its bytes, and queued or left to the reconciler; and no second one is made."""
    assert callable(crash)
    await crash(parts, keys)
    with pytest.raises((DyingError, DependencyUnavailable, DiskFull)):
        await accept_once("t", "k", received, parts.deps, keys)
    parts.blobs.full, parts.registry.away, parts.queue.error, keys.dies = False, False, None, ""
    made = await list_documents(parts)

    record, _ = await accept_once("t", "k", received, parts.deps, keys)

    assert await list_documents(parts) == [record.document_id]
    assert made in ([], [record.document_id])
    assert parts.blobs.blobs[make_key(record)] == CONTENT  # what a try left that died is collected
    queued = parts.queue.list_jobs()
    unfinished = [job async for jobs in parts.registry.find_unleased() for job in jobs]
    assert queued == [(INGEST, make_job(record))] or unfinished == [make_job(record)]
    assert (await accept_once("t", "k", received, parts.deps, keys))[0].document_id == record.document_id


async def test_a_document_that_was_deleted_does_not_come_back(parts: Parts, keys: Keys, received: ReceivedFile) -> None:
    """A try that arrives late is not a wish to have it again; another key, or none, is."""
    record, _ = await accept_once("t", "k", received, parts.deps, keys)
    await delete_document("t", record.document_id, parts.deps)
    with pytest.raises(NotFound, match="has been deleted"):
        await accept_once("t", "k", received, parts.deps, keys)
    assert await list_documents(parts) == []
    made: list[DocumentRecord] = [
        (await accept_once("t", "k2", received, parts.deps, keys))[0],
        (await accept_document("t", received, parts.deps))[0],
    ]
    assert made[0].document_id == made[1].document_id != record.document_id
