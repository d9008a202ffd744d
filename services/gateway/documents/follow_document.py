"""Follows a document, or its next version, on its way to `ready` or `failed`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from shared.contracts.document_events import DocumentEvent, describe_record
from shared.contracts.documents import DocumentRecord
from shared.event_log.port import EventBatch, EventReader, LogClosedError, name_document
from shared.registry.port import DocumentRegistry
from shared.tasks import end_tasks, run_to_end


async def follow_document(
    tenant: str, document_id: str, after: int, registry: DocumentRegistry, events: EventReader[DocumentEvent]
) -> AsyncGenerator[EventBatch[DocumentEvent], None] | None:
    """Return the document's events with numbers above `after`; None when there will be none.

    A document that ended long ago has no stream any more: its record says the last event. Raise NotFound for an
    unknown document.
    """
    record, last = await registry.get_with_event_number(tenant, document_id)
    stream = name_document(tenant, document_id)
    if record.settled:
        if 0 < last <= after:
            return None
        if await events.find(stream) is None:
            return _repeat(EventBatch(max(last, 1), [describe_record(record)]))
    return events.read(stream, after=after)


async def wait_until_final(
    tenant: str,
    document_id: str,
    seconds: float,
    registry: DocumentRegistry,
    events: EventReader[DocumentEvent],
) -> DocumentRecord:
    """Return the record as soon as it is settled, ready or failed, or as it is when the time is over."""
    record = await registry.get(tenant, document_id)
    if record.settled:
        return record
    following = asyncio.create_task(_read_to_end(events.read(name_document(tenant, document_id))))
    try:
        await asyncio.wait({following}, timeout=seconds)
    finally:
        await run_to_end(end_tasks(following))
    return await registry.get(tenant, document_id)


async def _read_to_end(batches: AsyncGenerator[EventBatch[DocumentEvent], None]) -> None:
    with suppress(LogClosedError):
        async with aclosing(batches):
            async for _ in batches:
                pass


async def _repeat(batch: EventBatch[DocumentEvent]) -> AsyncGenerator[EventBatch[DocumentEvent], None]:
    yield batch
