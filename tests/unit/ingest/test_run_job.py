"""What a worker makes of a job: by lease, by fault and by whose fault. No server and no model is needed."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.ingest.domain.pages import Layout
from services.ingest.domain.stored_parse import PARSER_VERSION, DocumentFacts, ParseWriter
from services.ingest.ports import ParseProgress, UnreadablePdfError
from services.ingest.use_cases import recognized_pages
from services.ingest.use_cases.dependencies import IngestDependencies
from services.ingest.use_cases.run_job import Outcome, run_ingest_job, run_purge_job
from services.ingest.use_cases.tidy_document import tidy_rest
from shared.blobs.port import make_blob_key, make_parse_key, make_recognized_key
from shared.contracts.documents import DocumentFailure, DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import DependencyUnavailable, DiskFull, IndexRejected
from shared.registry.port import Content, Lease, NewDocument, Progress
from shared.tasks import end_tasks
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery, IndexUpkeep, LegHits, SparseVector
from shared.vector_index.sealing import open_payload
from shared.version_names import parse_edition
from tests.batches import collect
from tests.fakes.memory_blobs import MemoryBlobStore
from tests.fakes.memory_registry import MemoryRegistry

JOB = DocumentJob(tenant="t", document_id="doc_1")
CONTENT = b"%PDF-"
NEW = NewDocument("t", "doc_1", "a.pdf", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
KEY = make_blob_key("t", NEW.sha256, NEW.document_id)
PARSE_KEY = make_parse_key("t", NEW.sha256, PARSER_VERSION)
TEXTS = ("Cranes lift loads.", "Hooks hold them.")
AWAY = DependencyUnavailable("It does not answer now.")
MAX_ATTEMPTS = 3

NO_FACTS = DocumentFacts()

Hook = Callable[[], Awaitable[None]]


async def do_nothing() -> None:
    return


class Parser:
    """Reads any file as two pages of a line each; before that `before` is called."""

    version = PARSER_VERSION

    def __init__(self) -> None:
        self.before: Hook = do_nothing
        self.parsed = 0
        self.stored = make_parse(TEXTS)

    async def parse(self, path: Path, recognized: bytes = b"") -> AsyncGenerator[ParseProgress | bytes, None]:
        self.parsed += 1
        await self.before()
        for done in range(3):
            yield ParseProgress(pages_total=2, pages_done=done)
        yield self.stored


def make_parse(texts: Sequence[str], facts: DocumentFacts = NO_FACTS) -> bytes:
    """What is stored of a PDF with these pages."""
    writer = ParseWriter()
    pages = [writer.add_page(text, [], Layout(612, 792)) for text in texts]
    return b"".join([writer.begin(), *pages, writer.end(facts)])


class Embedder:
    """Gives each text the same vector, and a token per word."""

    max_tokens = 256

    def __init__(self) -> None:
        self.model_id = "m1"
        self.embedded: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return np.ones((len(texts), 1), dtype=np.float32)


class Encoder:
    """Gives each text the same term."""

    def encode_passages(
        self, texts: Sequence[str], languages: Sequence[str | None] | None = None
    ) -> list[SparseVector]:
        return [SparseVector([1], [1.0]) for _ in texts]

    def encode_query(self, text: str) -> SparseVector:
        return SparseVector([1], [1.0])


class Index:
    """Keeps the ids of points by document and version; before they are written `before` is called."""

    def __init__(self) -> None:
        self.points: dict[str, tuple[str, str]] = {}
        self.payloads: list[ChunkPayload] = []
        self.vectors: dict[tuple[str, str], list[float]] = {}
        self.before: Hook = do_nothing
        self.away = False

    async def prepare(self) -> None:
        return

    async def check(self) -> None:
        if self.away:
            raise AWAY

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        await self.before()
        self.payloads += [point.payload for point in points]
        self.vectors.update({(tenant, point.payload.embedded or ""): point.dense for point in points})
        self.points.update({point.point_id: (point.payload.document_id, point.payload.version) for point in points})

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        raise NotImplementedError

    async def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        return {name: vector for (owner, name), vector in self.vectors.items() if owner == tenant and name in embedded}

    async def count(self, tenant: str, document_id: str | None = None) -> int:
        return len(self.points)

    async def delete_document(
        self, tenant: str, document_id: str, *, except_version: str | None = None, up_to_edition: int | None = None
    ) -> None:
        if self.away:
            raise AWAY
        self.points = {
            i: (d, v)
            for i, (d, v) in self.points.items()
            if d != document_id
            or v == except_version
            or (up_to_edition is not None and "-" in v and parse_edition(v) > up_to_edition)
        }

    async def compact(self) -> bool:
        return False

    async def find_left_parts(self) -> Sequence[IndexUpkeep]:
        return ()

    async def close(self) -> None:
        return


class Registry(MemoryRegistry):
    """One that may be away, also for single calls."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()
        self.stuck: set[DocumentJob] = set()
        """Documents whose leases cannot be let go."""
        self.renewed = asyncio.Event()

    async def claim(self, *arguments: Any) -> Any:
        self._answer("claim")
        return await super().claim(*arguments)

    async def release(self, lease: Lease) -> None:
        self._answer("release")
        if lease.job in self.stuck:
            raise AWAY
        await super().release(lease)

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        self.renewed.set()
        self._answer("renew")
        return await super().renew(lease, lease_ms)

    async def update(self, lease: Lease, progress: Progress) -> None:
        self._answer("update")
        await super().update(lease, progress)

    def _answer(self, call: str) -> None:
        if call in self.away:
            raise AWAY


class System:
    """A document that waits, and all that a worker needs for it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.blobs = MemoryBlobStore()
        self.parser = Parser()
        self.index = Index()
        self.embedder = Embedder()
        self.deps = IngestDependencies(
            registry=self.registry,
            blobs=self.blobs,
            parser=self.parser,
            embedder=self.embedder,
            bm25=Encoder(),
            index=self.index,
        )
        self.kept = 0

    async def run(self, *, job: DocumentJob = JOB, lease_s: float = 30.0) -> Outcome:
        """Be a worker that has the job."""
        return await run_ingest_job(
            job, self.deps, lease_s=lease_s, max_attempts=MAX_ATTEMPTS, keep_in_progress=self._keep
        )

    async def _keep(self) -> None:
        self.kept += 1

    async def get_record(self) -> DocumentRecord:
        return await self.registry.get("t", "doc_1")

    async def get_failure(self) -> str | None:
        record = await self.get_record()
        assert (record.status is DocumentStatus.FAILED) is (record.failure is not None)
        return record.failure.code if record.failure is not None else None

    async def claim(self, token: str) -> Lease:
        """Be another worker."""
        lease = await self.registry.claim(JOB, token, 30_000)
        assert isinstance(lease, Lease)
        return lease

    async def take_over(self) -> Lease:
        """Be the worker that takes the document from one that has hung."""
        await self.registry.expire_lease(JOB)
        return await self.claim("successor")


@pytest.fixture
async def system() -> AsyncIterator[System]:
    """With one document, as the gateway leaves it."""
    system = System()
    system.blobs.blobs[KEY] = CONTENT
    await system.registry.create(NEW)
    yield system
    assert not await system.registry.is_leased(JOB) or "release" in system.registry.away


def raise_error(error: Exception) -> Hook:
    async def fail() -> None:
        raise error

    return fail


async def test_a_document_becomes_ready(system: System) -> None:
    """Its points are those of the version that is published; the lease ends and no attempt is kept."""
    assert await system.run() is Outcome.DONE

    record = await system.get_record()
    assert (record.status, record.pages_done, record.chunks_done) == (DocumentStatus.READY, 2, len(system.index.points))
    published = await system.registry.get_active_versions("t", ["doc_1"])
    assert {*system.index.points.values()} == {*published.items()}
    assert await system.registry.count_attempts(JOB) == 0


async def test_a_document_that_another_worker_has_is_left_to_it(system: System) -> None:
    """The job is looked at again later."""
    other = await system.claim("other")

    assert await system.run() is Outcome.HELD

    assert system.parser.parsed == 0
    assert await system.registry.renew(other, 30_000)
    await system.registry.release(other)


@pytest.mark.parametrize("end", ["ready", "deleted"])
async def test_a_job_for_a_document_that_has_ended_does_nothing(system: System, end: str) -> None:
    """Jobs are repeated; none of them is done twice."""
    if end == "ready":
        await system.run()
    else:
        await system.registry.delete("t", "doc_1")
    parsed = system.parser.parsed

    assert await system.run() is Outcome.DONE
    assert system.parser.parsed == parsed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnreadablePdfError(DocumentFailure(code="encrypted", detail="Remove the password.")), "encrypted"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
async def test_what_the_document_causes_fails_it_with_a_code(system: System, error: Exception, code: str) -> None:
    """Tried again it would end the same way."""
    system.parser.before = raise_error(error)

    assert await system.run() is Outcome.DONE
    assert await system.get_failure() == code


async def test_what_the_index_refuses_for_good_fails_the_document(system: System) -> None:
    """And leaves none of its points, also those of an earlier try."""
    system.index.points["old"] = ("doc_1", "v0")
    system.index.before = raise_error(IndexRejected("Wrong dimension."))

    assert await system.run() is Outcome.DONE

    assert await system.get_failure() == "index_rejected"
    assert system.index.points == {}


@pytest.mark.parametrize("error", [AWAY, DiskFull("The disk is full."), OSError(24, "Too many open files")])
@pytest.mark.parametrize("where", ["parser", "index"])
async def test_what_is_not_the_documents_fault_is_tried_again(system: System, where: str, error: Exception) -> None:
    """It stays unfinished however often, loses no attempt, and is ready once the fault is over."""
    part: Parser | Index = system.parser if where == "parser" else system.index
    part.before = raise_error(error)
    for _ in range(2 * MAX_ATTEMPTS + 1):
        assert await system.run() is Outcome.RETRY
    assert await system.registry.count_attempts(JOB) == 0
    assert not (await system.get_record()).status.final

    part.before = do_nothing

    assert await system.run() is Outcome.DONE
    assert (await system.get_record()).status is DocumentStatus.READY


async def test_nothing_is_parsed_for_an_index_that_does_not_answer(system: System) -> None:
    """It is asked first, so that waiting for it costs no parse and no embedding."""
    system.index.away = True

    assert await system.run() is Outcome.RETRY

    assert system.parser.parsed == 0
    assert (await system.get_record()).status is DocumentStatus.QUEUED


@pytest.mark.parametrize("call", ["claim", "update"])
async def test_a_registry_that_is_away_costs_no_document(system: System, call: str) -> None:
    """The job is tried again, whichever call got no answer."""
    system.registry.away.add(call)
    assert await system.run() is Outcome.RETRY

    system.registry.away.clear()
    assert await system.run() is Outcome.DONE


async def test_a_lease_that_cannot_be_given_back_runs_out(system: System) -> None:
    """The document is ready all the same."""
    system.registry.away.add("release")

    assert await system.run() is Outcome.DONE

    assert (await system.get_record()).status is DocumentStatus.READY


async def test_a_lease_that_cannot_be_given_back_holds_up_no_other_document(system: System) -> None:
    """Its own is tried again later; what others have is let go of, in whatever order they came."""
    copy = await add_copy(system, "t", "b")
    system.index.away = True
    system.registry.stuck.add(JOB)
    assert await system.run() is await system.run(job=copy) is Outcome.RETRY
    assert await system.registry.is_leased(JOB)
    assert not await system.registry.is_leased(copy)

    system.index.away = False
    await system.registry.expire_lease(JOB)
    assert await system.run() is Outcome.RETRY
    assert await system.run(job=copy) is Outcome.DONE
    system.registry.stuck.clear()
    assert await system.run() is Outcome.DONE
    assert await system.registry.count_attempts(JOB) == 0


async def test_a_lost_blob_is_a_failure_with_a_reason(system: System) -> None:
    """Bytes that somebody removed from the store do not make a document hang."""
    system.blobs.blobs.clear()

    assert await system.run() is Outcome.DONE
    assert await system.get_failure() == "blob_missing"


async def test_a_blob_that_was_damaged_is_not_blamed_on_the_pdf(system: System) -> None:
    """The store's copy is not what was uploaded: nobody reads it, and an upload of the same file mends it."""
    system.blobs.blobs[KEY] = b"%PDF!"

    assert await system.run() is Outcome.DONE

    assert await system.get_failure() == "blob_damaged"
    assert system.parser.parsed == 0
    system.blobs.blobs[KEY] = CONTENT
    await system.registry.requeue(JOB)
    assert await system.run() is Outcome.DONE
    assert (await system.get_record()).status is DocumentStatus.READY


async def die_before_publishing(system: System, job: DocumentJob = JOB) -> None:
    """A worker that is killed once it has read the PDF, while it writes points."""
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    system.index.before = hang
    work = asyncio.create_task(system.run())
    await reached.wait()
    system.registry.away.add("release")  # a killed worker gives nothing back
    await end_tasks(work)
    system.registry.away.clear()
    system.index.before = do_nothing
    await system.registry.expire_lease(job)


async def test_a_worker_that_takes_over_does_not_parse_again(system: System) -> None:
    """The one before was killed after it had read the PDF: what it read is there, and all of it."""
    await die_before_publishing(system)
    assert system.parser.parsed == 1

    assert await system.run() is Outcome.DONE

    record = await system.get_record()
    assert (record.status, record.pages_total, record.pages_done) == (DocumentStatus.READY, 2, 2)
    assert system.parser.parsed == 1
    text_key = (await system.registry.look_at_versions("t", ["doc_1"])).text_keys["doc_1"]
    assert [payload.text for payload in system.index.payloads] == ["", ""]
    assert [open_payload(payload, text_key).text for payload in system.index.payloads] == [*TEXTS]


async def add_copy(system: System, tenant: str, name: str) -> DocumentJob:
    """Another document of the same bytes."""
    copy = NewDocument(tenant, f"doc_{tenant}_{name}", f"{name}.pdf", NEW.sha256, NEW.size_bytes)
    system.blobs.blobs[make_blob_key(tenant, copy.sha256, copy.document_id)] = CONTENT
    await system.registry.create(copy)
    return DocumentJob(tenant=tenant, document_id=copy.document_id)


class ScanParser(Parser):
    """Reads a scan of two pages, of which it gets one done before it fails; it notes what it goes on from."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.given: list[bytes] = []

    async def parse(self, path: Path, recognized: bytes = b"") -> AsyncGenerator[ParseProgress | bytes, None]:
        self.given.append(recognized)
        yield ParseProgress(2, 1, b"" if recognized else b"page 1;")
        raise self.error


@pytest.mark.parametrize("full", [False, True])
async def test_what_was_recognized_is_kept_until_the_parse_has_ended(
    system: System, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """The next try goes on from it, and where it could not be stored it is read once more; a failure removes it."""
    monkeypatch.setattr(recognized_pages, "KEEP_S", 0)
    monkeypatch.setattr(recognized_pages, "KEEP_SHARE", 0)
    key = make_recognized_key(JOB.tenant, NEW.sha256, PARSER_VERSION)
    parser = ScanParser(DependencyUnavailable("The PDF reader did not start."))
    system.deps = replace(system.deps, parser=parser)
    if full:

        async def refuse(key: str, content: bytes) -> None:
            raise DiskFull("There is no space.")

        monkeypatch.setattr(system.blobs, "put", refuse)
    assert await system.run() is Outcome.RETRY
    assert (key in system.blobs.blobs) is not full

    parser.error = UnreadablePdfError(DocumentFailure(code="damaged", detail="Save a new copy."))
    assert await system.run() is Outcome.DONE
    assert parser.given == [b"", b"" if full else b"page 1;"]
    assert key not in system.blobs.blobs


@pytest.mark.parametrize(
    "damage", [lambda kept: kept[:-1], lambda kept: kept[:-1] + b"!", lambda kept: kept[:9]], ids=range(3)
)
async def test_recognized_pages_that_are_damaged_are_read_anew_and_replaced(
    system: System, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    """Behind what is damaged nothing would be found that was read later, by however many workers."""
    monkeypatch.setattr(recognized_pages, "KEEP_S", 0)
    monkeypatch.setattr(recognized_pages, "KEEP_SHARE", 0)
    key = make_recognized_key(JOB.tenant, NEW.sha256, PARSER_VERSION)
    parser = ScanParser(AWAY)
    system.deps = replace(system.deps, parser=parser)
    await system.run()
    whole = system.blobs.blobs[key]
    system.blobs.blobs[key] = damage(whole)

    assert await system.run() is await system.run() is Outcome.RETRY

    assert parser.given == [b"", b"", b"page 1;"]
    assert system.blobs.blobs[key] == whole


@pytest.mark.parametrize(("tenant", "parses"), [("t", 1), ("other", 2)])
async def test_the_same_bytes_are_read_once_for_a_tenant(system: System, tenant: str, parses: int) -> None:
    """Each has a title of its own name. What another tenant's documents say is nobody else's, not even to save time."""
    copy = await add_copy(system, tenant, "b")
    await system.run()

    assert await system.run(job=copy) is Outcome.DONE

    assert system.parser.parsed == parses
    record = await system.registry.get(copy.tenant, copy.document_id)
    assert (record.status, record.title) == (DocumentStatus.READY, "b")


@pytest.mark.parametrize("stored", [b"", b"PWPARSE\x01", make_parse(TEXTS)[:-9], make_parse(TEXTS)[:-1] + b"\xff"])
async def test_a_stored_parse_that_is_damaged_is_made_anew(system: System, stored: bytes) -> None:
    """The PDF is still there: it is read once more, and what was damaged is replaced."""
    system.blobs.blobs[PARSE_KEY] = stored

    assert await system.run() is Outcome.DONE

    assert (await system.get_record()).status is DocumentStatus.READY
    assert system.parser.parsed == 1
    assert system.blobs.blobs[PARSE_KEY] == make_parse(TEXTS)


async def test_a_reader_that_returns_nonsense_fails_its_document(system: System) -> None:
    """A hostile PDF may have got hold of it; what it says is not stored."""
    system.parser.stored = b"nonsense"

    assert await system.run() is Outcome.DONE

    assert await system.get_failure() == "damaged"
    assert PARSE_KEY not in system.blobs.blobs


async def test_what_was_read_is_removed_with_the_last_document_of_these_bytes(system: System) -> None:
    """Not before: the other documents go on without their PDFs being read again. Purges may be repeated."""
    copy, foreign = await add_copy(system, "t", "b"), await add_copy(system, "other", "c")
    for job in (JOB, copy, foreign):
        await system.run(job=job)
    older = make_parse_key("t", NEW.sha256, "0")
    system.blobs.blobs[older] = b"of an older parser"

    await system.registry.delete("t", "doc_1")
    assert await run_purge_job(JOB, system.deps) is Outcome.DONE
    assert await run_purge_job(JOB, system.deps) is Outcome.DONE
    assert PARSE_KEY in system.blobs.blobs

    await system.registry.delete("t", copy.document_id)
    assert await run_purge_job(copy, system.deps) is Outcome.DONE
    assert [key for key in system.blobs.blobs if key.startswith("t/")] == []
    assert len(system.blobs.blobs) == 2  # of the other tenant: its PDF, and what was read of it


async def test_a_purge_that_is_killed_at_any_step_leaves_nothing_in_the_end(system: System) -> None:
    """Also when it has let go of the bytes, but not removed what was read of them."""
    await system.run()
    await system.registry.delete("t", "doc_1")
    await system.registry.let_go_of_content(JOB, NEW.sha256)  # and was killed

    assert await run_purge_job(JOB, system.deps) is Outcome.DONE
    assert system.blobs.blobs == {}


async def test_who_stores_what_it_read_of_a_purged_document_removes_it_again(system: System) -> None:
    """It had hung while the document was deleted and purged, and looked at its lease a moment too early."""
    put = system.blobs.put

    async def put_late(key: str, content: bytes) -> None:
        await system.registry.delete("t", "doc_1")
        await system.registry.expire_lease(JOB)
        assert await run_purge_job(JOB, system.deps) is Outcome.DONE
        await put(key, content)

    system.blobs.put = put_late  # type: ignore[method-assign]

    assert await system.run() is Outcome.DONE

    assert system.blobs.blobs == {}


async def test_who_lost_its_lease_while_it_read_stores_nothing(system: System) -> None:
    """Its successor does, or nobody."""
    successors: list[Lease] = []

    async def hang() -> None:
        successors.append(await system.take_over())

    system.parser.before = hang

    assert await system.run() is Outcome.DONE

    assert PARSE_KEY not in system.blobs.blobs
    await system.registry.release(successors[0])


@pytest.mark.parametrize(("tenant", "again"), [("t", 0), ("other", 2)])
async def test_what_is_in_the_index_is_not_embedded_again(system: System, tenant: str, again: int) -> None:
    """Of the same bytes under another name each chunk has its vector already: the title is of the PDF, not of the file.

    Another tenant's is nobody else's. A model of another name makes its own.
    """
    system.parser.stored = make_parse(TEXTS, DocumentFacts(title="Cranes and their hooks"))
    await system.run()
    assert len(system.embedder.embedded) == 2

    assert await system.run(job=await add_copy(system, tenant, "b")) is Outcome.DONE
    assert len(system.embedder.embedded) == 2 + again

    system.embedder.model_id = "m2"
    assert await system.run(job=await add_copy(system, tenant, "c")) is Outcome.DONE
    assert len(system.embedder.embedded) == 4 + again


async def replace_bytes(system: System, texts: Sequence[str] = ("Cranes lift loads.", "Ropes pull them.")) -> str:
    """Give the document other bytes, which are read as these pages; return the key of its new bytes."""
    content = Content("new.pdf", hashlib.sha256(b"%PDF-2").hexdigest(), 6, "doc_1.2")
    key = make_blob_key("t", content.sha256, content.blob)
    system.blobs.blobs[key] = b"%PDF-2"
    system.parser.stored = make_parse(texts, NO_FACTS)
    await system.registry.replace(JOB, content)
    return key


async def test_a_replacement_is_searched_when_it_is_whole(system: System) -> None:
    """Until then the version before is, to its last point; then nothing of that is left, neither points nor bytes."""
    await system.run()
    before = await system.registry.get_active_versions("t", ["doc_1"])
    key = await replace_bytes(system)

    async def check() -> None:
        assert await system.registry.get_active_versions("t", ["doc_1"]) == before
        assert [pair for pair in system.index.points.values() if pair in before.items()] == [*before.items()] * 2

    system.index.before = check
    assert await system.run() is Outcome.DONE

    after = await system.registry.get_active_versions("t", ["doc_1"])
    assert after != before
    assert {*system.index.points.values()} == {*after.items()}
    record = await system.get_record()
    assert (record.filename, record.replacement, record.status) == ("new.pdf", None, DocumentStatus.READY)
    assert {*system.blobs.blobs} == {key, make_parse_key("t", record.sha256, PARSER_VERSION)}
    assert (await system.registry.find_blobs(JOB)).dropped == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_worker_that_ends_before_it_has_tidied_up_leaves_that_to_the_next(
    system: System, *, fails: bool
) -> None:
    """Stopped just behind a publication or a failure: points and bytes that nothing needs are not forgotten."""
    await system.run()
    await replace_bytes(system)
    if fails:
        system.index.before = raise_error(IndexRejected("Wrong dimension."))
    remove = system.index.delete_document

    async def stop(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    system.index.delete_document = stop  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await system.run()
    system.index.delete_document = remove  # type: ignore[method-assign]
    assert (await system.get_record()).status is DocumentStatus.READY
    assert (await system.registry.find_blobs(JOB)).dropped != []

    await tidy_rest(system.deps)

    assert {*system.index.points.values()} == {*(await system.registry.get_active_versions("t", ["doc_1"])).items()}
    named = await system.registry.find_blobs(JOB)
    assert named.dropped == []
    keys = [make_blob_key("t", name.sha256, name.blob) for name in named.named]
    assert {*system.blobs.blobs} == {*keys, make_parse_key("t", named.named[0].sha256, PARSER_VERSION)}
    assert await collect(system.registry.find_untidied()) == []


async def test_a_replacement_that_fails_takes_nothing_away(system: System) -> None:
    """Its own points and bytes go, and what was read of them; those that are searched stay."""
    await system.run()
    points, blobs = {**system.index.points}, {**system.blobs.blobs}
    await replace_bytes(system)
    system.index.before = raise_error(IndexRejected("Wrong dimension."))

    assert await system.run() is Outcome.DONE

    record = await system.get_record()
    assert record.replacement is not None
    assert record.replacement.failure is not None
    assert (record.status, record.replacement.failure.code) == (DocumentStatus.READY, "index_rejected")
    assert (system.index.points, system.blobs.blobs) == (points, blobs)


async def test_work_on_bytes_that_were_replaced_leaves_nothing(system: System) -> None:
    """Whoever was at it when newer ones came stops, and what it has written goes, even once they are there."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        system.index.before = do_nothing
        reached.set()
        await go_on.wait()

    system.index.before = hang
    stale = asyncio.create_task(system.run())
    await reached.wait()
    key = await replace_bytes(system)
    await system.registry.expire_lease(JOB)  # it hangs for so long that another one takes over
    assert await system.run() is Outcome.DONE
    go_on.set()
    assert await stale is Outcome.DONE

    active = await system.registry.get_active_versions("t", ["doc_1"])
    assert {*system.index.points.values()} == {*active.items()}
    assert {name for name in system.blobs.blobs if name.endswith(".pdf")} == {key}


async def test_who_is_late_to_tidy_takes_nothing_of_a_later_version(system: System) -> None:
    """It published, and hung before it removed the version before; meanwhile the next one is being written."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    delete = system.index.delete_document

    async def hang(*arguments: Any, **options: Any) -> None:
        system.index.delete_document = delete  # type: ignore[method-assign]
        reached.set()
        await go_on.wait()
        await delete(*arguments, **options)

    system.index.delete_document = hang  # type: ignore[method-assign]
    stale = asyncio.create_task(system.run())
    await reached.wait()
    await replace_bytes(system)
    await system.registry.expire_lease(JOB)

    async def let_it_go_on() -> None:
        system.index.before = do_nothing
        system.index.points["later"] = ("doc_1", "x-y-2")
        go_on.set()
        await stale
        assert "later" in system.index.points

    system.index.before = let_it_go_on
    assert await system.run() is Outcome.DONE
    assert (await system.get_record()).filename == "new.pdf"


async def test_a_deletion_during_a_replacement_leaves_nothing(system: System) -> None:
    """Neither of the version that was searched nor of the one on its way."""
    await system.run()
    await replace_bytes(system)

    async def delete() -> None:
        system.index.before = do_nothing
        await system.registry.delete("t", "doc_1")
        assert await run_purge_job(JOB, system.deps) is Outcome.HELD

    system.index.before = delete
    assert await system.run() is Outcome.DONE
    assert await run_purge_job(JOB, system.deps) is Outcome.DONE

    assert (system.index.points, system.blobs.blobs) == ({}, {})


async def test_of_unchanged_pages_no_passage_is_embedded_again(system: System) -> None:
    """A document is made anew of its own bytes at the cost of no embedding, of others at that of what has changed."""
    system.parser.stored = make_parse(TEXTS, DocumentFacts(title="Cranes and their hooks"))
    await system.run()
    (version,) = (await system.registry.get_active_versions("t", ["doc_1"])).values()
    assert await system.registry.reindex(JOB, version)

    assert await system.run() is Outcome.DONE
    assert len(system.embedder.embedded) == 2
    assert system.parser.parsed == 1
    active = await system.registry.get_active_versions("t", ["doc_1"])
    assert {*system.index.points.values()} == {*active.items()} != {("doc_1", version)}


async def test_a_document_of_too_many_chunks_is_failed_with_what_to_do(system: System) -> None:
    """Before any of them is embedded."""
    system.deps = replace(system.deps, max_chunks=1)

    assert await system.run() is Outcome.DONE

    record = await system.get_record()
    assert record.failure is not None
    assert (record.failure.code, record.chunks_total) == ("too_long", 0)
    assert "more than 1 passages" in record.failure.detail
    assert system.index.points == {}


async def test_a_worker_that_hung_changes_nothing_when_it_wakes_up(system: System) -> None:
    """Its successor's word stands: what it writes is refused, and its job is over."""
    successors: list[Lease] = []

    async def hang() -> None:
        successors.append(await system.take_over())

    system.parser.before = hang

    assert await system.run() is Outcome.DONE

    record = await system.get_record()
    assert (record.status, record.pages_total) == (DocumentStatus.PARSING, 0)
    assert system.index.points == {}
    await system.registry.publish(successors[0], "v2", [])
    await system.registry.release(successors[0])


async def test_a_worker_that_hung_before_it_published_publishes_nothing(system: System) -> None:
    """Its points are there, and no search shows them."""
    successors: list[Lease] = []

    async def hang() -> None:
        successors.append(await system.take_over())
        await system.registry.publish(successors[0], "v2", [])
        await system.registry.release(successors[0])

    system.index.before = hang

    assert await system.run() is Outcome.DONE
    assert await system.registry.get_active_versions("t", ["doc_1"]) == {"doc_1": "v2"}


@pytest.mark.parametrize("lost", [True, False])
async def test_work_ends_when_its_lease_is_lost(system: System, lost: bool) -> None:
    """As soon as the registry says so, or has not answered three times: another worker may have the document."""
    stuck = asyncio.Event()

    async def hang() -> None:
        if lost:
            await system.registry.release(await system.take_over())
        else:
            system.registry.away.add("renew")
        stuck.set()
        await asyncio.Event().wait()

    system.parser.before = hang

    assert await system.run(lease_s=0.03) is Outcome.HELD

    assert stuck.is_set()
    assert not (await system.get_record()).status.final


async def test_a_lease_and_its_job_are_kept_while_the_work_takes_long(system: System) -> None:
    """Several leases' time is no reason to lose the document."""

    async def take_long() -> None:
        for _ in range(6):
            system.registry.renewed.clear()
            await system.registry.renewed.wait()

    system.parser.before = take_long

    assert await system.run(lease_s=0.03) is Outcome.DONE
    assert system.kept >= 6


@pytest.mark.parametrize("hung", [False, True])
async def test_a_document_deleted_meanwhile_is_purged_once_more(system: System, hung: bool) -> None:
    """Its points were perhaps written after the first purge; also when that was the end of a worker that had hung."""

    async def delete() -> None:
        await system.registry.delete("t", "doc_1")
        if hung:
            await system.registry.expire_lease(JOB)
        assert await run_purge_job(JOB, system.deps) is (Outcome.DONE if hung else Outcome.HELD)

    system.index.before = delete

    assert await system.run() is Outcome.DONE

    assert system.index.points != {}
    assert await collect(system.registry.find_purgeable()) == [JOB]
    assert await run_purge_job(JOB, system.deps) is Outcome.DONE
    assert (system.index.points, system.blobs.blobs) == ({}, {})
    assert await collect(system.registry.find_purgeable()) == []


async def test_a_purge_that_is_interrupted_loses_no_trace(system: System) -> None:
    """Points first, the record last: what is not removed yet is known until it is."""
    await system.registry.delete("t", "doc_1")
    system.index.away = True
    assert await run_purge_job(JOB, system.deps) is Outcome.RETRY
    assert await collect(system.registry.find_purgeable()) == [JOB]
    assert KEY in system.blobs.blobs

    system.index.away = False
    assert await run_purge_job(JOB, system.deps) is Outcome.DONE
    assert await run_purge_job(JOB, system.deps) is Outcome.DONE  # jobs are repeated
    assert system.blobs.blobs == {}


async def die(system: System, times: int) -> None:
    """Workers that claim the document and are killed."""
    for attempt in range(times):
        await system.claim(f"dies-{attempt}")
        await system.registry.expire_lease(JOB)


@pytest.mark.parametrize(("deaths", "code"), [(2 * MAX_ATTEMPTS, "crashes_worker"), (2 * MAX_ATTEMPTS - 1, None)])
async def test_a_document_that_kills_its_workers_is_failed(system: System, deaths: int, code: str | None) -> None:
    """After as many again alone; one death fewer and it has its chance."""
    system.index.points["old"] = ("doc_1", "v0")
    await die(system, deaths)

    assert await system.run() is Outcome.DONE

    assert await system.get_failure() == code
    assert "old" not in system.index.points


async def test_a_suspect_waits_until_it_is_alone(system: System) -> None:
    """It claims nothing while it waits, so that it loses no attempt, and its job is kept meanwhile."""
    await die(system, MAX_ATTEMPTS)
    async with system.deps.gate.enter(alone=False, while_waiting=do_nothing, every_s=1):
        waiting = asyncio.create_task(system.run(lease_s=0.03))
        while not system.kept:
            await asyncio.sleep(0.001)
        assert not await system.registry.is_leased(JOB)
        assert await system.registry.count_attempts(JOB) == MAX_ATTEMPTS

    assert await waiting is Outcome.DONE
    assert (await system.get_record()).status is DocumentStatus.READY
