"""Whoever pages through the documents sees each that is there all the while exactly once, whatever comes and goes."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.gateway.api.cursors import Cursor, find_start, make_cursor
from shared.contracts.documents import DocumentStatus
from shared.redis_client import connect_redis
from shared.registry.keys import RegistryKeys
from shared.registry.redis_registry import RedisDocumentRegistry
from tests.contract.test_registry import make_new
from tests.patience import PATIENT_S

KEYS = RegistryKeys()
CURSORS = TypeAdapter[str | None](Cursor | None)
_tenants = itertools.count()

moments = st.integers(1, 3)
"""When a document was made, in milliseconds: many at once, and some, by a clock that was set back, before others."""


@dataclass(frozen=True)
class Between:
    """What happens between two pages: documents come, and so many of those that are there are deleted, by place."""

    come: list[int]
    deleted: list[int]


changes = st.lists(
    st.builds(Between, come=st.lists(moments, max_size=4), deleted=st.lists(st.integers(0, 30), max_size=4)),
    max_size=12,
)


@given(there=st.lists(moments, max_size=15), limit=st.integers(1, 4), changes=changes, by_status=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_hold_all_that_is_there_throughout_exactly_once(
    redis_url: str, there: list[int], limit: int, changes: list[Between], by_status: bool
) -> None:
    """In their order, newest first; whatever else they hold comes once, too, and they end."""
    asyncio.run(page_through(redis_url, there, limit, changes, DocumentStatus.QUEUED if by_status else None))


async def page_through(
    redis_url: str, there: list[int], limit: int, changes: list[Between], status: DocumentStatus | None
) -> None:
    tenant, made = f"t{next(_tenants)}", 0
    redis: Any = connect_redis(redis_url, timeout_s=PATIENT_S)
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    alive: dict[str, int] = {}

    async def add(moment: int) -> None:
        nonlocal made
        made += 1
        new = make_new(sha256=str(made), tenant=tenant)
        await registry.create(new)
        await redis.hset(KEYS.document(tenant, new.document_id), "created_at", moment)
        for key in (KEYS.documents(tenant), KEYS.documents(tenant, DocumentStatus.QUEUED)):
            await redis.zadd(key, {new.document_id: moment})
        alive[new.document_id] = moment

    try:
        for moment in there:
            await add(moment)
        throughout = dict(alive)
        read: list[str] = []
        cursor: str | None = None
        for between in itertools.chain(changes, itertools.repeat(Between([], []))):
            page = await registry.list(tenant, find_start(CURSORS.validate_python(cursor), 0), limit, status)
            read += [record.document_id for record in page.records]
            assert page.total == len(alive)
            assert len(read) == len(set(read))
            if (cursor := make_cursor(page.next_place)) is None:
                break
            for moment in between.come:
                await add(moment)
            for place in between.deleted:
                if alive:
                    document_id = sorted(alive)[place % len(alive)]
                    await registry.delete(tenant, document_id)
                    del alive[document_id]
                    throughout.pop(document_id, None)
        expected = sorted(throughout, key=lambda document_id: (throughout[document_id], document_id), reverse=True)
        assert [document_id for document_id in read if document_id in throughout] == expected
    finally:
        await registry.close()
        await redis.aclose()
