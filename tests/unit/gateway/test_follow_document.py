"""How a document is followed to its end, from its record and its stream. No server is needed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from services.gateway.documents.follow_document import follow_document, wait_until_final
from shared.contracts.document_events import DocumentEvent, describe_record
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import NotFound
from shared.event_log.memory_log import MemoryEventLog
from shared.event_log.port import EventBatch, StreamId, name_document
from shared.registry.port import Lease, NewDocument, Progress
from shared.tasks import end_tasks
from tests.fakes.memory_registry import MemoryRegistry

JOB = DocumentJob(tenant="t", document_id="doc_1")
STREAM = name_document("t", "doc_1")


class Events(MemoryEventLog[DocumentEvent]):
    """Says when somebody begins to read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = asyncio.Event()

    def read(self, stream: StreamId, *, after: int = 0) -> AsyncGenerator[EventBatch[DocumentEvent], None]:
        self.reading.set()
        return super().read(stream, after=after)


class System:
    """A registry with one document, and the stream of its events as the registry on Redis would write it."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.events = Events()

    async def upload(self) -> None:
        await self.registry.create(NewDocument("t", "doc_1", "a.pdf", "aa", 1))
        await self.events.begin(STREAM)
        await self._tell()

    async def parse(self) -> None:
        await self.registry.update(await self._claim(), Progress(DocumentStatus.PARSING))
        await self._tell()

    async def publish(self) -> None:
        await self.registry.publish(await self._claim(), "v1", [])
        self.events.end(STREAM, describe_record(await self.get_record()))

    async def get_record(self) -> DocumentRecord:
        return await self.registry.get("t", "doc_1")

    async def follow(self, after: int = 0) -> Sequence[tuple[int, str]] | None:
        """The numbers and statuses of all events up to the end; None when there are none to wait for."""
        following = await follow_document("t", "doc_1", after, self.registry, self.events)
        if following is None:
            return None
        async with aclosing(following) as batches:
            return [
                (number, str(event.data.status))
                async for batch in batches
                for number, event in enumerate(batch.events, batch.first)
            ]

    async def wait(self, seconds: float) -> DocumentStatus:
        return (await wait_until_final("t", "doc_1", seconds, self.registry, self.events)).status

    async def _claim(self) -> Lease:
        lease = await self.registry.claim(JOB, "w", 30_000)
        assert isinstance(lease, Lease)
        return lease

    async def _tell(self) -> None:
        await self.events.append(STREAM, describe_record(await self.get_record()))


@pytest.fixture
async def system() -> System:
    system = System()
    await system.upload()
    return system


async def test_a_document_is_followed_to_its_end(system: System) -> None:
    """What was told before, and what happens while it is followed."""
    following = asyncio.create_task(system.follow())
    await system.events.reading.wait()
    await system.parse()
    await system.publish()

    assert await following == [(1, "queued"), (2, "parsing"), (3, "ready")]


async def test_who_has_seen_some_gets_the_rest(system: System) -> None:
    """Events behind the number of the last one that arrived."""
    await system.parse()
    await system.publish()

    assert await system.follow(after=2) == [(3, "ready")]


async def test_who_has_seen_the_end_gets_nothing(system: System) -> None:
    """Nothing will come, so that a browser stops asking."""
    await system.parse()
    await system.publish()

    assert await system.follow(after=3) is None


async def test_a_document_that_ended_long_ago_says_how(system: System) -> None:
    """Its stream is kept no more: the record tells the last event, with its number."""
    await system.parse()
    await system.publish()
    system.events.discard(STREAM)

    assert await system.follow() == [(3, "ready")]
    assert await system.follow(after=3) is None


async def test_an_unknown_document_is_not_found(system: System) -> None:
    """Also one that was deleted before anybody asked."""
    await system.registry.delete("t", "doc_1")

    with pytest.raises(NotFound):
        await system.follow()
    with pytest.raises(NotFound):
        await system.wait(1)


async def test_who_waits_gets_the_final_record(system: System) -> None:
    """As soon as it is final, or at once where it is."""
    waiting = asyncio.create_task(system.wait(60))
    await system.events.reading.wait()
    await system.parse()
    await system.publish()

    assert await waiting is DocumentStatus.READY
    assert await system.wait(60) is DocumentStatus.READY


async def test_who_has_waited_long_enough_gets_the_record_as_it_is(system: System) -> None:
    """The document goes on by itself."""
    await system.parse()

    assert await system.wait(0.01) is DocumentStatus.PARSING


async def test_a_log_that_closes_ends_the_wait(system: System) -> None:
    """The server stops: whoever waits learns how far it is."""
    waiting = asyncio.create_task(system.wait(60))
    await system.events.reading.wait()
    await system.parse()
    system.events.discard(STREAM)

    assert await waiting is DocumentStatus.PARSING


async def test_who_leaves_waits_no_more(system: System) -> None:
    """The task that reads the stream ends with its client."""
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(system.wait(60))
    await system.events.reading.wait()
    assert len(asyncio.all_tasks() - before) == 2
    await end_tasks(waiting)

    assert waiting.cancelled()
    assert asyncio.all_tasks() == before
