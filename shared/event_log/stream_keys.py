"""The Redis keys of a stream, and the form of its entries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from shared.event_log.port import E, EventBatch, EventCodec, StreamId

Entry = tuple[str, dict[str, str]]
"""As redis-py gives it: id and fields."""

END = "end"
"""The field that the last entry of a stream has beside its events."""


@dataclass(frozen=True)
class StreamKeys:
    """The stream itself; what lives as long as its writer does; what asks the writer to stop."""

    events: str
    alive: str
    stop: str

    def as_list(self) -> list[str]:
        """Return them in the order in which the scripts take them."""
        return [self.events, self.alive, self.stop]


def make_stream_keys(prefix: str, stream: StreamId) -> StreamKeys:
    """Return where a stream lies on a Redis where all keys begin with `prefix`; see `scripts.py` for what is there."""
    first = f"{prefix}{stream.tenant}:{stream.kind}:{stream.name}"
    return StreamKeys(f"{first}:events", f"{first}:alive", f"{first}:stop")


def dump_batch(batch: EventBatch[E], codec: EventCodec[E]) -> str:
    """Return the JSON of an entry. ASCII only: half of a surrogate pair, which some models write, has no UTF-8."""
    encoded = (codec.encode(event) for event in batch.events)
    return json.dumps([[number, *pair] for number, pair in enumerate(encoded, batch.first)], separators=(",", ":"))


def load_batch(entries: Sequence[Entry], codec: EventCodec[E], *, after: int) -> EventBatch[E] | None:
    """Return the events of entries with numbers above `after`; None when there are none.

    An entry that was written twice, because the first time's reply got lost, holds some events once more.
    """
    events: list[E] = []
    first = 0
    for _, fields in entries:
        for number, name, data in json.loads(fields["events"]):
            if number > after:
                first = first or number
                after = number
                events.append(codec.decode(name, data))
    return EventBatch(first, events) if events else None
