"""Reads a part of a list of a tenant's documents: from an offset on, or from behind a document.

An offset counts those that are there in that moment: whoever goes on by offset misses one for each that was deleted
meanwhile before it. Behind a document, whether it is still there or not, nothing is missed and nothing comes twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.registry.port import ListPlace

# KEYS: list   ARGV: limit, offset; or limit, created_ms, id of the document behind which it begins
# Returns {length of the list, offset, id, created_ms, id, created_ms, …}: one more than the limit where there are more.
# In one step, and it only reads. Of those of one millisecond the list has the greatest id first.
READ_PAGE = """
local list, limit, offset, created, id = KEYS[1], ARGV[1], ARGV[2], ARGV[2], ARGV[3]
if id then
  local low = redis.call('ZCOUNT', list, '(' .. created, '+inf')
  local high = low + redis.call('ZCOUNT', list, created, created)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZREVRANGE', list, middle, middle)[1] < id then high = middle else low = middle + 1 end
  end
  offset = low
end
local found = redis.call('ZREVRANGE', list, offset, offset + limit, 'WITHSCORES')
return {redis.call('ZCARD', list), tonumber(offset), unpack(found)}
"""


@dataclass(frozen=True)
class FoundPage:
    """The ids of a part of a list; otherwise as `DocumentPage`."""

    ids: Sequence[str]
    total: int
    next_offset: int | None
    next_place: ListPlace | None

    @classmethod
    def parse(cls, reply: Sequence[Any], limit: int) -> Self:
        """Return what the script has found."""
        total, offset, *found = reply
        places = [ListPlace(int(created), name) for name, created in zip(found[::2], found[1::2], strict=True)]
        more = len(places) > limit
        return cls(
            ids=[place.document_id for place in places[:limit]],
            total=int(total),
            next_offset=int(offset) + limit if more else None,
            next_place=places[limit - 1] if more else None,
        )


def make_arguments(start: int | ListPlace, limit: int) -> Sequence[str | int]:
    """Return the script's arguments."""
    return [limit, start] if isinstance(start, int) else [limit, start.created_ms, start.document_id]
