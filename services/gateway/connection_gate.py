"""Keeps the number of connections below what the process can hold, so that nobody can lock the others out.

Whoever opens connections and sends nothing, or half a request, takes places; at the limit the one that has waited
longest for its client makes room for the newcomer. Only where all places are at work a newcomer is refused.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

log = structlog.get_logger(__name__)

MAX_CONNECTIONS: Final = 4096
"""More than one event loop can serve; each costs some kB, and with a head on its way up to 64 kB."""
WANTED_DESCRIPTORS: Final = 16_384
DESCRIPTORS_PER_CONNECTION: Final = 3
"""The client's, and for an answer that streams one to the provider and one to the search."""
OTHER_DESCRIPTORS: Final = 128
"""Redis, the index, uploads on their way, logs, libraries."""
REFUSED_SHARE: Final = 8
"""One connection more for so many places may stay open until its request has come and is refused with an answer."""
LOG_INTERVAL_S = 5.0
"""An attack is a line every five seconds, not a line per connection."""


def fit_connections() -> int:
    """Raise the process's limit of open files as far as it may be, and return how many connections fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < WANTED_DESCRIPTORS:
        allowed = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
        with suppress(OSError, ValueError):  # macOS has one more limit, which it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, (soft - OTHER_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION))


class ConnectionGate:
    """Counts the connections of a server, and knows which of them wait for their client, in the order since when.

    Parameters:
        limit: connections at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[object] = set()
        self._refused: set[object] = set()
        self._waiting: dict[object, Callable[[], None]] = {}
        self._noted: Counter[str] = Counter()

    def enter(self, connection: object) -> bool:
        """Count a new connection, and return whether there was a place, perhaps that of one which only waited."""
        if len(self._open) >= self._limit:
            if not self._waiting:
                return False
            longest, close = next(iter(self._waiting.items()))
            self.leave(longest)
            self.note("made_room")
            close()
        self._open.add(connection)
        return True

    def refuse(self, connection: object) -> bool:
        """Count a connection without a place, and return whether it may stay until it can be told so."""
        self.note("refused")
        if len(self._refused) > self._limit // REFUSED_SHARE:
            return False
        self._refused.add(connection)
        return True

    def leave(self, connection: object) -> None:
        """Forget a connection; one that is unknown is no fault."""
        self._open.discard(connection)
        self._refused.discard(connection)
        self._waiting.pop(connection, None)

    def wait(self, connection: object, close: Callable[[], None]) -> None:
        """Note that a connection waits from now on, for a request or for the rest of one that has its answer.

        Parameters:
            close: how it makes room.
        """
        if connection in self._open:
            self._waiting[connection] = close

    def work(self, connection: object) -> None:
        """Note that a connection has its request: its place is safe."""
        self._waiting.pop(connection, None)

    def note(self, what: str) -> None:
        """Count a connection that was turned away; the counts are logged together."""
        if not self._noted:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_S, self._log)
        self._noted[what] += 1

    def _log(self) -> None:
        log.warning("connections_turned_away", open=len(self._open), limit=self._limit, **self._noted)
        self._noted.clear()
