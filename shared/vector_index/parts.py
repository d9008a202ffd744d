"""One index for models whose vectors have different lengths: a part for each length, beside each other.

After a switch to a model of another length new points go into a part of its length. Those of before are left where they
are: their vectors cannot be compared with a question any more, but their words can be searched. Each document that is
made anew leaves the old part, and the last one takes it along. So nothing is copied, no step can be cut off in its
midst, and a switch is taken back by a switch.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, TypeVar

import structlog

from shared.errors import DependencyUnavailable
from shared.vector_index.port import (
    IndexPoint,
    IndexQuery,
    IndexUpkeep,
    LegHits,
    StoredVersion,
    VectorIndex,
    order_hits,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")


class IndexPart(VectorIndex, IndexUpkeep, Protocol):
    """A collection of a server, or a folder."""

    @property
    def dimension(self) -> int | None:
        """Length of its vectors; None where only the engine knows it."""
        ...

    async def remove(self) -> None:
        """Remove it with all that it has on the disk."""
        ...

    async def is_gone(self) -> bool:
        """Return whether it was removed, by whomever."""
        ...


def name_part(name: str, length: int) -> str:
    """Return what a part is called beside the index of this name."""
    return f"{name}-length-{length}"


def parse_length(name: str, part: str) -> int | None:
    """Return the length of the vectors of a part that `name_part` has named; None for what is none of this index."""
    found = re.fullmatch(re.escape(name) + r"-length-([1-9][0-9]*)", part)
    return int(found[1]) if found else None


def choose_part(name: str, length: int, lengths: Mapping[str, int | None]) -> str:
    """Return which part vectors of this length go into; the first one is called as the index itself.

    Parameters:
        lengths: of the parts that there are; None: nobody has said it yet.
    """
    for fitting in (length, None):
        for part in sorted(lengths):
            if lengths[part] == fitting:
                return part
    return name_part(name, length) if name in lengths else name


class PartedIndex:
    """A VectorIndex of the part that new points go into, and of those that models of other lengths have left.

    Each of these is searched by words alone, unless a query is for vectors of its length, and removed when it is empty.
    How rare a word is, each part says alone.
    """

    def __init__(self, own: IndexPart, before: Sequence[IndexPart] = ()) -> None:
        self._own = own
        self._before = list(before)
        self._opened = [own, *before]

    async def prepare(self) -> None:
        """Open all parts, or make them."""
        for part in self._opened:
            await part.prepare()

    async def upsert(self, tenant: str, points: Sequence[IndexPoint]) -> None:
        """Write points into the part of their length."""
        await self._own.upsert(tenant, points)

    async def search(self, tenant: str, query: IndexQuery) -> LegHits:
        """Run both legs in our part, and that of words in the others, each with the limit.

        The others come first: a document that is made anew has all its points in our part before it loses those in
        another. So it is found in one of them at least; who looked at ours first could miss it in both.
        """
        if query.of_length:
            return await self._search_length(tenant, query)
        words = replace(query, dense=None)
        left = [hit for part in list(self._before) for hit in (await self._search_before(part, tenant, words)).bm25]
        found = await self._or_made_again(lambda: self._own.search(tenant, query))
        return LegHits(found.dense, order_hits([*found.bm25, *left])) if left else found

    async def find_vectors(self, tenant: str, embedded: Collection[str]) -> dict[str, list[float]]:
        """Return the vectors of those of these names that points in our part have."""
        return await self._own.find_vectors(tenant, embedded)

    async def count(self, tenant: str, document_id: str | None = None) -> int:
        """Return how many points a tenant or one of its documents has, in all parts."""
        count = await self._own.count(tenant, document_id)
        for part in list(self._before):
            count += await self._unless_gone(part, part.count(tenant, document_id), 0)
        return count

    async def delete_document(
        self, tenant: str, document_id: str, *, except_version: str | None = None, up_to_edition: int | None = None
    ) -> None:
        """Remove a document's points from all parts, as VectorIndex says."""
        await self._own.delete_document(tenant, document_id, except_version=except_version, up_to_edition=up_to_edition)
        for part in list(self._before):
            deleting = part.delete_document(
                tenant, document_id, except_version=except_version, up_to_edition=up_to_edition
            )
            await self._unless_gone(part, deleting, None)

    async def delete_version(self, tenant: str, document_id: str, version: str) -> None:
        """Remove the points of one version of a document."""
        await self._own.delete_version(tenant, document_id, version)
        for part in list(self._before):
            await self._unless_gone(part, part.delete_version(tenant, document_id, version), None)

    async def list_versions(self) -> AsyncGenerator[Collection[StoredVersion], None]:
        """Yield which versions of which documents have points, part by part."""
        async for versions in self._own.list_versions():
            yield versions
        for part in list(self._before):
            try:
                async for versions in part.list_versions():
                    yield versions
            except DependencyUnavailable:
                if not await self._forget_if_gone(part):
                    raise

    async def compact(self) -> bool:
        """Remove the parts that nothing is left in, and have the others drop what was deleted."""
        done = False
        for part in list(self._before):
            # Where ours is empty, too, others may just be about to write into that one: nothing was made anew yet.
            if await self._unless_gone(part, _is_empty(part), False) and not await _is_empty(self._own):
                await part.remove()
                self._forget(part)
                log.info("index_part_removed", left=len(self._before))
                done = True
        for part in [self._own, *self._before]:
            done |= await part.compact()
        return done

    async def find_left_parts(self) -> Sequence[IndexUpkeep]:
        """Return the parts that models of other lengths have left, and that are still there."""
        return [part for part in list(self._before) if not await self._forget_if_gone(part)]

    async def check(self) -> None:
        """Raise DependencyUnavailable when one of the parts does not answer."""
        await self._or_made_again(self._own.check)
        for part in list(self._before):
            await self._unless_gone(part, part.check(), None)

    async def close(self) -> None:
        """Release all parts."""
        for part in self._opened:
            await part.close()

    async def _or_made_again(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call to our part returns; where this was removed while it was empty, it is made again.

        Who still has a model of before, and started when ours was there, takes it for one that others have left. Writes
        are no such calls: a document of which some points may have gone with the part has to be made anew.
        """
        try:
            return await call()
        except DependencyUnavailable:
            if not await self._own.is_gone() or all([await part.is_gone() for part in self._before]):
                raise
        log.warning("index_part_made_again")
        await self._own.prepare()
        return await call()

    async def _search_length(self, tenant: str, query: IndexQuery) -> LegHits:
        """Search the one part whose vectors are as long as the query's."""
        length = len(query.dense or ())
        if length == self._own.dimension:
            return await self._or_made_again(lambda: self._own.search(tenant, query))
        for part in list(self._before):
            if length == part.dimension:
                return await self._search_before(part, tenant, query)
        return LegHits([], [])

    async def _search_before(self, part: IndexPart, tenant: str, query: IndexQuery) -> LegHits:
        return await self._unless_gone(part, part.search(tenant, query), LegHits([], []))

    async def _unless_gone(self, part: IndexPart, call: Awaitable[T], otherwise: T) -> T:
        """Return what a call to another part returns; where this was removed meanwhile, it had nothing."""
        try:
            return await call
        except DependencyUnavailable:
            if not await self._forget_if_gone(part):
                raise
            return otherwise

    async def _forget_if_gone(self, part: IndexPart) -> bool:
        # Where ours is gone as well, nobody has removed a part: the server has lost its collections for now.
        if not await part.is_gone() or await self._own.is_gone():
            return False
        self._forget(part)
        return True

    def _forget(self, part: IndexPart) -> None:
        self._before = [other for other in self._before if other is not part]


async def _is_empty(part: IndexPart) -> bool:
    async with aclosing(part.list_versions()) as found:
        async for versions in found:
            if versions:
                return False
    return True
